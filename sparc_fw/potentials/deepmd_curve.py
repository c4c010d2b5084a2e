"""The learning curve that DeePMD-kit writes."""

from __future__ import annotations

import math
from pathlib import Path

from sparc_fw.errors import TrainingDiverged


class LearningCurve:
    """Follows ``lcurve.out`` while it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, float]]:
        """All rows so far: ``step``, ``rmse_*`` and ``lr``; columns without reference data are left out.

        Raises
        ------
        TrainingDiverged
            If an error of the energy or the forces is not finite.
        """
        if not self.path.exists():
            return []
        # The last line may be half written.
        lines = self.path.read_text().rpartition("\n")[0].splitlines()
        if not lines:
            return []
        names = lines[0].lstrip("# ").split()
        rows = []
        for line in lines[1:]:
            if line.startswith("#"):
                continue
            row = dict(zip(names, map(float, line.split()), strict=True))
            wrong = [name for name in row if not name.startswith("rmse_v_") and not math.isfinite(row[name])]
            if wrong:
                raise TrainingDiverged(f"deepmd: {wrong[0]} is {row[wrong[0]]} at step {row['step']:.0f} ({self.path})")
            rows.append({name: value for name, value in row.items() if math.isfinite(value)})
        return rows
