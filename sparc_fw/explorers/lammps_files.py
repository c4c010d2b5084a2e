"""What LAMMPS reads and writes: start structure, input, binary dump, log."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers

THERMO = ("Step", "Temp", "PotEng", "TotEng")
_ROW = re.compile(r"^  - \[([^]]*)\]", re.MULTILINE)
_ERROR = re.compile(r"^ERROR(?: on proc \d+)?: *(.*?)(?: \((?:src/|\.\./)?[\w./-]*:\d+\))?$", re.MULTILINE)
_HALT = re.compile(r"^Fix halt condition for fix-id \S+ met on step (\d+) with value (\S+)", re.MULTILINE)


def elements_in(start: Atoms) -> list[str]:
    """Chemical symbols in order of appearance: LAMMPS' atom types from 1."""
    return list(dict.fromkeys(start.symbols))


MARGIN_A = 10.0
"""Room around a molecule, Å: more than the cut-off of any potential that has no long range."""


def write_structure(start: Atoms, path: Path) -> None:
    """Write a LAMMPS data file to the last digit; a cell is turned the way LAMMPS wants it.

    Notes
    -----
    Format: https://docs.lammps.org/read_data.html, atom style atomic, units metal. Masses are those of the elements
    (u). The box of a molecule is only where LAMMPS begins: with boundaries of kind m it grows with the atoms.
    """
    elements = elements_in(start)
    positions = start.positions
    if start.pbc.any():
        prism = Prism(start.cell.array)
        positions = prism.vector_to_lammps(positions)
        xx, yy, zz, xy, xz, yz = prism.get_lammps_prism()
        box = [(0.0, xx, "xlo xhi"), (0.0, yy, "ylo yhi"), (0.0, zz, "zlo zhi")]
        tilt = [f"{float(xy)!r} {float(xz)!r} {float(yz)!r} xy xz yz"]
    else:
        low, high = positions.min(axis=0) - MARGIN_A, positions.max(axis=0) + MARGIN_A
        box = [(low[k], high[k], f"{'xyz'[k]}lo {'xyz'[k]}hi") for k in range(3)]
        tilt = []
    lines = ["start structure, written by sparc_fw", "", f"{len(start)} atoms", f"{len(elements)} atom types"]
    lines += [f"{float(begin)!r} {float(end)!r} {name}" for begin, end, name in box] + tilt
    lines += ["", "Masses", ""]
    lines += [f"{i} {float(atomic_masses[atomic_numbers[symbol]])!r}" for i, symbol in enumerate(elements, 1)]
    lines += ["", "Atoms # atomic", ""]
    for number, (symbol, position) in enumerate(zip(start.symbols, positions, strict=True), 1):
        x, y, z = (float(value) for value in position)
        lines.append(f"{number} {elements.index(symbol) + 1} {x!r} {y!r} {z!r}")
    path.write_text("\n".join(lines) + "\n")


def read_dump(path: Path, atoms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a binary dump of ``id xu yu zu``, sorted by id.

    Binary because it keeps every bit and costs nothing to write or read.

    Returns
    -------
    steps : ndarray of shape (n_frames,)
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å, in LAMMPS' axes. A frame that was cut off in the middle is left out.
    cells : ndarray of shape (n_frames, 3, 3)
        Å, in LAMMPS' axes.

    Notes
    -----
    Layout: ``tools/binary2txt.cpp`` of LAMMPS, revision 2 of the format.
    """
    data = path.read_bytes() if path.exists() else b""
    steps: list[int] = []
    frames: list[np.ndarray] = []
    cells: list[np.ndarray] = []
    offset = 0
    while True:
        try:
            step, offset, cell, values = _read_frame(data, offset)
        except (struct.error, EOFError):
            break
        steps.append(step)
        cells.append(cell)
        frames.append(values.reshape(atoms, 4)[:, 1:])
    return np.array(steps, dtype=int), np.array(frames).reshape(-1, atoms, 3), np.array(cells).reshape(-1, 3, 3)


def _cell(bounds: Sequence[float], tilt: Sequence[float]) -> np.ndarray:
    """Cell vectors from a dump's bounding box and tilt factors (https://docs.lammps.org/Howto_triclinic.html)."""
    xlo, xhi, ylo, yhi, zlo, zhi = bounds
    xy, xz, yz = tilt
    x_length = (xhi - max(0.0, xy, xz, xy + xz)) - (xlo - min(0.0, xy, xz, xy + xz))
    y_length = (yhi - max(0.0, yz)) - (ylo - min(0.0, yz))
    return np.array([[x_length, 0.0, 0.0], [xy, y_length, 0.0], [xz, yz, zhi - zlo]])


def _read_frame(data: bytes, offset: int) -> tuple[int, int, np.ndarray, np.ndarray]:
    def take(layout: str) -> tuple[Any, ...]:
        nonlocal offset
        values = struct.unpack_from("<" + layout, data, offset)
        offset += struct.calcsize("<" + layout)
        return values

    (magic,) = take("q")
    offset += -magic + 8  # the magic string, byte order, revision
    step, _, triclinic = take("qqi")
    offset += 6 * 4  # boundaries
    bounds = take("6d")
    tilt = take("3d") if triclinic else (0.0, 0.0, 0.0)
    _, units = take("ii")
    offset += units
    (timed,) = take("b")
    offset += 8 if timed else 0
    (columns,) = take("i")
    offset += columns
    (parts,) = take("i")
    pieces = []
    for _ in range(parts):
        (count,) = take("i")
        if offset + 8 * count > len(data):
            raise EOFError
        pieces.append(np.frombuffer(data, "<f8", count, offset))
        offset += 8 * count
    return step, offset, _cell(bounds, tilt), np.concatenate(pieces)


def read_thermo(log: str) -> dict[str, np.ndarray]:
    """Thermodynamic output in yaml style, by LAMMPS' own column names, units metal."""
    # Non-finite numbers stand as nan, -nan or inf, which Python's float reads.
    rows = [[float(word) for word in row.split(",") if word.strip()] for row in _ROW.findall(log)]
    whole = [row for row in rows if len(row) == len(THERMO)]
    return {name: np.array([row[k] for row in whole]) for k, name in enumerate(THERMO)}


def error_in(log: str) -> str | None:
    """LAMMPS' own error message, or None."""
    found = _ERROR.search(log)
    return found[1].strip() if found else None


def halt_in(log: str) -> tuple[int, float] | None:
    """Step and value at which ``fix halt`` ended the run, or None."""
    found = _HALT.search(log)
    return (int(found[1]), float(found[2])) if found else None
