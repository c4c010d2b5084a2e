"""PySCF under another name that writes down every calculation, so that a test can count them across kills."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms

from sparc_fw.labelers.pyscf import PySCFLabeler, PySCFOptions

LOG = "COUNTED_PYSCF_LOG"
"""Environment variable that names the file, which gets the key of each frame when its calculation begins."""


class CountedPySCFOptions(PySCFOptions):
    """Options of PySCF."""

    kind: Literal["counted_pyscf"] = "counted_pyscf"  # type: ignore[assignment]


class CountedPySCF(PySCFLabeler):
    """Calculates with PySCF."""

    Options = CountedPySCFOptions

    def calculate(self, frame: Atoms) -> tuple[float, np.ndarray, np.ndarray | None, int]:
        """Log, and calculate."""
        with Path(os.environ[LOG]).open("a") as log:
            log.write(self.key(frame) + "\n")
        return super().calculate(frame)
