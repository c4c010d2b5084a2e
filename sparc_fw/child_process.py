"""External programs that end with their parent, whatever ends the parent, and see only what they should."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sparc_fw import guardian

# prctl(PR_SET_PDEATHSIG, SIGKILL), then become the program. In a small interpreter of its own rather than in
# preexec_fn, which may deadlock when the parent has threads (TensorFlow, pymongo). The comparison of the parent's
# pid closes the gap in which the parent died before prctl.
_LAUNCHER = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,9,0,0,0);"
    "os.getppid()==int(sys.argv[1]) or sys.exit(1);"
    "os.execv(sys.argv[2],sys.argv[2:])"
)

# Variables that change numbers, threads or devices of TensorFlow, DeePMD-kit and OpenMP, and those by which an
# MPI program started inside a queue's task believes that it is one rank of many.
_STRAY = ("DP_", "TF_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "XLA_", "JAX_", "PMI_", "PMIX_", "MPI_LOCAL", "HOROVOD_")


def clean_environment(threads: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without stray numerical settings, and with a fixed number of threads.

    Parameters
    ----------
    threads : int
        For OpenMP, BLAS, TensorFlow and PyTorch alike.
    extra : mapping of str to str, optional
        Variables to add.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_STRAY)}
    return kept | thread_variables(threads) | {"TF_CPP_MIN_LOG_LEVEL": "3"} | dict(extra or {})


def thread_variables(threads: int) -> dict[str, str]:
    """Environment variables that fix the number of threads of every library used here."""
    names = [f"{library}_NUM_THREADS" for library in ("OMP", "MKL", "OPENBLAS")]
    # DeePMD-kit reads DP_*, TensorFlow's own C library (in LAMMPS) TF_*.
    names += [f"{prefix}_{kind}_OP_PARALLELISM_THREADS" for prefix in ("DP", "TF") for kind in ("INTRA", "INTER")]
    return dict.fromkeys(names, str(threads))


def run_child(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    log: Path,
    watch: Callable[[], None],
    every: float = 0.25,
) -> int:
    """Run a program to its end, with its output in `log`.

    It and all that it started end when it ends, and when the caller ends in whatever way.

    Parameters
    ----------
    command : sequence of str
        The first entry is an absolute path.
    directory : Path
        Working directory.
    environment : mapping of str to str
        The whole environment.
    log : Path
        Takes standard output and standard error.
    watch : callable
        Called while the program runs and once after; what it raises ends the program and is passed on.
    every : float
        s between calls of `watch`.

    Returns
    -------
    int
        Exit status; negative where a signal ended it.
    """
    with (
        log.open("wb") as output,
        subprocess.Popen(
            guarded(command),
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            while True:
                try:
                    process.wait(timeout=every)
                except subprocess.TimeoutExpired:
                    watch()
                else:
                    break
            watch()
        except BaseException:
            end_guarded(process)
            raise
    return process.returncode


def last_lines(text: str, count: int = 15) -> str:
    """The last non-empty lines of a program's output."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def end_with_parent() -> None:
    """Have this process killed when the one that started it ends; for children that are no programs of their own."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def die_with_parent(command: Sequence[str]) -> list[str]:
    """A command that becomes `command` (first entry an absolute path) and is killed when the caller ends."""
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]


def guarded(command: Sequence[str]) -> list[str]:
    """A command that runs `command` (first entry an absolute path) under `sparc_fw.guardian`.

    Whatever it started ends with it, and with the caller. What runs it must be ended by `end_guarded`: a guardian that
    is killed can end nothing but the program itself.
    """
    return [sys.executable, "-I", "-S", guardian.__file__, str(os.getpid()), *command]


def end_guarded(process: subprocess.Popen[bytes]) -> None:
    """End a `guarded` command with all that it started, and wait for its end."""
    process.terminate()
    try:
        process.wait(2 * (guardian.GRACE_SECONDS + guardian.KILL_SECONDS))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
