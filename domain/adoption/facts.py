"""What is said of a plan's rules: the facts of a `policy-<plan>` stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from domain.core import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAdopted(Fact):
    """A person put a policy version into force from a local day on. `text` is the file, byte for byte; `sha256` its
    digest in hex."""

    plan: str
    version: str
    effective_on: date
    text: str
    sha256: str
