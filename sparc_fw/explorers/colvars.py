"""Collective variables by COLVARS (Fiorin, Klein, Hénin, Mol. Phys. 111, 3345, 2013): input checks and output."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms

from sparc_fw.child_process import clean_environment, last_lines
from sparc_fw.errors import InputError
from sparc_fw.explorers.lammps_command import INPUT, LOG, lammps_command
from sparc_fw.explorers.lammps_files import write_structure
from sparc_fw.explorers.lammps_input import COLVARS, STRUCTURE, prepared

_COMMENT = re.compile(r"#.*")
_NUMBERS = re.compile(r"\batomNumbers\b[ \t]*(?:\{([^}]*)\}|([^\n{}]*))", re.IGNORECASE)
_RANGE = re.compile(r"\batomNumbersRange\b\s*\{?\s*(\d+)\s*-\s*(\d+)", re.IGNORECASE)
_UNITS = re.compile(r"^\s*units\s+(\S+)", re.IGNORECASE | re.MULTILINE)
_VALUE = re.compile(r"\([^)]*\)|\S+")
_NAMES = {"E_bias": "bias{}_eV", "W_bias": "work{}_eV", "x0_cv": "centre{}"}


def check_colvars(text: str, atoms: int) -> None:
    """Check what COLVARS would only find, or silently misread, when the dynamics begins.

    Parameters
    ----------
    text : str
        COLVARS configuration.
    atoms : int
        Number of atoms of the structure.

    Raises
    ------
    InputError
        If braces do not pair, a unit system other than metal is named, or an atom does not exist.
    """
    plain = _COMMENT.sub("", text)
    if plain.count("{") != plain.count("}"):
        raise InputError(
            f"explorer.colvars: found {plain.count('{')} opening and {plain.count('}')} closing braces, "
            "expected as many of each"
        )
    units = _UNITS.search(plain)
    if units and units[1].lower() != "metal":
        raise InputError(f"explorer.colvars: found units {units[1]}, expected metal (eV, Å, ps) or no such key")
    for number in atom_numbers(plain):
        if not 1 <= number <= atoms:
            raise InputError(
                f"explorer.colvars: found atom number {number}, expected 1 to {atoms} (COLVARS counts from 1)"
            )


def atom_numbers(text: str) -> list[int]:
    """Atom numbers, counted from 1, that a configuration without comments names.

    Raises
    ------
    InputError
        If one is no whole number.
    """
    words = [word for match in _NUMBERS.finditer(text) for word in (match[1] or match[2] or "").split()]
    wrong = [word for word in words if not word.lstrip("-").isdigit()]
    if wrong:
        raise InputError(f"explorer.colvars: found atomNumbers {wrong[0]!r}, expected whole numbers")
    return [int(word) for word in words] + [int(end) for match in _RANGE.finditer(text) for end in match.groups()]


def with_units(text: str) -> str:
    """The configuration with the unit system spelled out, so that COLVARS refuses to run in another one."""
    return text if _UNITS.search(_COMMENT.sub("", text)) else f"units metal\n{text}\n"


def read_colvars(path: Path) -> dict[str, np.ndarray]:
    """Read a ``.colvars.traj`` file.

    Returns
    -------
    dict of str to ndarray
        ``step`` and each column by its name; the components of a vector as ``name_0``, ``name_1``, …. Lengths in Å,
        energies in eV. Empty where COLVARS wrote nothing.
    """
    names: list[str] = []
    rows: list[list[str]] = []
    # The last line may be half written where the engine was ended.
    for line in path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []:
        if line.startswith("#"):
            names = line.lstrip("#").split()
            continue
        rows.append(_VALUE.findall(line))
    series: dict[str, np.ndarray] = {}
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        values = np.array([value.strip("()").replace(",", " ").split() for value in column], dtype=float)
        width = values.shape[1]
        series.update({name if width == 1 else f"{name}_{k}": values[:, k] for k in range(width)})
    return series


def colvars_series(path: Path, timestep_fs: float) -> dict[str, np.ndarray]:
    """The columns of a ``.colvars.traj`` file as series of a trajectory.

    Returns
    -------
    dict of str to ndarray
        ``bias_time_fs``; of a common bias, its variable ``cv0``, energy ``bias0_eV``, work ``work0_eV`` and centre
        ``centre0`` as every engine calls them; other columns by their own names.
    """
    columns = read_colvars(path)
    series: dict[str, np.ndarray] = {}
    if "step" in columns:
        series["bias_time_fs"] = columns.pop("step") * timestep_fs
    # How far each atom is from the centre of a sphere is in the positions already.
    return series | {_common(name): values for name, values in columns.items() if not name.startswith("confine_")}


def _common(name: str) -> str:
    """COLVARS' name of a column of a common bias as every engine calls it; others keep theirs."""
    for theirs, ours in _NAMES.items():
        number = name.removeprefix(theirs)
        if number != name and number.isdigit():
            return ours.format(number)
    return name


def try_colvars(text: str, structure: Atoms, lmp_command: str, key: str) -> None:
    """Let LAMMPS read a configuration, without a potential and without a step: nobody else knows all its keys.

    Parameters
    ----------
    key : str
        Where the configuration comes from, for messages.

    Raises
    ------
    InputError
        With COLVARS' own words, where LAMMPS refuses it.
    """
    executable, variables = lammps_command(lmp_command)
    with TemporaryDirectory() as folder:
        directory = Path(folder)
        write_structure(structure, directory / STRUCTURE)
        (directory / COLVARS).write_text(text)
        lines = prepared(structure, ["pair_style zero 6.0", "pair_coeff * *"])
        lines += [f"fix bias all colvars {COLVARS} output bias", "run 0"]
        (directory / INPUT).write_text("\n".join(lines) + "\n")
        done = subprocess.run(
            [executable, "-in", INPUT, "-log", LOG, "-nocite"],
            cwd=directory,
            env=clean_environment(1, variables),
            capture_output=True,
            text=True,
            check=False,
        )
    words = [line.removeprefix("colvars:").strip() for line in done.stdout.splitlines() if "rror" in line]
    if done.returncode != 0 or words:
        raise InputError(f"{key}: LAMMPS refuses it: {'; '.join(words) or last_lines(done.stdout, 5)}")
