"""The character sets that messages may be written in."""

from __future__ import annotations

from typing import Final

# Table 0211, and the spellings that senders use for it. Multi-byte sets whose bytes can look like MLLP's frame bytes are left out
# on purpose (messages.md 1.6): a source that needs one is refused by configuration, not misread.
CHARSETS: Final = {
    "ASCII": "ascii",
    "US-ASCII": "ascii",
    "8859/1": "iso-8859-1",
    "ISO-8859-1": "iso-8859-1",
    "ISO8859-1": "iso-8859-1",
    "LATIN-1": "iso-8859-1",
    "LATIN1": "iso-8859-1",
    "8859/2": "iso-8859-2",
    "8859/9": "iso-8859-9",
    "8859/15": "iso-8859-15",
    "ISO-8859-15": "iso-8859-15",
    "WINDOWS-1252": "windows-1252",
    "CP1252": "windows-1252",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
}


def known_charset(name: str) -> bool:
    """Whether a source may be configured with this character set."""
    return name.strip().upper() in CHARSETS
