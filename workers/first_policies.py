"""The first start on an empty log: the project's own policy files are adopted, so that there are rules to keep."""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import UUID, uuid5

from domain.adoption.decider import AdoptPolicy
from domain.core import SYSTEM
from eventlog.gateway import Accepted
from workers.composition import System

POLICIES = Path(__file__).resolve().parents[1] / "policies"
ADOPTIONS = UUID("0d7a3d55-3f0e-4b5e-a8c5-1a2b8f8f4a10")
"""The name space of these commands' ids: two processes that start at once adopt each file once."""


def adopt_first_policies(system: System) -> int:
    """Adopt every file of `policies/` where no policy was ever adopted; how many were. Later versions are adopted by a person."""
    if system.log.streams("policy"):
        return 0
    files = sorted(POLICIES.glob("*.toml"))
    for file in files:
        text = file.read_text()
        digest = hashlib.sha256(text.encode()).hexdigest()
        command = AdoptPolicy(stream=f"policy-{file.stem}", by=SYSTEM, text=text, sha256=digest)
        outcome = system.gateway.handle(command, command_id=uuid5(ADOPTIONS, digest))
        assert isinstance(outcome, Accepted), f"{file.name} is faulty: {outcome}"
    return len(files)
