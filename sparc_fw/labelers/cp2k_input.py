"""CP2K input as a tree of sections: read from a template, changed by paths, written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

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
PLACES: dict[str, tuple[tuple[str, ...], ...]] = {
    "functional": ((*DFT, "XC", "XC_FUNCTIONAL"), (*SUBSYS, "KIND", "POTENTIAL")),
    "basis_set": ((*SUBSYS, "KIND", "BASIS_SET"),),
    "pseudo_potential": ((*SUBSYS, "KIND", "POTENTIAL"),),
    "cutoff_Ry": ((*DFT, "MGRID", "CUTOFF"),),
    "rel_cutoff": ((*DFT, "MGRID", "REL_CUTOFF"),),
    "scf": tuple((*SCF, name) for name in ("DIAGONALIZATION", "OT", "OUTER_SCF")),
    "guess": ((*SCF, "SCF_GUESS"),),
    "max_scf": ((*SCF, "MAX_SCF"),),
    "eps_scf": ((*SCF, "EPS_SCF"),),
    "smearing_K": ((*SCF, "SMEAR"), (*SCF, "ADDED_MOS")),
    "added_orbitals": ((*SCF, "ADDED_MOS"),),
    "mixing_alpha": tuple((*SCF, "MIXING", name) for name in ("_", "METHOD", "ALPHA")),
}
"""Where in the input the labeler's options are written."""


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


def without(overrides: Mapping[str, Any], paths: Collection[tuple[str, ...]]) -> dict[str, Any]:
    """Overrides, as `apply` takes them, without what they say of the keywords and sections at some paths."""
    kept: dict[str, Any] = {}
    for key, value in overrides.items():
        name = key.partition(" ")[0].upper()
        below = {path[1:] for path in paths if path[0] == name}
        if not below:
            kept[key] = value
        elif () not in below and isinstance(value, Mapping):
            kept[key] = without(value, below)
    return kept


def _word(value: Any) -> str:
    """A value as CP2K reads it."""
    return {True: "T", False: "F"}[value] if isinstance(value, bool) else str(value)
