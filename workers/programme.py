"""The programme as the shell runs it: its facts, deciders, processes and routes. Tests put another one in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from domain import catalog, routing
from domain.core import AllOpen, Decider, Process, ProcessRef, Recorded
from eventlog.codec import NamedFact
from workflows.shell import Shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """What differs between the real programme and a toy of the tests. `ends` tells whether a process's own fact says that it ended
    (True), that it is open (False), or neither. `ties` names the streams whose facts concern whatever a fact's own stream does."""

    facts: tuple[NamedFact, ...]
    deciders: Mapping[str, Decider]
    processes: Mapping[str, Process]
    route: Callable[[Recorded], tuple[ProcessRef | AllOpen, ...]]
    tags: Callable[[Recorded], tuple[str, ...]]
    ends: Callable[[Recorded], bool | None]
    workflows: tuple[type[Shell], ...]
    ties: Callable[[Recorded], tuple[str, ...]] = lambda recorded: ()

    def process_of(self, stream: str) -> ProcessRef | None:
        """The process whose own stream it is."""
        return ProcessRef.of(stream) if stream.partition("-")[0] in self.processes else None


def the_programme() -> Programme:
    """Enhanced Care Management, as domain/catalog.py lists it."""
    return Programme(
        facts=catalog.FACTS,
        deciders=catalog.DECIDERS,
        processes=catalog.PROCESSES,
        route=routing.route,
        tags=routing.tags,
        ends=routing.ends,
        workflows=tuple(workflow_of(kind) for kind in catalog.PROCESSES),
        ties=routing.ties,
    )


def workflow_of(kind: str) -> type[Shell]:
    """The workflow of a process: the one shell in `workflows/<kind>.py`."""
    module = import_module(f"workflows.{kind}")
    own = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Shell) and v.__module__ == module.__name__]
    assert len(own) == 1, f"workflows/{kind}.py must define one workflow"
    return own[0]
