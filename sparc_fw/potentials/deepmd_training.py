"""One training of DeePMD-kit: where it lies, how far it has come, and what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparc_fw.backend import package_version
from sparc_fw.documents import TrainedModel
from sparc_fw.potentials.deepmd_curve import LearningCurve
from sparc_fw.potentials.deepmd_train import RESULT

CURVE = "lcurve.out"


@dataclass(frozen=True)
class Training:
    """A training that is prepared.

    Attributes
    ----------
    folder : Path
        Holds data and input; the model comes there.
    elements : list of str
        The type map.
    plan : dict
        The input.
    """

    folder: Path
    elements: list[str]
    plan: dict[str, Any]
    seed: int

    @property
    def steps(self) -> int:
        """Steps that it takes."""
        return int(self.plan["training"]["numb_steps"])

    def made(self) -> int:
        """Steps that it has told of."""
        rows = self._curve()
        return int(rows[-1]["step"]) if rows else 0

    def trained(self, seconds: float, compressed: bool) -> TrainedModel:
        """The model that came of it."""
        result = json.loads((self.folder / RESULT).read_text())
        frozen = self.folder / result["file"]
        return TrainedModel(
            file=frozen.read_bytes(),
            suffix=frozen.suffix,
            elements=self.elements,
            seed=self.seed,
            steps=self.steps,
            seconds=seconds,
            framework=f"deepmd-kit ({result['backend']})",
            version=package_version("deepmd-kit"),
            curve=self._curve(),
            details={"backend": result["backend"], "compressed": compressed, "input": self.plan},
        )

    def _curve(self) -> list[dict[str, float]]:
        return LearningCurve(self.folder / CURVE).read()
