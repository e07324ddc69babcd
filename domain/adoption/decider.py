"""Adoption of policy files: a version, once adopted, is never changed; a correction is another version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from domain.adoption.facts import PolicyAdopted
from domain.core import Command, Context, Decider, Decision, Instant, Recorded, Refusal, StreamId
from domain.policy import Policy, PolicyBook, PolicyRefused, read_policy
from domain.staff.decider import actor_stream, refused
from domain.staff.facts import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptPolicy(Command):
    """`text` is the file's text, `sha256` its digest in hex."""

    text: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Adoptions:
    """The digests of the adopted versions, by version."""

    sha256_of: Mapping[str, str] = field(default_factory=dict)


def evolve(state: Adoptions, recorded: Recorded) -> Adoptions:
    match recorded.fact:
        case PolicyAdopted(version=version, sha256=digest):
            return replace(state, sha256_of={**state.sha256_of, version: digest})
        case _:
            return state


def decide(command: Any, state: Adoptions, context: Context, book: PolicyBook | None, now: Instant) -> Decision:
    assert isinstance(command, AdoptPolicy), command
    if refusal := refused(command.by, context, now, Role.SUPERVISOR, Role.OPERATOR):
        return refusal
    try:
        policy = read_policy(command.text)
    except PolicyRefused as mistakes:
        return Refusal("policy_faulty", str(mistakes))
    if command.stream != f"policy-{policy.plan}":
        return Refusal("policy_of_another_plan", f"plan: the file is of {policy.plan!r}; adopt it for that plan")
    if command.sha256 != sha256(command.text.encode()).hexdigest():
        return Refusal("digest_differs", "sha256: is not the digest of this text; the file was changed on its way, send it again")
    adopted = state.sha256_of.get(policy.version)
    if adopted == command.sha256:
        return ()
    if adopted is not None:
        return Refusal("version_taken", f"version: {policy.version} was adopted with another text; give the file a new version")
    if edited := _edited(policy, book):
        return Refusal("questionnaire_edited", f"questionnaire: {edited} was adopted with other questions; give it a new version")
    return (
        PolicyAdopted(
            plan=policy.plan,
            version=policy.version,
            effective_on=policy.effective_on,
            text=command.text,
            sha256=command.sha256,
        ),
    )


def _edited(policy: Policy, book: PolicyBook | None) -> str:
    """The first questionnaire of a file that stands under the same id in an adopted one, but asks something else: an assessment
    that was begun under it could no longer be judged."""
    adopted = {questionnaire for other in (book.policies if book else ()) for questionnaire in other.questionnaire}
    return next((q.id for q in policy.questionnaire if any(a.id == q.id and a != q for a in adopted)), "")


def reads(command: Any, state: Any, context: Context) -> tuple[StreamId, ...]:
    return actor_stream(command.by)


DECIDER = Decider("policy", lambda stream: Adoptions(), evolve, decide, reads)
