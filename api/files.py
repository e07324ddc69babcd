"""The addresses for the files of health plans: hand one in or try it, see what became of each row, confirm what stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.door import FileReceipt
from api.offering import READERS
from api.problems import Problem, unavailable
from api.security import Use, only
from api.tokens import Caller
from domain.staff.facts import Role
from intake.files.profiles import FileKind
from intake.files.reports import Outcome, ReportLine, as_csv
from intake.files.roster import Preview, plan_of
from intake.files.tables import FileRefused
from intake.store.inbox import CannotStore, Row, UnknownMessage

T = TypeVar("T")

router = APIRouter(prefix="/files", tags=["Plans' files"])

LINES_MAX = 1_000
REASON = r"^[a-z][a-z0-9_]{0,63}$"
EXAMPLE = "CIN,Last Name,First Name,DOB\n91234567A,Okafor,Ines,7/9/1961\n"

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string", "format": "binary"}, "example": EXAMPLE},
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {
                "schema": {"type": "string", "format": "binary"},
                "example": "the bytes of a workbook",
            },
        },
    }
}
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "As CSV"}}

Desk = Annotated[Caller, Depends(only(Role.OPERATOR, Role.SUPERVISOR))]
Reader = Annotated[Caller, Depends(only(*READERS))]
FileId = Annotated[UUID, Path(description="The file's id: it stands on its receipt")]
Plan = Annotated[str, Query(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="The health plan", examples=["default"])]
What = Annotated[FileKind, Query(description="What the file lists")]
Name = Annotated[str, Query(max_length=200, description="What the plan calls the file: some have a profile of their own")]
Full = Annotated[bool | None, Query(description="It names every member of the plan; left out: as the plan's profile says")]


class Line(BaseModel):
    """One thing to know of one row. Without field and reason there is nothing to know."""

    row: int = Field(description="As the sheet numbers it, the first is 1")
    outcome: Outcome
    field: str
    reason: str
    remedy: str

    @classmethod
    def of(cls, line: ReportLine) -> Line:
        return cls(row=line.row, outcome=line.outcome, field=line.field, reason=line.reason, remedy=line.remedy)


class Lines(BaseModel):
    items: list[Line]
    next: int | None = Field(description="Pass it as `after`; none where this was the last page")


class FilePreview(BaseModel):
    """What would become of a file. Nothing was written."""

    profile: str
    accepted: int
    unchanged: int
    rejected: int
    waiting: int
    missing: int = Field(description="Members listed before whom this full roster does not name")
    stops: bool = Field(description="So many are missing that a person would be asked first")
    flags: list[str]
    unknown_headers: list[str]
    lines: list[Line] = Field(description=f"The first {LINES_MAX} of which there is something to know")

    @classmethod
    def of(cls, preview: Preview) -> FilePreview:
        remarkable = [Line.of(line) for line in preview.lines if line.reason][:LINES_MAX]
        return cls(
            profile=preview.profile, **{outcome.value: count for outcome, count in preview.totals.items()},
            missing=len(preview.missing), stops=preview.stops, flags=list(preview.flags),
            unknown_headers=list(preview.unknown_headers), lines=remarkable,
        )  # fmt: skip


class FileRow(BaseModel):
    file_id: UUID
    plan: str
    kind: str
    received_at: datetime
    status: str
    reason: str
    error: str = Field(description="Why it could not be read at all, and what to do; empty where it could")
    flags: list[str]

    @classmethod
    def of(cls, row: Row) -> FileRow:
        return cls(
            file_id=row.inbox_id, plan=plan_of(row.source_id), kind=row.kind, received_at=row.received_at, status=row.status.value,
            reason=row.reason, error=row.error, flags=row.flags,
        )  # fmt: skip


class Files(BaseModel):
    items: list[FileRow]
    next: UUID | None = Field(description="Pass it as `before`; none where this was the last page")


class Word(BaseModel):
    """A person's word on a file that stopped."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "plan_confirmed_by_phone"}]})

    reason: str = Field(pattern=REASON, description="Why, as a code in small letters")


@router.post("", summary="A health plan's file (CSV or XLSX): members, or authorisations", openapi_extra=_BODY)
async def load(
    request: Request,
    services: Use,
    caller: Desk,
    plan: Plan,
    what: What = FileKind.MEMBERS,
    file_name: Name = "",
    full_roster: Full = None,
) -> FileReceipt:
    """Every row that can be read is applied; the others are named with row, field, reason and remedy. The same file again changes
    nothing. A full roster from which many are missing stops: confirm or reject it."""
    body = await request.body()
    return FileReceipt.of(
        await _carried_out(lambda: services.files.import_file(
            body, plan=plan, kind=what, file_name=file_name, full_roster=full_roster, peer=caller.by
        ))
    )  # fmt: skip


