"""VASP-like outputs of the tests' own making, from any energies and forces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

NELM = 40


def _varray(name: str, rows: np.ndarray) -> str:
    lines = "".join(f"<v> {' '.join(f'{value:.10f}' for value in row)} </v>\n" for row in rows)
    return f'<varray name="{name}">\n{lines}</varray>\n'


def _structure(frame: Atoms, name: str = "") -> str:
    cell = np.array(frame.cell)
    reciprocal = np.array(frame.cell.reciprocal())
    crystal = (
        f'<crystal>\n{_varray("basis", cell)}<i name="volume"> {frame.get_volume():.8f} </i>\n'
        f"{_varray('rec_basis', reciprocal)}</crystal>\n"
    )
    label = f' name="{name}"' if name else ""
    return f"<structure{label}>\n{crystal}{_varray('positions', frame.get_scaled_positions(wrap=False))}</structure>\n"


def _step(frame: Atoms, cycles: int) -> str:
    results = frame.calc.results
    energies = "".join(
        f'<i name="{name}"> {value:.8f} </i>\n'
        for name, value in (
            ("e_fr_energy", results["energy"]),
            ("e_wo_entrp", results["energy"]),
            ("e_0_energy", results["energy"] + 0.5),
        )
    )
    scf = f"<scstep>\n<energy>\n{energies}</energy>\n</scstep>\n" * cycles
    kbar = -results["stress"][[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3) / 0.00062415091
    return (
        f"<calculation>\n{scf}{_structure(frame)}{_varray('forces', results['forces'])}{_varray('stress', kbar)}"
        f"<energy>\n{energies}</energy>\n</calculation>\n"
    )


def write_vasprun(path: Path, frames: Sequence[Atoms], cycles: Sequence[int]) -> None:
    """Write a ``vasprun.xml`` with one ionic step per frame, each after so many electronic steps."""
    first = frames[0]
    symbols = first.get_chemical_symbols()
    kinds = list(dict.fromkeys(symbols))
    atoms = "".join(f"<rc><c>{s}</c><c>{kinds.index(s) + 1}</c></rc>\n" for s in symbols)
    types = "".join(
        f"<rc><c>{symbols.count(k)}</c><c>{k}</c><c>1.0</c><c>1.0</c><c> PAW_PBE {k} 01Jan2000 </c></rc>\n"
        for k in kinds
    )
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n<generator>\n'
        '<i name="program" type="string">vasp </i>\n<i name="version" type="string">6.0.0 </i>\n</generator>\n'
        '<incar>\n<i name="ENCUT"> 300.0 </i>\n</incar>\n'
        '<kpoints>\n<varray name="kpointlist">\n<v> 0.0 0.0 0.0 </v>\n</varray>\n'
        '<varray name="weights">\n<v> 1.0 </v>\n</varray>\n</kpoints>\n'
        f'<parameters>\n<i type="int" name="NELM"> {NELM} </i>\n<i type="int" name="NSW"> 2 </i>\n'
        '<i type="int" name="IBRION"> 0 </i>\n</parameters>\n'
        f"<atominfo>\n<atoms> {len(first)} </atoms>\n<types> {len(kinds)} </types>\n"
        '<array name="atoms">\n<dimension dim="1">ion</dimension>\n<field type="string">element</field>\n'
        f'<field type="int">atomtype</field>\n<set>\n{atoms}</set>\n</array>\n'
        '<array name="atomtypes">\n<dimension dim="1">type</dimension>\n<field type="int">atomspertype</field>\n'
        '<field type="string">element</field>\n<field>mass</field>\n<field>valence</field>\n'
        f'<field type="string">pseudopotential</field>\n<set>\n{types}</set>\n</array>\n</atominfo>\n'
        f"{_structure(first, 'initialpos')}{''.join(map(_step, frames, cycles))}{_structure(frames[-1], 'finalpos')}"
        "</modeling>\n"
    )
