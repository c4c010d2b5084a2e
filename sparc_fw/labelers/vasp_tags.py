"""INCAR tags: which decide a number, which the way to it, and which neither."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pymatgen.io.vasp.inputs import Incar

MACHINE = frozenset({"NCORE", "NPAR", "KPAR", "NSIM", "LPLANE", "LSCALAPACK", "LSCALU"})
"""How the work is shared."""
OUTPUT = frozenset(
    [
        *("SYSTEM", "NWRITE", "LWAVE", "LCHARG", "LAECHG", "LVHAR", "LVTOT", "LELF", "LORBIT"),
        *("NEDOS", "EMIN", "EMAX"),
    ]
)
"""What is written down."""
LIMITS = frozenset({"NELM"})
"""How much is tried."""
TECHNICAL = (
    MACHINE
    | LIMITS
    | frozenset(
        [
            *("ALGO", "IALGO", "ISEARCH", "TIME", "NELMIN", "NELMDL", "ISTART", "ICHARG", "LWAVE", "LCHARG"),
            *("IMIX", "AMIX", "BMIX", "AMIX_MAG", "BMIX_MAG", "AMIN", "MAXMIX", "WC", "ISYM", "SYMPREC", "POTIM"),
            *("SMASS", "NBANDS"),
        ]
    )
)
"""Tags by which a calculation finds its way, but which do not decide where it arrives, if it arrives in the same state:
what a handler may change in the middle of a calculation. In the hash of the settings only those of them are left out
that find no other state either."""

BY_ATOM = frozenset({"MAGMOM", "M_CONSTR"})
"""Tags with a value, or a vector, for each atom; where others have several, it is one for each element."""


def own_incar(text: str, changes: Mapping[str, Any]) -> Incar:
    """The tags of the user's own INCAR, with the user's changes of it (null takes a tag out)."""
    from pymatgen.io.vasp.inputs import Incar

    incar: Incar = Incar.from_str(text)
    for tag, value in changes.items():
        if value is None:
            incar.pop(tag.upper(), None)
        else:
            incar[tag] = value
    return incar


def deciding_tags(tags: Mapping[str, Any]) -> dict[str, Any]:
    """The tags that decide the numbers."""
    return {tag.upper(): value for tag, value in tags.items() if tag.upper() not in MACHINE | OUTPUT | LIMITS}


def way_tags(tags: Mapping[str, Any]) -> dict[str, Any]:
    """The tags that decide the numbers, with the defaults of those by which a calculation without files begins."""
    found = {"ALGO": "Normal", "ICHARG": 2} | deciding_tags(tags)
    # Where there is no WAVECAR there is but one start.
    found.pop("ISTART", None)
    return found | {"ALGO": str(found["ALGO"]).lower()}


def names_atoms(tags: Mapping[str, Any], unlisted: Collection[str]) -> bool:
    """Whether tags tell apart atoms of one element, or may: `unlisted` ones, of which nothing is known."""
    unknown = {tag.upper() for tag in unlisted}
    for tag, value in tags.items():
        if tag.upper() in unknown:
            return True
        # By element (pymatgen's mapping), or the same for all, they tell no atoms apart.
        if tag.upper() in BY_ATOM and not isinstance(value, Mapping) and len(set(np.ravel(value).tolist())) > 1:
            return True
    return False


def plain_kpoints(text: str) -> dict[str, Any]:
    """A KPOINTS file as plain values, without its comment."""
    from pymatgen.io.vasp.inputs import Kpoints

    found = Kpoints.from_str(text).as_dict()
    return {key: value for key, value in found.items() if key != "comment" and not key.startswith("@")}
