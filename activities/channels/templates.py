"""The texts of messages: one small file per template and language. None may name a diagnosis, a programme or a place of care.

A file's first line is the subject; the body follows after an empty line. `$` fields come from the letterhead and the request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from string import Template

DEFAULT_LANGUAGE = "en"
NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True, slots=True)
class Letterhead:
    """How the care team signs, and where it can be reached."""

    organisation: str = "Your care team"
    callback: str = "the number on your health plan card"
    console: str = "http://127.0.0.1:8470"


@dataclass(frozen=True, slots=True)
class Text:
    """A template filled in. `language` is the one that was found: the recipient's own, else English."""

    language: str
    subject: str
    body: str


def written(template: str, language: str, letterhead: Letterhead, *, about: str = "", process: str = "") -> Text | None:
    """The text in the recipient's language, in English where there is none, None where there is no such template."""
    for spoken in (language, DEFAULT_LANGUAGE):
        raw = _raw(template, spoken)
        if raw is not None:
            filled = Template(raw).substitute(
                organisation=letterhead.organisation,
                callback=letterhead.callback,
                console=letterhead.console,
                about=about,
                process=process,
            )
            subject, _, body = filled.partition("\n")
            return Text(spoken, subject.strip(), body.strip())
    return None


@lru_cache(maxsize=500)
def _raw(template: str, language: str) -> str | None:
    if not NAME.fullmatch(template) or not LANGUAGE.fullmatch(language):
        return None
    file = resources.files("activities.channels").joinpath("templates", f"{template}.{language}.txt")
    return file.read_text(encoding="utf-8") if file.is_file() else None
