"""CP2K input: a template, what the campaign changes in it, and the frame; later ones win."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ase import Atoms
from ase.units import Bohr

BUILT_IN = """\
&FORCE_EVAL
  METHOD Quickstep
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME POTENTIAL
    &MGRID
      CUTOFF 600
      REL_CUTOFF 60
    &END MGRID
    &QS
      EPS_DEFAULT 1.0E-12
    &END QS
    &SCF
      SCF_GUESS ATOMIC
      EPS_SCF 1.0E-6
      MAX_SCF 60
      &PRINT
        &RESTART OFF
        &END RESTART
      &END PRINT
    &END SCF
    &XC
      &XC_FUNCTIONAL PBE
      &END XC_FUNCTIONAL
    &END XC
  &END DFT
  &SUBSYS
    &KIND DEFAULT
      BASIS_SET DZVP-MOLOPT-SR-GTH
      POTENTIAL GTH-PBE
    &END KIND
  &END SUBSYS
&END FORCE_EVAL
"""
"""Measured on water in a 7 Å box, an oxygen atom being the hardest case: forces move with the place on the grid by
0.3 eV/Å at a cut-off of 300 Ry, by 0.1 at 600."""

DFT = ("FORCE_EVAL", "DFT")
SCF = (*DFT, "SCF")
SUBSYS = ("FORCE_EVAL", "SUBSYS")
_UNRESTRICTED = ("UKS", "UNRESTRICTED_KOHN_SHAM", "LSD", "SPIN_POLARIZED")


def parse_template(text: str) -> Any:
    """Read CP2K input into ASE's `InputSection`.

    Raises
    ------
    ValueError
        If it is not one balanced tree of sections with one FORCE_EVAL, or uses CP2K's preprocessor.
    """
    from ase.calculators.cp2k import parse_input

    lines, open_sections = [], 0
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.split("#", 1)[0].split("!", 1)[0].strip()
        if bare.startswith("@") or "${" in bare:
            raise ValueError(f"line {number}: found {bare!r}: the preprocessor's @ and ${{}} must be written out")
        open_sections += 0 if not bare.startswith("&") else -1 if bare.upper().startswith("&END") else 1
        if open_sections < 0:
            raise ValueError(f"line {number}: found {bare!r} without the section that it ends")
        lines.append(bare)
    if open_sections:
        raise ValueError(f"found {open_sections} section(s) without &END")
    root = parse_input("\n".join(lines))
    found = [part for part in root.subsections if part.name == "FORCE_EVAL"]
    if len(found) != 1:
        raise ValueError(f"found {len(found)} sections FORCE_EVAL, expected one")
    return root


def section(parent: Any, *path: str) -> Any:
    """The section at a path below another, made where it is not there."""
    for name in path:
        parent = parent.get_subsection(name)
    return parent


def set_keyword(parent: Any, name: str, *values: Any) -> None:
    """Give a keyword one line for each value, in place of the lines that it has."""
    parent.keywords = [line for line in parent.keywords if line.split()[0].upper() != name.upper()]
    parent.keywords += [f"{name} {_word(value)}".rstrip() for value in values]


def remove_sections(parent: Any, *names: str) -> None:
    """Remove all sections of these names."""
    parent.subsections = [part for part in parent.subsections if part.name not in names]


def keyword(parent: Any, name: str) -> str | None:
    """The value of a keyword, None where it is not set."""
    return next((line.split(maxsplit=1)[-1] for line in parent.keywords if line.split()[0].upper() == name), None)


def apply(parent: Any, overrides: Mapping[str, Any]) -> None:
    """Change sections (mappings) and keywords (all else) as a nested mapping says.

    ``_`` is the parameter of the section itself, ``KIND H`` the section KIND with parameter H; null removes a keyword
    or section, a list repeats a keyword.
    """
    from ase.calculators.cp2k import InputSection

    for key, value in overrides.items():
        name, _, parameter = key.partition(" ")
        same = [
            part
            for part in parent.subsections
            if part.name == name.upper() and (not parameter or str(part.params).upper() == parameter.upper())
        ]
        if key == "_":
            parent.params = _word(value)
        elif isinstance(value, Mapping):
            if not same:
                same = [InputSection(name=name, params=parameter or None)]
                parent.subsections += same
            for part in same:
                apply(part, value)
        else:
            parent.subsections = [part for part in parent.subsections if part not in same]
            set_keyword(parent, name, *(value if isinstance(value, list) else [] if value is None else [value]))


def set_kinds(root: Any, symbols: list[str], basis_set: str | None, pseudo_potential: str | None) -> None:
    """Give each element its own section KIND; what it leaves open comes from KIND DEFAULT."""
    from ase.calculators.cp2k import InputSection

    subsys = section(root, *SUBSYS)
    written = {str(part.params).upper(): part for part in subsys.subsections if part.name == "KIND"}
    default = written.get("DEFAULT", InputSection("KIND"))
    remove_sections(subsys, "KIND")
    for symbol in sorted(set(symbols)):
        kind = written.get(symbol.upper(), InputSection("KIND", symbol))
        known = {line.split()[0].upper() for line in kind.keywords}
        kind.keywords += [line for line in default.keywords if line.split()[0].upper() not in known]
        kind.subsections = kind.subsections or copy.deepcopy(default.subsections)
        if basis_set is not None:
            # Auxiliary sets, of ADMM or RI, have their type before their name.
            others = [
                line for line in kind.keywords if line.split()[0].upper() == "BASIS_SET" and len(line.split()) > 2
            ]
            set_keyword(kind, "BASIS_SET", basis_set, *(line.split(maxsplit=1)[1] for line in others))
        if pseudo_potential is not None:
            set_keyword(kind, "POTENTIAL", pseudo_potential)
        subsys.subsections.append(kind)


def set_orbital_transformation(root: Any) -> None:
    """Minimise by orbital transformation, restarted by outer loops, where SCF is by diagonalization.

    References
    ----------
    J. VandeVondele and J. Hutter, J. Chem. Phys. 118 (2003) 4365.
    """
    scf = section(root, *SCF)
    remove_sections(scf, "DIAGONALIZATION", "MIXING", "OT", "OUTER_SCF")
    set_keyword(scf, "ADDED_MOS")
    tolerance = keyword(scf, "EPS_SCF") or "1.0E-5"
    apply(scf, {"OT": {"MINIMIZER": "CG", "PRECONDITIONER": "FULL_SINGLE_INVERSE", "LINESEARCH": "3PNT"}})
    apply(scf, {"OUTER_SCF": {"MAX_SCF": 10, "EPS_SCF": tolerance}})


def set_charge_and_spin(root: Any, charge: int, spin: int) -> None:
    """Charge, multiplicity, and unrestricted orbitals where electrons are unpaired."""
    dft = section(root, *DFT)
    set_keyword(dft, "CHARGE", charge)
    set_keyword(dft, "MULTIPLICITY", spin + 1)
    if spin:
        for name in _UNRESTRICTED:
            set_keyword(dft, name)
        set_keyword(dft, "UKS", True)


def poisson_solver(root: Any) -> str:
    """The solver that the template names for molecules; wavelets, which need the least box, where it names none."""
    named = keyword(section(root, *DFT, "POISSON"), "PSOLVER") or keyword(
        section(root, *DFT, "POISSON"), "POISSON_SOLVER"
    )
    return "WAVELET" if named is None or named.upper() == "PERIODIC" else named.upper()


def set_frame(root: Any, frame: Atoms, solver: str) -> None:
    """Cell, coordinates, boundary conditions, and what is to be computed.

    Lengths are in bohr by ASE's constant, which converts the forces back.
    """
    periodic = bool(frame.pbc.any())
    subsys = section(root, *SUBSYS)
    remove_sections(subsys, "CELL", "COORD", "TOPOLOGY")
    cell, coordinates = section(subsys, "CELL"), section(subsys, "COORD")
    for name, vector in zip("ABC", frame.cell.array / Bohr, strict=True):
        set_keyword(cell, name, "[bohr] " + _numbers(vector))
    set_keyword(cell, "PERIODIC", "XYZ" if periodic else "NONE")
    coordinates.keywords = ["UNIT bohr"] + [
        f"{symbol} {_numbers(place)}" for symbol, place in zip(frame.symbols, frame.positions / Bohr, strict=True)
    ]
    poisson = section(root, *DFT, "POISSON")
    set_keyword(poisson, "POISSON_SOLVER")
    set_keyword(poisson, "PERIODIC", "XYZ" if periodic else "NONE")
    set_keyword(poisson, "PSOLVER", "PERIODIC" if periodic else solver)
    set_keyword(section(root, "FORCE_EVAL"), "STRESS_TENSOR", "ANALYTICAL" if periodic else "NONE")
    what = section(root, "GLOBAL")
    set_keyword(what, "PROJECT_NAME")
    # The output must tell whether SCF converged.
    for name, value in (("PROJECT", "label"), ("RUN_TYPE", "ENERGY_FORCE"), ("PRINT_LEVEL", "LOW")):
        set_keyword(what, name, value)


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.16g}" for value in values)


def _word(value: Any) -> str:
    """A value as CP2K reads it."""
    return {True: "T", False: "F"}[value] if isinstance(value, bool) else str(value)
