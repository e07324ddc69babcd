"""What a run stands on: servers, databases and a home folder of its own, a clock that is moved, the script, and the first facts."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid5

from api.tokens import mint
from domain.core import Instant
from domain.staff.facts import Role
from eventlog import killpoints
from eventlog.clock import OffsetClock
from eventlog.gateway import Accepted
from simulation.desk import Desk, staff
from tests.torture import members
from tests.torture.deeds import TORTURE, lead_of
from tests.torture.role import DEFECT, SCRIPT, TOKENS
from tests.torture.script import Script, make_script, start_after
from workers.clock import OFFSET_FILE, StoredOffset
from workers.composition import System, open_system, prepare
from workers.first_policies import adopt_first_policies
from workers.ground.child import free_ports
from workers.ground.postgres import FOR_TESTS, PostgresServer, ensure_database
from workers.ground.temporal import TemporalServer, register_namespace
from workers.ground.temporal_program import find_program
from workers.services import prepare_door, projector_of
from workers.settings import Settings

NAMESPACE = "torture"
KILLS = "kills"
TOKEN_LIFE = timedelta(days=366)


@dataclass
class Stage:
    """The ground of one run. `environment` is what a role is started with."""

    home: Path
    postgres: PostgresServer
    temporal: TemporalServer
    settings: Settings
    environment: dict[str, str]
    script: Script
    token: str = ""
    incarnation: UUID | None = None

    @property
    def clock(self) -> OffsetClock:
        return OffsetClock(StoredOffset(self.home))

    def move_clock_to(self, instant: Instant) -> None:
        """Ahead, for every process at once."""
        StoredOffset(self.home).advance(max(timedelta(), instant - self.clock.now()))

    @property
    def kills(self) -> dict[str, int]:
        return killpoints.hits(str(self.home / KILLS))

    def connect(self, *, pool_max: int = 4) -> System:
        return open_system(self.settings, pool_max=pool_max)


@contextlib.contextmanager
def stage(seed: int, members: int, days: int, *, defect: str = "", keep: bool = False) -> Iterator[Stage]:
    """Servers and databases of this run alone, everything ended and deleted afterwards. Raises GroundError."""
    home = Path(tempfile.mkdtemp(prefix="throughline-torture-"))
    home.chmod(0o711)  # root's PostgreSQL runs as an account without rights, which must be able to pass
    with contextlib.ExitStack() as stack:
        if not keep:
            stack.callback(shutil.rmtree, home, ignore_errors=True)
        postgres = PostgresServer(home / "postgres", settings={**FOR_TESTS, "max_connections": "300"}).start()
        stack.callback(lambda: postgres.stop())
        temporal = TemporalServer(home / "temporal", program=find_program(at_once=True), time_skipping=False).start()
        stack.callback(lambda: temporal.stop())
        asyncio.run(register_namespace(temporal.address, NAMESPACE))
        api_port, hl7_port = free_ports(2)
        environment = {
            "DATABASE_URL": postgres.url("torture"),
            "KEYS_DATABASE_URL": postgres.url("torture_keys"),
            "TEMPORAL_ADDRESS": temporal.address,
            "TEMPORAL_NAMESPACE": NAMESPACE,
            "THROUGHLINE_HOME": str(home),
            "THROUGHLINE_API_PORT": str(api_port),
            "THROUGHLINE_HL7_PORT": str(hl7_port),
            "THROUGHLINE_MASTER_KEY": _key("master", seed),
            "THROUGHLINE_INDEX_KEY": _key("index", seed),
            killpoints.KILL_COUNT: str(home / KILLS),
            DEFECT: defect,
            SCRIPT: str(home / "script"),
        }
        settings = Settings(**{name.lower(): value for name, value in environment.items() if not name.startswith("TORTURE")})
        script = make_script(seed, members, days, start_after(datetime.now(UTC)))
        (home / "script").write_bytes(pickle.dumps(script))
        made = Stage(home, postgres, temporal, settings, environment, script)
        _begin(made)
        yield made


def _begin(made: Stage) -> None:
    """Tables, policies, staff and a token: what is there before the first day."""
    for url in (made.settings.database_url, made.settings.keys_database_url):
        assert url is not None
        ensure_database(url)
    prepare(made.settings)
    start = made.script.start
    offset = start - datetime.now(UTC)
    (made.home / OFFSET_FILE).write_text(f"{offset.total_seconds()}\n")
    with made.connect() as system:
        prepare_door(system)
        projector_of(system).create()
        first_facts(system, start)
        made.incarnation = system.log.incarnation()
        _, made.token = mint(system.pool, role=Role.OPERATOR, subject=staff("operator"), now=start, life=TOKEN_LIFE)
        tokens = {}
        for lead in sorted({lead_of(person) for person in made.script.people}):
            _, tokens[lead] = mint(system.pool, role=Role.CARE_MANAGER, subject=lead, now=start, life=TOKEN_LIFE)
        (made.home / TOKENS).write_text(json.dumps(tokens))


def first_facts(system: System, start: Instant) -> None:
    """The policies and the staff, for every run of a script alike."""
    adopt_first_policies(system)
    desk = Desk(system.gateway, None, lambda: start)  # type: ignore[arg-type]
    desk.hire()
    assert not desk.refused, desk.refused
    for n, command in enumerate(members.staff()):
        joined = system.gateway.handle(command, command_id=uuid5(TORTURE, f"staff/{n}"))
        assert isinstance(joined, Accepted), joined


def _key(name: str, seed: int) -> str:
    """A key of the run: made from the seed, so that every run of it names its members' streams alike."""
    return base64.b64encode(hashlib.sha256(f"torture {name} {seed}".encode()).digest()).decode()
