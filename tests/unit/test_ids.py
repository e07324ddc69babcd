"""Ids made of an id and a name."""

from __future__ import annotations

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from eventlog.ids import named_id


@given(st.uuids(), st.text())
def test_an_id_is_the_one_that_the_standard_gives(namespace: UUID, name: str) -> None:
    assert named_id(namespace, name) == uuid5(namespace, name)
