"""Workers on this machine for one campaign, and a watch over them and the embedded MongoDB."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from pymongo.errors import AutoReconnect

from sparc_fw.backend import find_command
from sparc_fw.child_process import die_with_parent, thread_variables
from sparc_fw.errors import MissingDependency, StageFailed
from sparc_fw.launchpad import write_launchpad_file
from sparc_fw.repair import is_cut_off, repair, worker_name
from sparc_fw.session import Session

POLL_SECONDS = 0.5
REPAIR_SECONDS = 60.0
"""A worker that lives can lose a write too: how often to look."""
MAX_CRASHES = 20
"""A worker that had to be started again so often will not get better."""


# A label allocates and frees hundreds of megabytes again and again; giving them back to the system each time costs more
# page faults than a small calculation costs otherwise.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_TOP_PAD_": "268435456"}


@dataclass
class Worker:
    """A running ``rlaunch rapidfire`` and what it needs to be started again."""

    number: int
    name: str
    file: Path
    process: subprocess.Popen[bytes]


class LocalRun:
    """Runs a campaign with workers on this machine until it ends.

    Parameters
    ----------
    session : Session
    campaign_id : str
    workers : int
    folder : Path
        Working directory of the workers; their launch folders and logs go there.
    """

    def __init__(self, session: Session, campaign_id: str, workers: int, folder: Path) -> None:
        self.session = session
        self.campaign_id = campaign_id
        self.folder = folder.absolute()
        self.crashes = 0
        self.repairs: list[str] = []
        self._workers: list[Worker] = []
        self._wanted = workers
        self._repaired = 0.0

    def run(self, ended: Callable[[], bool], onlooker: Callable[[], None]) -> None:
        """Start the workers, watch them, and stop them when `ended` says so or an exception comes by (Ctrl-C).

        Raises
        ------
        StageFailed
            If workers crash again and again, with the last lines of their log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._revive()
        self._write_configuration()
        self._repair()
        try:
            self._workers = [self._start(number) for number in range(self._wanted)]
            while not self._look(ended, onlooker):
                time.sleep(POLL_SECONDS)
                self._watch()
        finally:
            self._stop()
            self._revive()
            self._repair(tuple(worker.name for worker in self._workers))

    def _look(self, ended: Callable[[], bool], onlooker: Callable[[], None]) -> bool:
        """Let the onlooker look and tell whether the campaign ended; a MongoDB that is away says neither."""
        try:
            if ended():
                # What fizzled because MongoDB died looks like a failed campaign until it is mended.
                return self._repair() and ended()
            onlooker()
        except AutoReconnect:
            # Our own server is started again by the watch. One that is not ours must come back by itself, and the
            # store has waited for it already.
            if self.session.embedded is None:
                raise
        return False

    def _write_configuration(self) -> None:
        """Files by which rlaunch finds the LaunchPad, and FireWorks pings often enough to notice a dead worker."""
        lpad = self.session.lpad
        settings = self.session.settings
        if self.session.embedded is not None:
            write_launchpad_file(lpad.host, lpad.name, self.folder / "my_launchpad.yaml")
        else:
            lpad.to_file(str(self.folder / "my_launchpad.yaml"))
            (self.folder / "my_launchpad.yaml").chmod(0o600)
        config = {
            "PING_TIME_SECS": settings.ping_seconds,
            "RUN_EXPIRATION_SECS": 4 * settings.ping_seconds,
            # Longer than any live process holds a lock; who waits in vain is mended by the watch.
            "WFLOCK_EXPIRATION_SECS": 30,
        }
        (self.folder / "FW_config.yaml").write_text(yaml.safe_dump(config))

    def _start(self, number: int) -> Worker:
        rlaunch = find_command("rlaunch")
        if rlaunch is None:
            raise MissingDependency("rlaunch: not found beside the interpreter or on PATH, expected FireWorks' command")
        name = worker_name(number)
        file = self.folder / f"my_fworker-{number}.yaml"
        query = json.dumps({"spec.campaign_id": self.campaign_id})
        file.write_text(yaml.safe_dump({"name": name, "category": "", "query": query, "env": {}}))
        command = [rlaunch, "-l", "my_launchpad.yaml", "-w", file.name, "--loglvl", "WARNING", "rapidfire"]
        command += ["--nlaunches", "infinite", "--sleep", "1"]
        environment = os.environ | thread_variables(self.session.settings.threads) | KEEP_MEMORY
        # While a campaign starts, its other workers have nothing to do.
        environment = {"SPARC_FW_PROCESSES": str(self._wanted)} | environment
        environment |= {"FW_CONFIG_FILE": str(self.folder / "FW_config.yaml")}
        with (self.folder / f"worker-{number}.log").open("ab") as log:
            process = subprocess.Popen(
                die_with_parent(command),
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for us alone: a worker would mark its Firework as FIZZLED.
                start_new_session=True,
            )
        return Worker(number, name, file, process)

    def _watch(self) -> None:
        """Start again what died, and rerun what it was doing."""
        self._revive()
        if time.monotonic() - self._repaired > REPAIR_SECONDS:
            self._repair()
        dead = [worker for worker in self._workers if worker.process.poll() is not None]
        if not dead:
            return
        if not self._repair(tuple(worker.name for worker in dead)):
            return
        self.crashes += len(dead)
        if self.crashes > MAX_CRASHES:
            log = (self.folder / f"worker-{dead[0].number}.log").read_text(errors="replace")
            raise StageFailed(f"workers crashed {self.crashes} times; the last words were:\n{log[-2000:]}")
        for worker in dead:
            self.repairs.append(f"started worker {worker.number} again (exit status {worker.process.returncode})")
            self._workers[self._workers.index(worker)] = self._start(worker.number)

    def _revive(self) -> None:
        if self.session.revive():
            self.repairs.append("started the embedded MongoDB again, which had died")
            # Its port may be another one.
            self._write_configuration()
        if self.session.embedded is not None:
            # Whoever starts the server must not wait for it.
            self.session.store.patience = 0.0

    def _repair(self, dead: tuple[str, ...] = ()) -> bool:
        """Mend the campaign; False where our own MongoDB, which the watch starts again, went away meanwhile."""
        try:
            self.repairs += repair(self.session.store, self.session.lpad, self.campaign_id, dead).done
        except (AutoReconnect, RuntimeError) as error:  # FireWorks wraps the first in the second
            cut_off = isinstance(error, AutoReconnect) or is_cut_off(str(error))
            if self.session.embedded is None or not cut_off:
                raise
            return False
        self._repaired = time.monotonic()
        return True

    def _stop(self) -> None:
        """End the workers with all that they started."""
        for worker in self._workers:
            if worker.process.poll() is None:
                # The whole session: a training goes with its worker.
                os.killpg(worker.process.pid, signal.SIGKILL)
        for worker in self._workers:
            worker.process.wait()
