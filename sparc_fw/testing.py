"""Cheap backends for tests of workflows: analytic energies, committees that disagree less the more they are trained.

They are not registered: a test makes them known as a third party would, by entry points in the groups
``sparc_fw.labeler``, ``sparc_fw.potential`` and ``sparc_fw.explorer``; see `write_plugin`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from pydantic import Field
from typing_extensions import Self

from sparc_fw.documents import Dataset, Label, TrainedModel
from sparc_fw.errors import TrainingDiverged
from sparc_fw.explorers.base import Explorer, Replica, TimedOptions
from sparc_fw.labelers.base import Labeler, LabelerOptions, LabelError
from sparc_fw.potentials.base import Evaluator, Potential, PotentialOptions, Progress
from sparc_fw.same_frames import frame_hash
from sparc_fw.trajectories import Trajectory

LOG = "MORSE_LOG"
"""Environment variable that names a file, which gets a line for each calculation, so that a test can count them."""

PLUGIN = {
    "sparc_fw.labeler": {"morse": "sparc_fw.testing:MorseLabeler"},
    "sparc_fw.potential": {"blurred_morse": "sparc_fw.testing:BlurredMorsePotential"},
    "sparc_fw.explorer": {"random_walk": "sparc_fw.testing:RandomWalkExplorer"},
}


def write_plugin(folder: Path, plugin: dict[str, dict[str, str]] = PLUGIN) -> None:
    """Make backends known to every interpreter that has `folder` on its path; by default those of this module.

    Parameters
    ----------
    plugin : dict of dict
        For each group of entry points, the class of each kind as ``module:name``.
    """
    about = folder / "sparc_fw_testing-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sparc_fw_testing\nVersion: 1\n")
    lines = []
    for group, points in plugin.items():
        lines += [f"[{group}]", *(f"{kind} = {target}" for kind, target in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")


def morse(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energy of a Morse potential between all pairs of atoms (depth 1 eV, exponent 1.5/Å, minimum at 1.5 Å).

    Parameters
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.

    Returns
    -------
    energies : ndarray of shape (n_frames,)
        eV.
    forces : ndarray of shape (n_frames, n_atoms, 3)
        eV/Å.
    """
    depth, exponent, minimum = 1.0, 1.5, 1.5
    first, second = np.triu_indices(positions.shape[1], k=1)
    difference = positions[:, first] - positions[:, second]
    distance = np.linalg.norm(difference, axis=2)
    decay = np.exp(-exponent * (distance - minimum))
    energies = (depth * (decay**2 - 2 * decay)).sum(axis=1)
    slope = -2 * depth * exponent * (decay**2 - decay)
    pull = (slope / distance)[:, :, None] * difference
    forces = np.zeros_like(positions)
    for pair, (i, j) in enumerate(zip(first, second, strict=True)):
        forces[:, i] -= pull[:, pair]
        forces[:, j] += pull[:, pair]
    return energies, forces


class MorseOptions(LabelerOptions):
    """Options of the Morse labeler."""

    steering: ClassVar[frozenset[str]] = frozenset({"fail_every", "backwards"})

    kind: Literal["morse"] = "morse"
    force_cap: float | None = Field(None, gt=0)
    """The walls of this potential are steep everywhere, so that no limit is the default, eV/Å."""
    seconds: float = Field(0.0, ge=0)
    """How long each label takes, s."""
    fail_every: int = Field(0, ge=0)
    """About every so many frames does not converge, always the same ones; 0 for none."""
    backwards: bool = False
    """Whether sums begin at the last atom, which is another way to the same numbers."""


class MorseLabeler(Labeler[MorseOptions]):
    """Labels with a Morse potential."""

    Options = MorseOptions
    code = "numpy"
    # There is one state only: computed again, a number that somebody spoiled comes out right.
    rechecks: ClassVar[list[dict[str, Any]]] = [{"backwards": True}]

    @cached_property
    def like_atoms_alike(self) -> bool:
        """All atoms are."""
        return True

    def check(self, frame: Atoms) -> None:
        """Any frame will do."""

    def version(self) -> str:
        """Version of numpy."""
        return str(np.__version__)

    def calculate(self, frame: Atoms) -> tuple[float, np.ndarray, np.ndarray | None, int]:
        """Sleep, log, and evaluate."""
        time.sleep(self.options.seconds)
        name = frame_hash(frame)
        if LOG in os.environ:
            with Path(os.environ[LOG]).open("a") as log:
                log.write(name + "\n")
        if self.options.fail_every and int(name, 16) % self.options.fail_every == 0:
            raise LabelError("not_converged", "chosen not to converge")
        order = -1 if self.options.backwards else 1
        energies, forces = morse(frame.positions[None, ::order])
        return float(energies[0]), forces[0, ::order], None, 1


