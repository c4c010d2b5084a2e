"""A potential that was never trained: it lends a calculator to ASE, and lines to LAMMPS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ase.calculators.calculator import Calculator

from sparc_fw.documents import Dataset, TrainedModel
from sparc_fw.potentials.base import Evaluator, Potential, PotentialOptions, Progress
from sparc_fw.settings import Settings


class Known(Potential[PotentialOptions]):
    """Lends what it was given."""

    def __init__(self, calculator: Calculator | None = None, lines: Sequence[str] = ()) -> None:
        super().__init__(PotentialOptions(kind="known"), Settings())
        self.lent = calculator
        self.lines = list(lines)

    def calculator(self, model: Path) -> Calculator:
        assert self.lent is not None
        return self.lent

    @property
    def total_steps(self) -> int:
        return 0

    def with_steps(self, steps: int) -> Known:
        raise NotImplementedError

    def train(self, dataset: Dataset, seed: int, directory: Path, progress: Progress) -> TrainedModel:
        raise NotImplementedError

    def load(self, model: Path) -> Evaluator:
        raise NotImplementedError

    def lammps_lines(self, model: Path, elements: Sequence[str]) -> list[str]:
        return self.lines
