"""Collective variables by COLVARS (Fiorin, Klein, Hénin, Mol. Phys. 111, 3345, 2013): input checks and output."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sparc_fw.errors import InputError

_COMMENT = re.compile(r"#.*")
_NUMBERS = re.compile(r"\batomNumbers\b[ \t]*(?:\{([^}]*)\}|([^\n{}]*))", re.IGNORECASE)
_RANGE = re.compile(r"\batomNumbersRange\b\s*\{?\s*(\d+)\s*-\s*(\d+)", re.IGNORECASE)
_UNITS = re.compile(r"^\s*units\s+(\S+)", re.IGNORECASE | re.MULTILINE)
_VALUE = re.compile(r"\([^)]*\)|\S+")


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


_NAMES = {"E_bias": "bias{}_eV", "W_bias": "work{}_eV", "x0_cv": "centre{}"}


def common_name(name: str) -> str:
    """COLVARS' name of a column of a common bias as every engine calls it; others keep theirs."""
    for theirs, ours in _NAMES.items():
        number = name.removeprefix(theirs)
        if number != name and number.isdigit():
            return ours.format(number)
    return name
