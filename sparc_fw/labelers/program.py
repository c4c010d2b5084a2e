"""Commands of external codes as a machine's settings give them: a program, or a launcher such as mpirun before it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from sparc_fw.backend import find_command
from sparc_fw.child_process import clean_environment, die_with_parent
from sparc_fw.errors import InputError, MissingDependency

ANSWER_SECONDS = 60.0
"""How long a code may take to print its banner, s."""

# Open MPI otherwise starts a daemon for every program that runs without mpirun.
ALONE = {"OMPI_MCA_ess_singleton_isolated": "1"}


def program_words(setting: str, command: str, advice: str) -> list[str]:
    """Split a command and find its executables.

    A launcher is looked for beside the program first. The MPI of a Python environment is not the one that a
    system's program was built with, and under the wrong one it runs as several serial copies.

    Parameters
    ----------
    setting : str
        Name of the setting that holds the command.
    command : str
        Words as a shell reads them; the first is the program, or a launcher whose arguments name the program.
    advice : str
        How to get the program.

    Raises
    ------
    InputError
        If the command is not a list of words.
    MissingDependency
        If an executable is not there.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"{setting}: found {command!r}: {error}; expected words as a shell reads them") from error
    if not words:
        raise InputError(f"{setting}: found nothing, expected a command")
    for number, word in enumerate(words[1:], start=1):
        program = None if word.startswith("-") else find_command(word)
        if program is None:
            continue
        launcher = shutil.which(words[0], path=str(Path(program).parent)) or find_command(words[0])
        if launcher is not None:
            return [launcher, *words[1:number], program, *words[number + 1 :]]
    found = find_command(words[0])
    if found is None:
        raise MissingDependency(
            f"{setting}: found no executable '{words[0]}': {advice}, or set SPARC_FW_{setting.upper()}"
        )
    return [found, *words[1:]]


def program_environment(words: list[str], threads: int, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a code: no stray settings, threads fixed, and no MPI daemon where no launcher starts it."""
    launched = any(Path(word).is_absolute() and os.access(word, os.X_OK) for word in words[1:])
    return clean_environment(threads, (extra or {}) | ({} if launched else ALONE))


@cache
def first_output(words: tuple[str, ...]) -> str:
    """All that a program prints when it finds no input; asked once per process."""
    # Some leave files where they stand.
    with tempfile.TemporaryDirectory(prefix="sparc_fw_version_") as folder:
        try:
            done = subprocess.run(
                die_with_parent(words),
                cwd=folder,
                env=program_environment(list(words), 1),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=ANSWER_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MissingDependency(
                f"{words[0]}: said nothing within {ANSWER_SECONDS:.0f} s, expected its banner; see that "
                f"'{' '.join(words)}' runs on this machine"
            ) from error
    return done.stdout