@router.post("/previews", summary="What would become of a file; nothing is written", openapi_extra=_BODY)
async def preview(
    request: Request,
    services: Use,
    caller: Desk,
    plan: Plan,
    what: What = FileKind.MEMBERS,
    file_name: Name = "",
    full_roster: Full = None,
) -> FilePreview:
    body = await request.body()
    return FilePreview.of(
        await _carried_out(lambda: services.files.preview(body, plan=plan, kind=what, file_name=file_name, full_roster=full_roster))
    )


@router.get("", summary="The files of plans, the newest first")
def files(
    services: Use,
    caller: Reader,
    plan: Annotated[str, Query(max_length=64, description="Only of this plan")] = "",
    waiting: Annotated[bool, Query(description="Only those that wait for a person's word")] = False,
    before: Annotated[UUID | None, Query(description="What the page before gave as `next`")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Files:
    found = services.files.files(plan=plan, waiting=waiting, before=before, limit=limit)
    return Files(items=[FileRow.of(row) for row in found], next=found[-1].inbox_id if len(found) == limit else None)


@router.get(
    "/returns/contact-points",
    summary="Phone numbers and addresses that the plan does not have, as CSV",
    response_class=PlainTextResponse,
    responses=_CSV,
)
def contact_points(services: Use, caller: Desk, plan: Plan) -> PlainTextResponse:
    """In columns of the return file, for the plan that assigned the members and nobody else."""
    return PlainTextResponse("".join(services.files.new_points_csv(plan)), media_type="text/csv")


@router.get("/{file_id}", summary="What became of a file, as its rows stand now")
def receipt(file_id: FileId, services: Use, caller: Reader) -> FileReceipt:
    return FileReceipt.of(_found(lambda: services.files.receipt(file_id)))


@router.get("/{file_id}/rows", summary="What became of each row, in the sheet's order")
def rows(
    file_id: FileId,
    services: Use,
    caller: Reader,
    after: Annotated[int, Query(ge=0, description="Only rows below this one")] = 0,
    only_remarkable: Annotated[bool, Query(description="Only rows of which there is something to know")] = False,
    limit: Annotated[int, Query(ge=1, le=LINES_MAX)] = 200,
) -> Lines:
    """A row with several faults has several lines; a page never ends in the middle of a row."""
    report = _found(lambda: services.files.report(file_id, after=after, only_remarkable=only_remarkable))
    items: list[ReportLine] = []
    more = False
    for line in report:
        if len(items) >= limit and line.row != items[-1].row:
            more = True
            break
        items.append(line)
    return Lines(items=[Line.of(line) for line in items], next=items[-1].row if more else None)


@router.get(
    "/{file_id}/report", summary="The same as CSV, to be sent to the plan", response_class=PlainTextResponse, responses=_CSV
)
def report(file_id: FileId, services: Use, caller: Reader) -> PlainTextResponse:
    """It names no person: whoever has the file has its rows."""
    lines = _found(lambda: services.files.report(file_id))
    return PlainTextResponse("".join(as_csv(lines)), media_type="text/csv")


@router.post("/{file_id}/confirmations", summary="A file that stopped is right: it goes on")
async def confirm(file_id: FileId, word: Word, services: Use, caller: Desk) -> FileReceipt:
    return FileReceipt.of(await _carried_out(lambda: services.files.confirm(file_id, reason=word.reason, by=caller.by)))


@router.post("/{file_id}/rejections", summary="A file that stopped is wrong: nothing follows from it")
async def reject(file_id: FileId, word: Word, services: Use, caller: Desk) -> FileReceipt:
    await _carried_out(lambda: services.files.reject(file_id, reason=word.reason, by=caller.by))
    return FileReceipt.of(await _carried_out(lambda: services.files.receipt(file_id)))


def _found(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except UnknownMessage as unknown:
        raise Problem(404, "unknown_file", str(unknown)) from None


async def _carried_out(act: Callable[[], T]) -> T:
    try:
        return await run_in_threadpool(act)
    except FileRefused as refused:
        raise Problem(422, "file_refused", str(refused), "body") from None
    except UnknownMessage as unknown:
        raise Problem(404, "unknown_file", str(unknown)) from None
    except CannotStore:
        raise unavailable("database") from None
