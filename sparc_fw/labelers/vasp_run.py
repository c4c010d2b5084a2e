"""VASP under custodian (S. P. Ong et al., Comput. Mater. Sci. 68 (2013) 314), which mends what can be mended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custodian.custodian import Custodian, CustodianError, ErrorHandler, Job
from custodian.vasp import handlers as vasp_handlers

from sparc_fw.child_process import last_lines
from sparc_fw.errors import InputError
from sparc_fw.labelers.base import LabelError
from sparc_fw.labelers.external import run_program

OUTPUT = "vasp.out"
WATCH_SECONDS = 30.0
"""How often the handlers that watch look at a running VASP, s: as custodian's own examples for short runs."""


class _Noticed(Exception):
    """A handler found an error in a running VASP."""


class VASPRun(Job):
    """Runs VASP to its end, its time limit, or the first error that a watching handler finds.

    Custodian's own `VaspJob` would leave VASP running when the worker is killed, and knows no time limit.

    Parameters
    ----------
    command : sequence of str
        The first entry is an absolute path.
    environment : dict
        The whole environment.
    limit_seconds : float
        For all attempts together, s.
    monitors : sequence of ErrorHandler
        Those that watch.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        limit_seconds: float,
        monitors: Sequence[ErrorHandler] = (),
    ) -> None:
        self.command = list(command)
        self.environment = environment
        self.limit_seconds = limit_seconds
        self.monitors = monitors
        self.status = 0
        self.runs = 0
        self._deadline = time.monotonic() + limit_seconds

    def setup(self, directory: str = "./") -> None:
        """Nothing: the input is written."""

    def run(self, directory: str = "./") -> None:
        """Run once; custodian then asks the handlers, and calls again where one of them changed the input."""
        folder = Path(directory)
        # A run without output must not pass for the one before it, whose output custodian has archived.
        for name in ("vasprun.xml", "OUTCAR", "OSZICAR"):
            (folder / name).unlink(missing_ok=True)
        self.runs += 1
        looked = time.monotonic()

        def watch() -> None:
            nonlocal looked
            if time.monotonic() - looked < WATCH_SECONDS:
                return
            looked = time.monotonic()
            if any(handler.check(directory) for handler in self.monitors):
                raise _Noticed

        left = self._deadline - time.monotonic()
        try:
            self.status = run_program(self.command, folder, self.environment, folder / OUTPUT, left, watch)
        except _Noticed:
            self.status = 0

    def postprocess(self, directory: str = "./") -> None:
        """Nothing: the output is read where it lies."""

    def as_dict(self) -> dict[str, Any]:
        """For custodian's log, without the environment."""
        return {"@module": type(self).__module__, "@class": type(self).__name__, "command": self.command}


def make_handlers(names: Sequence[str]) -> list[ErrorHandler]:
    """Handlers of `custodian.vasp.handlers` by name.

    Raises
    ------
    InputError
        Names what is no handler.
    """
    made = []
    for name in names:
        found = getattr(vasp_handlers, name, None)
        if not (isinstance(found, type) and issubclass(found, ErrorHandler) and found is not ErrorHandler):
            raise InputError(
                f"labeler vasp: handlers: found {name!r}, expected classes of custodian.vasp.handlers such as "
                "VaspErrorHandler"
            )
        # Both streams go into one file here.
        made.append(found(output_filename=OUTPUT) if name == "StdErrHandler" else found())
    return made


def run_vasp(
    folder: Path,
    command: Sequence[str],
    environment: dict[str, str],
    handlers: Sequence[str],
    max_errors: int,
    limit_seconds: float,
) -> tuple[int, str]:
    """Run VASP in a folder with its input.

    Returns
    -------
    runs : int
        How often VASP was started.
    trouble : str
        Why custodian gave up, or VASP's exit status; empty where all went well.

    Raises
    ------
    LabelError
        ``timeout``.
    """
    made = make_handlers(handlers)
    job = VASPRun(command, environment, limit_seconds, [handler for handler in made if handler.is_monitor])
    trouble = ""
    try:
        Custodian(made, [job], max_errors=max_errors, directory=str(folder)).run()
    except CustodianError as error:
        trouble = f"custodian: {error}"
    except LabelError as error:
        raise LabelError(error.reason, f"{error}: {_words(folder)}", job.runs) from error
    except Exception as error:
        # Handlers read what a broken run left, and raise whatever their parsers stumble on.
        trouble = f"a handler of custodian failed: {type(error).__name__}: {error}"
    if not trouble and job.status != 0:
        trouble = f"{Path(command[0]).name} ended with status {job.status}"
    return job.runs, f"{trouble}; its last words: {_words(folder)}" if trouble else ""


def _words(folder: Path) -> str:
    output = folder / OUTPUT
    return last_lines(output.read_text(errors="replace")) if output.is_file() else "none"
