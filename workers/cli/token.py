"""`token …`: bearer tokens of the API."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text

from api import tokens
from domain.staff.facts import Role
from intake.senders.sources import load_sources
from workers.cli import frame as f
from workers.cli.frame import Json, Stop
from workers.cli.people import actor, staff_of
from workers.cli.recording import As
from workers.composition import System

app = typer.Typer(help="Bearer tokens of the API.", no_args_is_help=True, rich_markup_mode="rich")

LIFE_DAYS = 90


class TokenRole(StrEnum):
    CARE_MANAGER = "care_manager"
    SUPERVISOR = "supervisor"
    OPERATOR = "operator"
    HOSPITAL = "hospital"
    AUDITOR = "auditor"


@app.command("create")
def create(
    role: Annotated[TokenRole, typer.Option(help="What the token may do.")],
    subject: Annotated[
        str, typer.Option("--for", help="Whom it speaks for: a staff id or mail address; a source's name for a hospital.")
    ],
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it lives.")] = LIFE_DAYS,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    by: As = None,
    json: Json = False,
) -> None:
    """Make a token. It is shown once, here; only its digest is kept.

    Examples:

        throughline token create --role care_manager --for dana@example.org

        throughline token create --role hospital --for st-brendan --days 365
    """
    with f.opened() as system:
        if role is TokenRole.HOSPITAL:
            whom = f"source:{_source(system, subject.removeprefix('source:'))}"
        else:
            whom = staff_of(system, subject)
            if Role(role.value) not in system.gateway.load(whom).state.roles and role is not TokenRole.AUDITOR:
                raise Stop(
                    f"{whom} has not the role {role.value}.",
                    field="role",
                    remedy=f"`throughline staff grant {whom} --role {role.value}`",
                    code="role_missing",
                )
        made, shown = tokens.mint(
            system.pool,
            role=Role(role.value),
            subject=whom,
            now=system.clock.now(),
            life=timedelta(days=days),
            label=label,
            by=actor(system, by),
        )
        if json:
            f.as_json(
                {
                    "token": shown,
                    "token_id": made.token_id,
                    "role": made.role,
                    "subject": made.subject,
                    "expires_at": made.expires_at,
                }
            )
            return
        f.out.print(shown, markup=False)
        f.err.print(
            Text(f"For {whom} as {role.value}, until {f.local(made.expires_at)}. It is not shown again; id {made.token_id}.", "dim")
        )


def _source(system: System, name: str) -> str:
    """The name of a source that may present a token. Raises Stop: nobody would ever get in with a token for another one."""
    taken = {row.name: row for row in load_sources(system.settings.throughline_sources).rows if "http" in row.transports}
    if name not in taken:
        raise Stop(
            "is no source that sends over HTTP.", field="--for", code="unknown_source",
            remedy=f"write one of {', '.join(taken)}; see `throughline inbox sources`",
        )  # fmt: skip
    return name


@app.command("list")
def list_tokens(json: Json = False) -> None:
    """Every token that was made, without the tokens themselves.

    Example:

        throughline token list
    """
    with f.opened() as system:
        found = tokens.listed(system.pool)
        if json:
            f.as_json(found)
            return
        now = system.clock.now()
        rows = [
            (
                t.token_id,
                t.role.value,
                t.subject,
                t.label,
                t.created_at,
                t.expires_at,
                "revoked" if t.revoked_at else "expired" if t.expires_at <= now else "valid",
            )
            for t in found
        ]
        f.table("Tokens", ("id", "role", "for", "label", "made", "until", ""), rows, empty="No token was made.")


@app.command("revoke")
def revoke(
    token_id: Annotated[UUID, typer.Argument(help="The token's id; see `throughline token list`.")],
    by: As = None,
    json: Json = False,
) -> None:
    """From now on nobody gets in with it.

    Example:

        throughline token revoke 5f0c2a1e-8d4b-4c57-9a53-0e6b1f2d7c88
    """
    with f.opened() as system:
        actor(system, by)
        if not tokens.revoke(system.pool, token_id, system.clock.now()):
            raise Stop("There is no such token.", field="token_id", remedy="see `throughline token list`", code="unknown_token")
        f.done("Revoked.", json=json, token_id=token_id)
