"""What a bias has learned in one iteration, for the next one: the hills of PLUMED's files, the state of COLVARS."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sparc_fw.errors import InputError
from sparc_fw.explorers.plumed import output_files

COLVARS_BEFORE = "before"
"""COLVARS' prefix of the state that it begins with."""
COLVARS_STATE = f"{COLVARS_BEFORE}.colvars.state"
_STATE = "bias.colvars.state"
_VARIABLE = re.compile(r"^colvar \{\n(?:[^}]*\n)?\}\n", re.MULTILINE)
_STEP = re.compile(r"^(\s*configuration \{\n\s*step\s+)\d+", re.MULTILINE)
_PRINTING = re.compile(r"^(?:[^\s:]+:\s*)?(?:PRINT|DUMP\w+|FLUSH)\b")


def colvars_learned(directory: Path) -> dict[str, str]:
    """The state that COLVARS left at the end of a run, by the name that the next run knows it by.

    Empty after a run that was cut off: COLVARS writes it last. The values of variables are left out, since the next
    run begins elsewhere and COLVARS would refuse it; its steps begin at 0, too.
    """
    state = directory / _STATE
    if not state.exists():
        return {}
    return {COLVARS_STATE: _STEP.sub(r"\g<1>0", _VARIABLE.sub("", state.read_text()))}


def plumed_learned(lines: Sequence[str], directory: Path) -> dict[str, str]:
    """The files of hills, kernels and the like that PLUMED left, by name; what is merely printed begins anew."""
    learning = [line for line in lines if not _PRINTING.match(line)]
    found = (directory / name for name in output_files(learning))
    return {path.name: path.read_text() for path in found if path.exists()}


def lay_down(learned: Mapping[str, str], directory: Path) -> None:
    """Write what an earlier run learned to where the engine looks for it."""
    for name, text in learned.items():
        (directory / name).write_text(text)


def check_no_restart(lines: Sequence[str]) -> None:
    """Raise `InputError` where PLUMED's own text asks to go on from files, which nobody lays down for it."""
    if any(line.split()[0] == "RESTART" or "RESTART=YES" in line for line in lines):
        raise InputError(
            "explorer.plumed: found RESTART, expected the option continue_bias instead, which lays the files of the "
            "iteration before down and says RESTART where there are any"
        )


def restarting(lines: Sequence[str]) -> list[str]:
    """PLUMED's input, told to read the files that are there."""
    # Units come first, whatever follows.
    place = 1 if lines and lines[0].startswith("UNITS") else 0
    return [*lines[:place], "RESTART", *lines[place:]]
