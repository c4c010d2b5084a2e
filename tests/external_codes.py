"""Cheap real calculations of external codes, for several test modules; skipped where the code is not installed."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from ase import Atoms

from sparc_fw.labelers.base import Labeler
from sparc_fw.labelers.cp2k import CP2KLabeler, CP2KOptions
from sparc_fw.labelers.qe import QELabeler, QEOptions
from sparc_fw.settings import Settings

CHEAP_CP2K: dict[str, Any] = {
    "basis_set": "SZV-MOLOPT-SR-GTH",
    "cutoff_Ry": 150.0,
    "rel_cutoff": 30.0,
    "vacuum_A": 2.5,
}
# All for PBE; that of Si is norm-conserving.
CHEAP_QE: dict[str, Any] = {
    "pseudopotentials": {
        "H": "H.pbe-kjpaw.UPF",
        "C": "C.pbe-rrkjus.UPF",
        "N": "N.pbe-kjpaw.UPF",
        "O": "O.pbe-kjpaw.UPF",
        "Si": "Si.pbe-rrkj.UPF",
    },
    "ecutwfc_Ry": 20.0,
    "ecutrho_Ry": 80.0,
    "vacuum_A": 1.5,
    "kpoints": (2, 2, 2),
}


LabelerType = TypeVar("LabelerType", bound=Labeler[Any])


def cp2k(settings: Settings | None = None, **options: Any) -> CP2KLabeler:
    """A CP2K labeler; its grid is far too coarse for science."""
    return ready(CP2KLabeler(CP2KOptions.model_validate(CHEAP_CP2K | options), settings or Settings()))


def qe(settings: Settings | None = None, **options: Any) -> QELabeler:
    """A Quantum ESPRESSO labeler; its cut-off is far too low for science."""
    return ready(QELabeler(QEOptions.model_validate(CHEAP_QE | options), settings or Settings()))


def ready(labeler: LabelerType) -> LabelerType:
    """The labeler, where its code is installed."""
    missing = labeler.missing()
    if missing:
        pytest.skip("; ".join(missing))
    return labeler


def hydrogen() -> Atoms:
    """A stretched H2 without symmetry."""
    return Atoms("H2", [(0, 0, 0), (0.03, 0.1, 0.8)])


def layer(height: float, place: float) -> Atoms:
    """A layer of H2 in a cell of some height."""
    frame = hydrogen()
    frame.positions[:, 2] += place
    frame.set_cell([[3.0, 0, 0], [-1.5, 2.6, 0], [0, 0, height]])
    frame.pbc = (True, True, False)
    return frame
