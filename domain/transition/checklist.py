"""What closes an item of the checklist: the one rule that both the decider and the plan ask. Never a tick, always an event."""

from __future__ import annotations

from domain.core import Refusal
from domain.interactions import SYNCHRONOUS, Interaction, SpokenTo
from domain.policy import ChecklistItem, Evidence
from domain.staff.facts import Licence
from domain.transition.facts import ChecklistItemDone, TransitionContactMade


def closes(item: ChecklistItem, record: ChecklistItemDone | TransitionContactMade) -> bool:
    """Whether a record that counts closes the item: a live exchange closes what wants just that, whatever it was recorded for."""
    named = isinstance(record, ChecklistItemDone) and record.item == item.key
    licence = record.licence if isinstance(record, ChecklistItemDone) else None
    if item.evidence not in (Evidence.CONTACT, Evidence.IN_PERSON) and not named:
        return False
    return shortfall(item, record.interaction, record.spoken_to, licence) is None


def shortfall(item: ChecklistItem, interaction: Interaction, spoken_to: SpokenTo, licence: Licence | None) -> Refusal | None:
    """What an event lacks to close the item, and the remedy."""
    match item.evidence:
        case Evidence.CONTACT | Evidence.DISCUSSED if interaction not in SYNCHRONOUS:
            return Refusal(
                "interaction_too_weak",
                f"interaction: {item.key} needs a live exchange (in_person, phone, video); record anything else as an attempt",
            )
        case Evidence.IN_PERSON if interaction is not Interaction.IN_PERSON:
            return Refusal("interaction_too_weak", f"interaction: {item.key} needs to be in_person")
        case Evidence.CONTACT | Evidence.DISCUSSED | Evidence.IN_PERSON if spoken_to not in _counted(item):
            who = " or ".join(_counted(item))
            return Refusal("spoken_to_another", f"spoken_to: {item.key} needs an exchange with the {who}")
        case Evidence.LICENSED if licence is None or licence not in item.licences:
            which = ", ".join(item.licences)
            return Refusal(
                "licence_missing", f"by: {item.key} needs a valid licence on that day ({which}); ask somebody who has one"
            )
        case _:
            return None


def _counted(item: ChecklistItem) -> tuple[SpokenTo, ...]:
    return (SpokenTo.MEMBER, SpokenTo.CAREGIVER) if item.caregiver_counts else (SpokenTo.MEMBER,)
