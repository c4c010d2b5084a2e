"""Learning on the fly with Deep Potentials: a lesson helps and repeats to the bit, and the run goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from sparc_fw.documents import ON_THE_FLY, Dataset, Label, TrainedModel
from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.on_the_fly import Exchangeable, OnTheFlyExplorer, OnTheFlyOptions
from sparc_fw.explorers.plumed import biased, kernel_problem, let_go, read_fields, working_in
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.potentials.committee import errors
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory
from trained_models import ammonia_borane, ignore_progress, small_potential

Members = list[tuple[TrainedModel, Path]]
OPTIONS = OnTheFlyOptions(
    temperature_K=[600.0],
    ensemble="nve",
    duration_ps=[0.1],
    timestep_fs=0.25,
    frame_every_fs=0.25,
    limit_eV_per_A=0.5,
    look_every_fs=2.5,
    refit_steps=50,
)


def labeler() -> XTBLabeler:
    return XTBLabeler(XTBOptions(method="GFN1-xTB", force_cap=None), Settings())


@dataclass
class InMemory:
    """A teacher without a store."""

    members: Members
    dataset: Dataset
    folder: Path
    allowed: int
    labels: list[Label] = field(default_factory=list)
    lessons: list[list[Path]] = field(default_factory=list)

    def label(self, frame: Atoms) -> Label:
        frame.info["origin"] = ON_THE_FLY
        self.labels.append(labeler().label(frame))
        return self.labels[-1]

    def learn(self, steps: int) -> list[Path]:
        self.lessons.append([])
        for number, (model, _) in enumerate(self.members):
            folder = self.folder / f"{len(self.labels)}-{number}"
            folder.mkdir()
            taught = small_potential().refit(model, self.dataset, self.labels, steps, 5, folder, ignore_progress)
            self.lessons[-1].append(folder / "taught.pb")
            self.lessons[-1][-1].write_bytes(taught.file)
        return self.lessons[-1]


@pytest.fixture(scope="module")
def run(
    members: Members, xtb_labels: list[Label], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Replica, InMemory]:
    """A replica that may ask for one label."""
    folder = tmp_path_factory.mktemp("run")
    teacher = InMemory(members, Dataset(xtb_labels[:50], xtb_labels[50:]), folder, allowed=1)
    models = [path for _, path in members]
    replica = Replica(ammonia_borane(), small_potential(), models, 0, 0, 7, folder, ignore_progress, teacher=teacher)
    return replica, teacher


@pytest.fixture(scope="module")
def found(run: tuple[Replica, InMemory]) -> Trajectory:
    """What it saw."""
    [trajectory] = OnTheFlyExplorer(OPTIONS, Settings()).explore(run[0])
    return trajectory


@pytest.mark.slow
def test_a_run_goes_on_from_where_it_learned(run: tuple[Replica, InMemory], found: Trajectory, tmp_path: Path) -> None:
    replica, teacher = run
    [step] = found.series["labelled_step"].astype(int)
    np.testing.assert_array_equal(teacher.labels[0].frame.positions, found.positions[step])
    # Without a teacher it is plain dynamics: the same up to the lesson, and hardly another right after it.
    alone = replace(replica, teacher=None, directory=tmp_path)
    [other] = OnTheFlyExplorer(OPTIONS, Settings()).explore(alone)
    assert len(other.series["labelled_step"]) == 0
    np.testing.assert_array_equal(other.positions[: step + 1], found.positions[: step + 1])
    moved = np.abs(found.positions[step + 1] - found.positions[step]).max()
    apart = np.abs(other.positions[step + 1] - found.positions[step + 1]).max()
    assert 0 < apart < 0.2 * moved


@pytest.mark.slow
def test_a_lesson_helps_and_repeats_to_the_bit(
    run: tuple[Replica, InMemory], found: Trajectory, xtb_labels: list[Label], tmp_path: Path
) -> None:
    replica, teacher = run
    potential = replica.potential
    files = [replica.models[0], teacher.lessons[0][0]]
    before, after = (errors(potential.load(file), teacher.labels).force_rmse for file in files)
    assert after < 0.9 * before
    # What it knew it still knows.
    before, after = (errors(potential.load(file), xtb_labels[50:]).force_rmse for file in files)
    assert after < 1.2 * before
    again = InMemory(teacher.members[:1], teacher.dataset, tmp_path, 1, list(teacher.labels)).learn(OPTIONS.refit_steps)
    frame = found.frame(0)
    first, second = (
        potential.load(file).evaluate(frame.numbers, frame.positions[None], None)[1] for file in (files[1], again[0])
    )
    np.testing.assert_array_equal(first, second)


class Constant(Calculator):
    """The same force on every atom."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, force: float) -> None:
        super().__init__()
        self.force = force

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = (), system_changes: Sequence[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 1.0, "forces": np.full((len(self.atoms), 3), self.force)}


def test_an_exchanged_calculator_is_asked_anew_about_the_same_atoms() -> None:
    atoms = ammonia_borane()
    atoms.calc = Exchangeable(Constant(1.0))
    assert atoms.get_forces().max() == 1.0
    atoms.calc.exchange(Constant(2.0), atoms)
    assert atoms.get_forces().max() == 2.0


@pytest.mark.plumed
def test_a_bias_keeps_its_step_where_the_calculator_below_it_is_exchanged(tmp_path: Path) -> None:
    problem = kernel_problem()
    if problem is not None:
        pytest.skip(problem)
    atoms, inner = ammonia_borane(), Exchangeable(Constant(1.0))
    lines = ["UNITS LENGTH=A ENERGY=eV", "d: DISTANCE ATOMS=1,2", "PRINT ARG=d FILE=COLVAR"]
    lines.append("METAD ARG=d SIGMA=0.1 HEIGHT=0.1 PACE=1 FILE=HILLS")
    with working_in(tmp_path):
        atoms.calc = biased(inner, lines, atoms, 0.5, 300.0)
        for _ in range(3):
            atoms.positions[1, 2] += 0.05
            atoms.get_forces()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        assert np.abs(forces - 1.0).max() > 0.1
        inner.exchange(Constant(3.0), atoms)
        np.testing.assert_allclose(atoms.get_forces(), forces + 2.0, rtol=0, atol=1e-12)
        assert atoms.get_potential_energy() == energy
        let_go(atoms)
    assert len(read_fields(tmp_path / "COLVAR")["time"]) == 3
    assert len(read_fields(tmp_path / "HILLS")["time"]) <= 3
