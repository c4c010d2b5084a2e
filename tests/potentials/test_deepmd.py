"""DeePMD-kit: input, data, training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from sparc_fw.documents import Dataset, Label, TrainedModel
from sparc_fw.errors import InputError, StageFailed, TrainingDiverged
from sparc_fw.potentials.deepmd import backend_problem
from sparc_fw.potentials.deepmd_curve import LearningCurve
from sparc_fw.potentials.deepmd_data import elements_of, neighbour_limits, write_systems
from sparc_fw.potentials.deepmd_input import DeepMDOptions, merged, training_input
from trained_models import ammonia_borane, displaced, ignore_progress, small_potential


def label_of(frame: Atoms, stress: np.ndarray | None = None) -> Label:
    return Label(frame, "ok", -1.0, np.zeros((len(frame), 3)), stress)


def cell_of_water(edge: float) -> Atoms:
    return Atoms("H2O", [(0, 0, 0), (0.9, 0, 0), (0, 0.9, 0)], cell=[edge] * 3, pbc=True)


def test_users_keys_win_and_a_new_type_replaces_its_section() -> None:
    base = {"a": {"type": "x", "one": 1, "two": [1, 2]}, "b": 1}
    assert merged(base, {"a": {"two": [3]}}) == {"a": {"type": "x", "one": 1, "two": [3]}, "b": 1}
    assert merged(base, {"a": {"type": "y"}}) == {"a": {"type": "y"}, "b": 1}


def test_seeds_of_the_parts_and_of_members_differ() -> None:
    seeds = set()
    for member in (1, 2, 3):
        plan = training_input(DeepMDOptions(), ["H"], [1], {"s": 1.0}, [], False, member)
        seeds |= {plan["model"]["descriptor"]["seed"], plan["model"]["fitting_net"]["seed"], plan["training"]["seed"]}
    assert len(seeds) == 9


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"training": {"numb_stepz": 5}}, "numb_stepz"),
        ({"model": {"descriptor": {"neuron": "many"}}}, "neuron"),
        ({"learning_rates": {}}, "learning_rates"),
        ({"training": {"seed": 3}}, "training.seed"),
        ({"training": 3}, "training"),
    ],
)
def test_a_wrong_key_is_bad_input(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        small_potential(input=keys).check()


def test_the_users_own_keys_pass_the_check() -> None:
    small_potential(input={"model": {"descriptor": {"type": "se_atten", "sel": 20}}}).check()
    small_potential(input={"training": {"numb_steps": 7}}).check()


def test_sel_of_a_molecule_is_no_more_than_its_atoms() -> None:
    labels = [label_of(ammonia_borane())]
    assert neighbour_limits(labels, ["H", "B", "N"], 6.0) == [6, 1, 1]


def test_sel_of_a_cell_counts_images() -> None:
    # Simple cubic, edge 3 Å: 6 neighbours at 3.0, 12 at 4.24.
    lattice = label_of(Atoms("H", cell=[3.0] * 3, pbc=True))
    assert neighbour_limits([lattice], ["H"], 4.3) == [22]


def test_data_of_several_compositions(tmp_path: Path) -> None:
    stress = np.array([0.01, 0.02, 0.03, 0.004, 0.005, 0.006])
    labels = [label_of(frame) for frame in displaced(3)]
    labels += [label_of(cell_of_water(4.0), stress), label_of(cell_of_water(5.0), stress)]
    elements = elements_of(labels)
    assert elements == ["H", "B", "N", "O"]
    molecule, cell = write_systems(labels, elements, tmp_path)
    assert (molecule / "nopbc").exists()
    assert not (cell / "nopbc").exists()
    assert (molecule / "type.raw").read_text().split() == ["1", "2", *["0"] * 6]
    coordinates = np.load(molecule / "set.000" / "coord.npy")
    np.testing.assert_array_equal(coordinates[2].reshape(8, 3), labels[2].frame.positions)
    virial = np.load(cell / "set.000" / "virial.npy").reshape(2, 3, 3)
    # DeePMD-kit's virial is minus ASE's stress times the volume; Voigt order xx yy zz yz xz xy.
    assert virial[1, 0, 0] == pytest.approx(-0.01 * 125)
    assert virial[1, 1, 2] == pytest.approx(-0.004 * 125)
    assert virial[0, 0, 1] == pytest.approx(-0.006 * 64)


def test_a_cell_without_three_vectors_is_refused(tmp_path: Path) -> None:
    slab = Atoms("H", cell=[3.0, 3.0, 0.0], pbc=[True, True, False])
    with pytest.raises(InputError, match="vacuum"):
        write_systems([label_of(slab)], ["H"], tmp_path)


def test_curve_reads_whole_lines_and_stops_at_nan(tmp_path: Path) -> None:
    path = tmp_path / "lcurve.out"
    head = "#  step  rmse_trn  rmse_e_trn  rmse_f_trn  rmse_v_trn  lr\n# a comment\n"
    path.write_text(head + "0 1.0 0.5 2.0 nan 1e-3\n10 0.5 0.")
    assert LearningCurve(path).read() == [
        {"step": 0.0, "rmse_trn": 1.0, "rmse_e_trn": 0.5, "rmse_f_trn": 2.0, "lr": 1e-3}
    ]
    path.write_text(head + "0 1.0 0.5 2.0 nan 1e-3\n10 nan nan nan nan 1e-3\n")
    with pytest.raises(TrainingDiverged, match="step 10"):
        LearningCurve(path).read()


def test_a_backend_that_is_not_installed_says_why() -> None:
    problem = backend_problem("jax")
    assert problem is None or "jax" in problem


@pytest.mark.slow
def test_a_member_carries_what_it_is(members: list[tuple[TrainedModel, Path]]) -> None:
    model = members[0][0]
    assert model.elements == ["H", "B", "N"]
    assert model.framework.startswith("deepmd-kit (")
    assert (model.seed, model.steps) == (1, 300)
    assert model.curve[-1]["step"] == 300
    assert model.curve[-1]["rmse_f_trn"] < model.curve[0]["rmse_f_trn"]
    assert members[0][0].file != members[1][0].file


@pytest.mark.slow
def test_a_model_stays_loaded_until_its_file_changes(models: list[Path], tmp_path: Path) -> None:
    path, frame = tmp_path / "model.pb", ammonia_borane()
    path.write_bytes(models[0].read_bytes())
    first = small_potential().load(path)
    assert small_potential().load(path) is first
    path.write_bytes(models[1].read_bytes())
    forces = [
        small_potential().load(file).evaluate(frame.numbers, frame.positions[None], None)[1]
        for file in (path, models[1])
    ]
    np.testing.assert_array_equal(forces[0], forces[1])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model_to_the_bit(
    members: list[tuple[TrainedModel, Path]], xtb_labels: list[Label], tmp_path: Path
) -> None:
    dataset = Dataset(xtb_labels[:50], xtb_labels[50:])
    again = small_potential().train(dataset, 1, tmp_path, ignore_progress)
    path = tmp_path / "again.pb"
    path.write_bytes(again.file)
    frame = ammonia_borane()
    forces = [
        small_potential().load(model).evaluate(frame.numbers, frame.positions[None], None)
        for model in (members[0][1], path)
    ]
    np.testing.assert_array_equal(forces[0][1], forces[1][1])
    assert again.curve == members[0][0].curve


@pytest.mark.slow
def test_molecules_and_cells_train_together_with_virial_and_compress(xtb_labels: list[Label], tmp_path: Path) -> None:
    stress = np.zeros(6)
    labels = [*xtb_labels[:6], *(label_of(cell_of_water(edge), stress) for edge in (4.0, 4.2))]
    potential = small_potential(steps=20, compress=True, rcut=3.5)
    model = potential.train(Dataset(labels, xtb_labels[6:8]), 3, tmp_path, ignore_progress)
    path = tmp_path / f"compressed{model.suffix}"
    path.write_bytes(model.file)
    water = cell_of_water(4.1)
    energies, forces = potential.load(path).evaluate(water.numbers, water.positions[None], water.cell.array[None])
    assert np.isfinite(energies).all()
    assert np.isfinite(forces).all()
    assert model.details["compressed"] is True
    assert model.details["input"]["loss"]["start_pref_v"] > 0


@pytest.mark.slow
def test_a_training_that_diverges_is_stopped_and_named(xtb_labels: list[Label], tmp_path: Path) -> None:
    potential = small_potential(steps=100_000, learning_rate=1e20, input={"training": {"disp_freq": 1}})
    with pytest.raises(TrainingDiverged, match=r"NaN|nan"):
        potential.train(Dataset(xtb_labels[:50], []), 1, tmp_path, ignore_progress)


@pytest.mark.slow
def test_a_training_that_fails_carries_deepmds_last_lines(xtb_labels: list[Label], tmp_path: Path) -> None:
    potential = small_potential(input={"model": {"descriptor": {"activation_function": "no_such_function"}}})
    with pytest.raises(StageFailed, match="no_such_function"):
        potential.train(Dataset(xtb_labels[:8], []), 1, tmp_path, ignore_progress)


@pytest.mark.slow
def test_no_training_outlives_a_killed_worker(xtb_labels: list[Label], tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from trained_models import displaced, ignore_progress, small_potential
from sparc_fw.documents import Dataset, Label
import numpy as np
labels = [Label(f, "ok", -1.0, np.zeros((8, 3))) for f in displaced(20)]
small_potential(steps=10**7).train(Dataset(labels, []), 1, Path({str(tmp_path)!r}), ignore_progress)
"""
    worker = subprocess.Popen([sys.executable, "-c", program])
    wait_for(lambda: (tmp_path / "lcurve.out").exists())
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    wait_for(lambda: not processes_in(tmp_path), seconds=10)


def processes_in(directory: Path) -> list[int]:
    """Processes whose working directory is `directory`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == directory:
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def test_options_survive_json() -> None:
    options = DeepMDOptions(input={"training": {"numb_steps": 7}})
    assert DeepMDOptions.model_validate(json.loads(options.model_dump_json())) == options


def test_steps_are_those_of_the_users_own_input() -> None:
    potential = small_potential(input={"training": {"numb_steps": 7, "disp_freq": 5}})
    assert potential.total_steps == 7
    shorter = potential.with_steps(3)
    assert shorter.total_steps == 3
    assert shorter.options.input == {"training": {"disp_freq": 5}}
    assert potential.total_steps == 7