class BlurredMorseOptions(PotentialOptions):
    """Options of the blurred Morse potential."""

    kind: Literal["blurred_morse"] = "blurred_morse"
    seconds: float = Field(0.0, ge=0)
    """How long a training takes, s."""
    steps: int = Field(10, ge=1)
    """How often a training reports its progress."""
    blur: float = Field(5.0, ge=0)
    """Error of a member's forces, divided by the number of labels that it was trained on, eV/Å."""
    diverge: int = Field(0, ge=0)
    """So many attempts of each member diverge."""


class _BlurredMorse(Evaluator):
    def __init__(self, model: Path) -> None:
        self.values = json.loads(model.read_text())

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        energies, forces = morse(positions)
        phase = np.random.default_rng(self.values["seed"]).uniform(0, 2 * np.pi, positions.shape[1:])
        return energies, forces + self.values["blur"] * np.sin(positions + phase)


class _BlurredMorseCalculator(Calculator):
    implemented_properties = ("energy", "forces")

    def __init__(self, evaluator: Evaluator) -> None:
        super().__init__()
        self.evaluator = evaluator

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate one frame."""
        super().calculate(atoms, properties, system_changes)
        energies, forces = self.evaluator.evaluate(self.atoms.numbers, self.atoms.positions[None], None)
        self.results = {"energy": float(energies[0]), "forces": forces[0]}


class BlurredMorsePotential(Potential[BlurredMorseOptions]):
    """Knows the truth but for an error that falls with the number of labels and differs between members."""

    Options = BlurredMorseOptions

    @property
    def total_steps(self) -> int:
        """Steps that progress is reported for."""
        return self.options.steps

    def with_steps(self, steps: int) -> Self:
        """The same potential with fewer reports."""
        return type(self)(self.options.model_copy(update={"steps": steps}), self.settings)

    def train(self, dataset: Dataset, seed: int, directory: Path, progress: Progress) -> TrainedModel:
        """Write down seed and number of labels."""
        steps = self.options.steps
        for step in range(steps):
            time.sleep(self.options.seconds / steps)
            progress(step + 1, steps)
        # The directory's name ends in the number of the attempt.
        if int(directory.name.rpartition("-")[2]) < self.options.diverge:
            raise TrainingDiverged("chosen to diverge")
        blur = self.options.blur / max(1, len(dataset.train))
        return TrainedModel(
            file=json.dumps({"seed": seed, "blur": blur}).encode(),
            suffix=".json",
            elements=sorted({symbol for label in dataset.train for symbol in label.frame.get_chemical_symbols()}),
            seed=seed,
            steps=steps,
            seconds=self.options.seconds,
            framework="numpy",
            version=np.__version__,
        )

    def check_refit(self) -> None:
        """It can."""

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
        """Know each new label ten times as well as an old one: a little learning must show."""
        blur = self.options.blur / (len(dataset.train) + 10 * len(new))
        files = [json.dumps({**json.loads(model.file), "blur": blur}).encode() for model in models]
        return [replace(model, file=file, steps=steps) for model, file in zip(models, files, strict=True)]

    def load(self, model: Path) -> Evaluator:
        """Read the model."""
        return _BlurredMorse(model)

    def calculator(self, model: Path) -> Calculator:
        """The model as ASE sees it."""
        return _BlurredMorseCalculator(self.load(model))

    def lammps_lines(self, model: Path, elements: Sequence[str]) -> list[str]:
        """There are none."""
        raise NotImplementedError("the blurred Morse potential is not for LAMMPS")


class RandomWalkOptions(TimedOptions):
    """Options of the random walk."""

    kind: Literal["random_walk"] = "random_walk"
    step_A: float = Field(0.05, gt=0)
    """Standard deviation of a step along each axis, Å."""
    seconds: float = Field(0.0, ge=0)
    """How long an exploration takes, s."""
    explode: bool = False
    """Whether the walk ends half-way."""


class RandomWalkExplorer(Explorer[RandomWalkOptions]):
    """Displaces atoms at random, whatever the potential says."""

    Options = RandomWalkOptions

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Walk."""
        time.sleep(self.options.seconds)
        start = replica.start
        frames = round(self.options.planned_ps(replica.iteration) * 1000 / self.options.frame_every_fs)
        if self.options.explode:
            frames //= 2
        rng = np.random.default_rng(replica.seed)
        steps = rng.normal(scale=self.options.step_A, size=(frames, len(start), 3))
        steps[0] = 0.0
        trajectory = Trajectory(
            numbers=start.numbers,
            positions=start.positions + np.cumsum(steps, axis=0),
            cells=np.repeat(start.cell.array[None], frames, axis=0),
            times=np.arange(1, frames + 1) * self.options.frame_every_fs,
            pbc=(False, False, False),
            info=dict(start.info),
            steps=frames,
            ended="completed" if not self.options.explode else "chosen to end half-way",
            seconds=self.options.seconds,
        )
        return [trajectory]
