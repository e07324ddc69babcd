"""`identity …`: what waits for somebody about who a message or a member is, with both sides, and what you found."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID, uuid4

import typer
from rich.text import Text

from api.commands import command_id_of
from domain.episode.state import claim_on_open_episode
from domain.member.identity import MoveStay
from intake.people.identity_desk import Choice, Kind, NoSuchChoice, Question, UnknownQuestion
from intake.reading.forms import Read, read_stored
from intake.reading.notification import Ignored
from projections.words import plain
from workers.cli import frame as f
from workers.cli.frame import Json, Limit, Stop
from workers.cli.people import actor, stream_of
from workers.cli.recording import As, Key
from workers.services import door_of

app = typer.Typer(help="Who somebody is: what waits for a person, and their word.", no_args_is_help=True, rich_markup_mode="rich")

QuestionId = Annotated[UUID, typer.Argument(help="A question's id; see `throughline identity list`.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a few words. Sealed with the member's key.")]
Whom = Annotated[
    str | None,
    typer.Option("--member", help="Who is meant: an id or a CIN. With a merge of two: who goes on; of more: the other one."),
]


@app.command("list")
def list_questions(
    kind: Annotated[Kind | None, typer.Option(help="Only of this kind.")] = None, limit: Limit = 50, json: Json = False
) -> None:
    """What waits for somebody, the longest first: doubtful messages, members who may be one person, proposed contact points.

    Example:

        throughline identity list --kind message
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            found = door.desk.questions(kind=kind, limit=min(limit, 500))
        finally:
            door.close()
        if json:
            f.as_json({"items": found})
            return
        rows = [
            (
                q.id,
                q.kind.value,
                plain(q.reason),
                f"{q.waits.total_seconds() / 3600:.1f} h",
                q.source or q.subject,
                ", ".join(f.short(m) for m in q.members),
                ", ".join(q.choices),
            )
            for q in found
        ]
        columns = ("id", "kind", "why", "waits", "from", "members", "decide")
        f.table("Who somebody is", columns, rows, empty="Nothing waits.")


@app.command("show")
def show(question: QuestionId, json: Json = False) -> None:
    """A question with what is compared, side by side.

    Example:

        throughline identity show 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            found = door.desk.question(question)
        except UnknownQuestion as unknown:
            raise _unknown(unknown) from None
        finally:
            door.close()
        if json:
            f.as_json(found)
            return
        _print(found)


@app.command("decide")
def decide(
    question: QuestionId,
    decision: Annotated[Choice, typer.Argument(help="What you found.")],
    reason: Reason,
    member: Whom = None,
    by: As = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Say what you found, with one of the words that `identity show` offers. It becomes a fact with your name on it.

    Examples:

        throughline identity decide 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 attach --member 91234567A --reason "called her"

        throughline identity decide 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90 keep_apart --reason twins --as rosa@example.org
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            who = actor(system, by)
            whom = stream_of(system, member, kind="member") if member is not None else None
            command_id = command_id_of(key, who) if key else uuid4()
            outcome = door.desk.decide(question, decision, by=who, command_id=command_id, reason=reason, member=whom)
            f.show_accepted(system, f.accepted(outcome), json=json)
        except UnknownQuestion as unknown:
            raise _unknown(unknown) from None
        except NoSuchChoice as none:
            field, _, because = str(none).partition(": ")
            raise Stop(because, field=field, remedy="see `throughline identity show`", code="no_such_decision") from None
        finally:
            door.close()


@app.command("move-stay")
def move_stay(
    stay: Annotated[str, typer.Argument(help="The stay that was attributed wrongly: stay-…")],
    to: Annotated[str, typer.Option("--to", help="Whose it is: an id or a CIN.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, as a few plain words; it is not sealed.")],
    by: As = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Correct a wrong match: the stay goes to the right member, with the record numbers that its messages taught.

    What ran for the wrong member is withdrawn with the reason; neither history loses anything.

    Example:

        throughline identity move-stay stay-9a7b5c3d-1e2f-5a4b-8c6d-0f9e8d7c6b5a --to 91234567A --reason mistaken_identity
    """
    with f.opened() as system:
        door = door_of(system)
        try:
            who, right, stream = actor(system, by), stream_of(system, to, kind="member"), stream_of(system, stay, kind="stay")
            rows = door.inbox.find(stay=stream, limit=1_000)
            wrong = next((row.member for row in rows if row.member and stream in system.gateway.load(row.member).state.stays), None)
            if wrong is None:
                raise Stop("No message of this stay is attributed to a member.", field="stay", code="not_attributed",
                           remedy="`throughline inbox list` shows where its messages are")  # fmt: skip
            numbers: dict[str, None] = {}
            for row in rows:
                raw, source = door.inbox.raw(row.inbox_id), door.sources.named(row.source_id)
                found = read_stored(raw, row, source) if raw is not None and source is not None else None
                if isinstance(found, Read) and not isinstance(found.said, Ignored):
                    said = found.said.member.record_numbers
                    numbers |= {door.identity.record_number(*number).hex(): None for number in said}
            episode = system.gateway.load(claim_on_open_episode(right)).state.holder
            command = MoveStay(
                stream=wrong, by=who, stay=stream, rightful=right, episode=episode, numbers=tuple(numbers), reason=reason
            )  # fmt: skip
            command_id = command_id_of(key, who) if key else uuid4()
            f.show_accepted(system, f.accepted(system.gateway.handle(command, command_id=command_id)), json=json)
            door.index.catch_up(system.clock.now())
        finally:
            door.close()


def _unknown(unknown: UnknownQuestion) -> Stop:
    return Stop(str(unknown), field="question", remedy="see `throughline identity list`", code="unknown_question")


def _print(question: Question) -> None:
    f.out.print(Text.assemble((f"{question.kind.value}: {plain(question.reason)}", "bold"), f"  {question.source}"))
    f.out.print(f"waits since {f.local(question.since)}; decide: {', '.join(question.choices) or 'close one of the episodes'}")
    what = ("who", "last name", "first name", "born", "sex", "CIN", "phone", "place", "numbers")
    rows = [
        (
            s.who, s.family_name or "", s.given_name or "", s.birth_date or "", s.sex, ", ".join(s.cins), ", ".join(s.phones),
            ", ".join(s.zips), ", ".join(s.record_numbers),
        )
        for s in question.sides
    ]  # fmt: skip
    f.table("Side by side", what, rows, empty="Nothing can be shown: the bytes or the keys are gone.")
    for one in question.likely:
        said = ", ".join(f"{plain(feature)} {verdict} ({points:+d})" for feature, verdict, points in one["evidence"])
        f.out.print(f"{one['member']}: {one['score']} points, weights {one['weights']}: {said}", markup=False)
