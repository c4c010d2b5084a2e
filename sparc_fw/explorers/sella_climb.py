"""Sella's search for a saddle; apart from its options, since it needs a package that many do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from sparc_fw.explorers.climbing import Climb, rigid

if TYPE_CHECKING:
    from sparc_fw.explorers.saddle import SaddleOptions


def sella_climb(atoms: Atoms, away: np.ndarray, options: SaddleOptions) -> Climb:
    """Partitioned rational-function optimization from where a displacement led, along which it looks first."""
    from sella import Sella

    free = len(rigid(atoms)) > 0
    optimizer = Sella(
        atoms,
        logfile=None,
        delta0=options.max_step_A,
        proj_trans=free,
        proj_rot=free and not atoms.pbc.any(),
    )
    surface = optimizer.pes
    # Sella counts in coordinates without what is fixed.
    surface.v0 = surface.get_Ufree().T @ away.ravel()

    def curvature() -> float:
        if surface.H.evals is None:
            return float("nan")
        return float(surface.get_HL_projected(surface.get_Ufree()).evals[0])

    return Climb(
        optimizer=optimizer,
        energy=lambda: float(surface.get_f()),
        forces=lambda: np.asarray(surface.get_projected_forces()),
        curvature=curvature,
    )
