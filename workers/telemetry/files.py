"""Files that several processes add lines to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO


def lines_to(file: Path) -> TextIO:
    """Open for adding lines: each is written whole, and nobody but the owner may read them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w", buffering=1, encoding="utf-8")
