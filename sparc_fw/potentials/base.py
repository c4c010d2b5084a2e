"""The interface of trainable potentials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
from ase.calculators.calculator import Calculator
from typing_extensions import Self

from sparc_fw.backend import Backend, Options
from sparc_fw.documents import Dataset, Label, TrainedModel
from sparc_fw.errors import InputError

Progress = Callable[[int, int], None]
"""Called with (done, total); cheap, may be called often."""


class PotentialOptions(Options):
    """Options that every potential has."""


PotentialOptionsType = TypeVar("PotentialOptionsType", bound=PotentialOptions)


class Evaluator(ABC):
    """A loaded model."""

    @abstractmethod
    def evaluate(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        cells: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Energies and forces of many frames of the same composition, in large batches.

        Parameters
        ----------
        numbers : ndarray of shape (n_atoms,)
            Atomic numbers.
        positions : ndarray of shape (n_frames, n_atoms, 3)
            Å.
        cells : ndarray of shape (n_frames, 3, 3) or None
            Å; None for molecules.

        Returns
        -------
        energies : ndarray of shape (n_frames,)
            eV.
        forces : ndarray of shape (n_frames, n_atoms, 3)
            eV/Å.
        """


class Potential(Backend[PotentialOptionsType]):
    """Trains, loads and hands models to engines."""

    like_atoms_alike: ClassVar[bool] = False
    """Whether a model knows of atoms no more than their elements, so that frames with like atoms exchanged are one to
    it; labels by a model of a potential that does not say so are computed for each order."""

    def check(self) -> None:
        """Raise `InputError` where the options can never train a model (a key that the framework does not know, …)."""

    def check_origins(self, known: Collection[str]) -> None:
        """Raise `InputError` where the options name an origin of frames that is none of `known`."""

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """Training steps of one member."""

    @abstractmethod
    def with_steps(self, steps: int) -> Self:
        """The same potential, trained for so many steps."""

    @abstractmethod
    def train(self, dataset: Dataset, seed: int, directory: Path, progress: Progress) -> TrainedModel:
        """Train one member in `directory` (empty, the caller's) and return the frozen model.

        Raises
        ------
        TrainingDiverged
            If the errors became NaN.
        StageFailed
            If the framework failed otherwise, with its own last lines.
        """

    def check_refit(self) -> None:
        """Raise `InputError` where a trained model cannot be taught a few more labels; see `refit`."""
        raise InputError(
            f"the potential '{self.options.kind}' cannot learn on the fly: it begins every training anew; expected "
            "another potential (deepmd), or an explorer that is not on_the_fly"
        )

    def refit(
        self,
        models: Sequence[TrainedModel],
        dataset: Dataset,
        new: Sequence[Label],
        steps: int,
        seeds: Sequence[int],
        directory: Path,
        progress: Progress,
    ) -> list[TrainedModel]:
        """Teach trained members a few more labels, far cheaper than `train` does.

        What a member becomes does not depend on who is taught beside it.

        Parameters
        ----------
        models : sequence of TrainedModel
            What `train` or `refit` gave.
        dataset : Dataset
            What they were trained on.
        new : sequence of Label
            What they have still to learn, all ``ok``, of elements that they know.
        steps : int
            Training steps of each.
        seeds : sequence of int
            One for each.
        directory : Path
            Empty, the caller's.

        Raises
        ------
        NotImplementedError
            Where `check_refit` raises.
        TrainingDiverged, StageFailed
            As `train` does.
        """
        raise NotImplementedError(f"the potential '{self.options.kind}' begins every training anew")

    @abstractmethod
    def load(self, model: Path) -> Evaluator:
        """Load a frozen model for batched evaluation."""

    @abstractmethod
    def calculator(self, model: Path) -> Calculator:
        """An ASE calculator of a frozen model."""

    @abstractmethod
    def lammps_lines(self, model: Path, elements: Sequence[str]) -> list[str]:
        """LAMMPS input lines (``pair_style``, ``pair_coeff``) for atom types numbered as `elements`.

        Raises
        ------
        StageFailed
            If the model does not know one of the elements.
        """

    def lammps_committee_lines(
        self, models: Sequence[Path], elements: Sequence[str], every: int, output: str
    ) -> list[str]:
        """As `lammps_lines` for the first model, with the force deviation of all of them written along the way.

        Parameters
        ----------
        every : int
            Steps between two rows.
        output : str
            File that gets rows of a step and the force deviation (eV/Å) of that frame.

        Raises
        ------
        NotImplementedError
            If the framework cannot evaluate a committee inside LAMMPS.
        """
        raise NotImplementedError(f"the potential '{self.options.kind}' cannot evaluate a committee inside LAMMPS")
