"""One form of bias: what it refuses, and that COLVARS and PLUMED make the same energies of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from pydantic import ValidationError

from known_potential import Known
from sparc_fw.errors import InputError
from sparc_fw.explorers.ase_md import ASEExplorer, ASEOptions
from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.bias_plumed import plumed_text
from sparc_fw.explorers.lammps import LAMMPSExplorer
from sparc_fw.explorers.lammps_input import LAMMPSOptions
from sparc_fw.explorers.plumed import input_lines, kernel_problem, read_fields
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory
from trained_models import ammonia_borane, ignore_progress

# A spring per atom: the molecule wobbles, and nothing is expensive.
LINES = [
    "pair_style zero 6.0",
    "pair_coeff * *",
    "fix springs all spring/self 2.0",
]
BN = {"kind": "distance", "atoms": [0, 1]}
ANGLE = {"kind": "angle", "atoms": [2, 0, 1]}
DIHEDRAL = {"kind": "dihedral", "atoms": [2, 0, 1, 5]}
DIFFERENCE = {"kind": "difference", "atoms": [0, 1], "minus": [0, 2]}
COORDINATION = {"kind": "coordination", "atoms": [0], "around": [2, 3, 4], "radius_A": 1.4}
ALL = [BN, ANGLE, DIHEDRAL, DIFFERENCE, COORDINATION]


def options(bias: list[dict[str, Any]], **more: object) -> LAMMPSOptions:
    values: dict[str, object] = {"duration_ps": [0.1], "timestep_fs": 0.5, "frame_every_fs": 0.5, "ensemble": "nve"}
    return LAMMPSOptions.model_validate(values | {"bias": bias} | more)


def lammps(folder: Path, bias: list[dict[str, Any]], number: int = 0, **more: object) -> Trajectory:
    explorer = LAMMPSExplorer(options(bias, **more), Settings())
    start = ammonia_borane()
    explorer.check(start)
    place = Replica(start, Known(lines=LINES), [Path("none")], 0, number, 4, folder, ignore_progress)
    [found] = explorer.explore(place)
    return found


def value(cv: dict[str, Any], frame: Atoms) -> float:
    """A variable by ASE, Å or degrees."""
    atoms = cv["atoms"]
    if cv["kind"] == "distance":
        return float(frame.get_distance(*atoms))
    if cv["kind"] == "difference":
        return float(frame.get_distance(*atoms) - frame.get_distance(*cv["minus"]))
    if cv["kind"] == "angle":
        return float(frame.get_angle(*atoms))
    if cv["kind"] == "dihedral":
        return float((frame.get_dihedral(*atoms) + 180) % 360 - 180)
    x = np.array([frame.get_distance(i, j) for i in atoms for j in cv["around"]]) / cv["radius_A"]
    return float(((1 - x**6) / (1 - x**12)).sum())


@pytest.mark.parametrize("cv", ALL, ids=lambda cv: cv["kind"])
def test_umbrella_and_walls_of_every_variable(cv: dict[str, Any], tmp_path: Path) -> None:
    centre = value(cv, ammonia_borane())
    umbrella = {"kind": "umbrella", "cv": cv, "centre": centre * 0.98 + 0.05, "stiffness": 0.01}
    walls = {"kind": "walls", "cv": cv, "lower": centre + 0.1, "upper": centre + 0.2, "stiffness": 0.02}
    found = lammps(tmp_path, [umbrella, walls])
    here = np.array([value(cv, found.frame(k)) for k in range(len(found))])
    np.testing.assert_allclose(found.series["cv0"], here, atol=1e-5)
    np.testing.assert_allclose(found.series["cv1"], here, atol=1e-5)
    exact = found.series["cv0"]
    np.testing.assert_allclose(found.series["bias0_eV"], 0.005 * (exact - umbrella["centre"]) ** 2, atol=1e-6)
    beyond = np.clip(walls["lower"] - exact, 0, None) + np.clip(exact - walls["upper"], 0, None)
    np.testing.assert_allclose(found.series["bias1_eV"], 0.01 * beyond**2, atol=1e-6)
    assert found.series["bias1_eV"].max() > 1e-5


def hills(cv: np.ndarray, every: int, height: float, width: float, tempering: float) -> np.ndarray:
    """Energy of well-tempered metadynamics along a trajectory of a variable, untruncated Gaussians; eV."""
    centres: list[float] = []
    heights: list[float] = []
    energies = []
    for step, here in enumerate(cv):
        energy = sum(h * np.exp(-((here - c) ** 2) / (2 * width**2)) for h, c in zip(heights, centres, strict=True))
        if step and step % every == 0:
            heights.append(height * np.exp(-energy / tempering))
            centres.append(here)
            energy += heights[-1]
        energies.append(energy)
    return np.array(energies)


METADYNAMICS = {"kind": "metadynamics", "cv": BN, "height_eV": 0.02, "width": 0.05, "every_fs": 5.0, "bias_factor": 6.0}


def test_metadynamics_lays_the_hills_that_it_says(tmp_path: Path) -> None:
    found = lammps(tmp_path, [METADYNAMICS], temperature_K=[300.0])
    expected = hills(found.series["cv0"], 10, 0.02, 0.05, 8.617333e-5 * 300.0 * 5.0)
    # COLVARS sets a Gaussian to zero where it is below 1e-10 of its height.
    np.testing.assert_allclose(found.series["bias0_eV"], expected, atol=1e-6)
    assert expected[-1] > 0.05


def test_steered_work_is_force_times_way(tmp_path: Path) -> None:
    pull = {"kind": "steered", "cv": BN, "first": 1.66, "last": 2.06, "per_ps": [4.0, 8.0], "stiffness": 30.0}
    slow, fast = tmp_path / "slow", tmp_path / "fast"
    for number, folder in enumerate((slow, fast)):
        folder.mkdir()
        found = lammps(folder, [pull], number=number, equilibrate_ps=0.05)
        per_ps = [4.0, 8.0][number]
        centre = np.minimum(1.66 + per_ps * found.times / 1000, 2.06)
        np.testing.assert_allclose(found.series["centre0"], centre, atol=1e-6)
        force = 30.0 * (centre - found.series["cv0"])
        np.testing.assert_allclose(found.series["bias0_eV"], force**2 / 60.0, atol=1e-6)
        work = np.concatenate([[0.0], np.cumsum(0.5 * (force[1:] + force[:-1]) * np.diff(centre))])
        assert work[-1] > 0.02
        np.testing.assert_allclose(found.series["work0_eV"], work, atol=0.05 * work[-1])


def test_abf_takes_the_mean_force_away_between_its_walls(tmp_path: Path) -> None:
    bias = {"kind": "abf", "cv": BN, "lower": 1.2, "upper": 2.2, "spacing": 0.05, "samples": 20}
    found = lammps(tmp_path, [bias], temperature_K=[300.0], ensemble="langevin", duration_ps=[0.5])
    assert found.ended == "completed"
    counts = np.loadtxt(tmp_path / "bias.count")
    assert counts[:, 1].sum() > 900


@pytest.mark.parametrize(
    ("bias", "told"),
    [
        ({"kind": "umbrella", "cv": {"kind": "distance", "atoms": [0, 9]}, "centre": 1.0, "stiffness": 1.0}, "atom 9"),
        ({"kind": "umbrella", "cv": {"kind": "distance", "atoms": [3, 3]}, "centre": 1.0, "stiffness": 1.0}, "once"),
    ],
)
def test_variables_of_no_atoms_are_bad_input(bias: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        LAMMPSExplorer(options([bias]), Settings()).check(ammonia_borane())


@pytest.mark.parametrize(
    ("bias", "told"),
    [
        ({"kind": "walls", "cv": BN, "stiffness": 1.0}, "found neither 'lower' nor 'upper'"),
        ({"kind": "walls", "cv": BN, "stiffness": 1.0, "lower": 2, "upper": 1}, "expected lower < upper"),
        (
            {"kind": "steered", "cv": BN, "first": 1.0, "last": 3.0, "per_ps": [1.0], "stiffness": 1.0},
            "expected at least 2: so long",
        ),
        ({"kind": "umbrella", "cv": BN, "centre": 1.0, "stiffness": -1.0}, "greater than 0"),
    ],
)
def test_biases_that_cannot_be_are_bad_input(bias: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        options([bias])


def test_abf_in_plumed_is_refused_by_the_name_of_the_engine_that_has_it() -> None:
    bias = [{"kind": "abf", "cv": BN, "lower": 1.2, "upper": 2.2}]
    with pytest.raises(InputError, match="found kind abf, which PLUMED does not have; explorer kind lammps has it"):
        ASEExplorer(ASEOptions.model_validate({"bias": bias}), Settings()).check(ammonia_borane())


def test_output_files_are_local_and_nothing_else_is_touched() -> None:
    text = """
    # a comment FILE=/nowhere/else
    d1: DISTANCE ATOMS=1,2
    pb: PBMETAD ...
      ARG=d1 SIGMA=0.1 HEIGHT=2.0 PACE=10 # trailing
      FILE=/home/me/HILLS_0,../HILLS_1
    ...
    m: METAD ARG=d1 SIGMA=0.1 HEIGHT=1 PACE=5 FILE=/tmp/HILLS GRID_RFILE=/data/grid.dat
    PRINT ARG=d1,pb.* FILE=run/COLVAR STRIDE=3
    """
    assert input_lines(text) == [
        "d1: DISTANCE ATOMS=1,2",
        "pb: PBMETAD ARG=d1 SIGMA=0.1 HEIGHT=2.0 PACE=10 FILE=HILLS_0,HILLS_1",
        "m: METAD ARG=d1 SIGMA=0.1 HEIGHT=1 PACE=5 FILE=HILLS GRID_RFILE=/data/grid.dat",
        "PRINT ARG=d1,pb.* FILE=COLVAR STRIDE=3",
    ]
    with pytest.raises(InputError, match="ends the action 'd1: DISTANCE'"):
        input_lines("d1: DISTANCE ...\n ATOMS=1,2\n")


def test_columns_of_a_file_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "COLVAR").write_text("#! FIELDS time d1\n#! SET x 1\n 0.0 1.5\n 1.0 1.6\n 2.0 1.")
    table = read_fields(tmp_path / "COLVAR")
    np.testing.assert_array_equal(table["time"], [0.0, 1.0])
    np.testing.assert_array_equal(table["d1"], [1.5, 1.6])


def test_without_a_kernel_both_ways_to_it_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMED_KERNEL", "/nowhere/libplumedKernel.so")
    explorer = ASEExplorer(ASEOptions.model_validate({"plumed": "d1: DISTANCE ATOMS=1,2"}), Settings())
    (problem,) = explorer.missing()
    assert "conda-forge" in problem
    assert "PLUMED_KERNEL" in problem
    without = LAMMPSExplorer(LAMMPSOptions.model_validate({"plumed": "d1: DISTANCE ATOMS=1,2"}), Settings())
    assert "fix plumed" in " ".join(without.missing())


def _needs_kernel() -> None:
    problem = kernel_problem()
    if problem is not None:
        pytest.skip(problem)


@pytest.mark.plumed
@pytest.mark.parametrize("cv", ALL, ids=lambda cv: cv["kind"])
def test_plumed_and_colvars_give_the_same_energies(cv: dict[str, Any], tmp_path: Path) -> None:
    _needs_kernel()
    from pydantic import TypeAdapter

    from sparc_fw.explorers.bias import Bias
    from sparc_fw.explorers.plumed import _Nothing, biased, let_go, working_in
    from sparc_fw.explorers.plumed_series import plumed_series

    centre = value(cv, ammonia_borane())
    width = 0.05 if cv["kind"] != "angle" and cv["kind"] != "dihedral" else 3.0
    biases = [
        {"kind": "umbrella", "cv": cv, "centre": centre + 0.05, "stiffness": 0.01},
        {"kind": "walls", "cv": cv, "lower": centre + 0.1, "upper": centre + 0.2, "stiffness": 0.02},
        {"kind": "metadynamics", "cv": cv, "height_eV": 0.02, "width": width, "every_fs": 5.0, "bias_factor": 6.0},
        {"kind": "steered", "cv": cv, "first": centre, "last": centre + 0.3, "per_ps": [4.0], "stiffness": 0.1},
    ]
    one = lammps(tmp_path, biases, temperature_K=[300.0])
    parsed = [TypeAdapter(Bias).validate_python(bias) for bias in biases]
    lines = input_lines(plumed_text(parsed, 0.5, 0, 1))
    atoms = one.frame(0)
    folder = tmp_path / "plumed"
    folder.mkdir()
    with working_in(folder):
        atoms.calc = biased(_Nothing(), lines, atoms, 0.5, 300.0)
        for positions in one.positions:
            atoms.positions = positions
            atoms.get_forces()
        let_go(atoms)
    other = plumed_series(lines, parsed, folder)
    count = len(other["cv0"])
    assert count >= len(one) - 1
    for name in ("cv0", "bias0_eV", "bias1_eV", "bias3_eV", "centre3"):
        np.testing.assert_allclose(other[name], one.series[name][:count], atol=1e-6 if "eV" in name else 1e-4)
    # PLUMED takes the mean force over a step, COLVARS that at its end: half a step's way (0.002 Å) times the force.
    np.testing.assert_allclose(other["work3_eV"], one.series["work3_eV"][:count], atol=2e-4)
    # PLUMED cuts its Gaussians at exp(-6.25) of their height and stretches them: 20 hills of 0.02 eV at most. On the
    # frame that it is laid on, a new hill acts with COLVARS only.
    kept = np.arange(count) % 10 != 0
    hills = other["bias2_eV"][kept]
    np.testing.assert_allclose(hills, one.series["bias2_eV"][:count][kept], atol=20 * 0.02 * np.exp(-6.25))
    assert hills.max() > 0.05


@pytest.mark.plumed
def test_steered_by_plumed_in_ase(tmp_path: Path) -> None:
    _needs_kernel()
    from ase.calculators.lj import LennardJones

    pair = Atoms("Ne2", [[0, 0, 0], [0, 0, 3.1]], info={"system": "ne2", "charge": 0, "spin": 0})
    values = {
        "duration_ps": [1.0], "timestep_fs": 1.0, "frame_every_fs": 5.0, "temperature_K": [10.0], "equilibrate_ps": 0.2,
        "friction_per_ps": 0.1,
        "bias": [{"kind": "steered", "cv": BN, "first": 3.1, "last": 6.1, "per_ps": [3.0], "stiffness": 5.0}],
    }  # fmt: skip
    explorer = ASEExplorer(ASEOptions.model_validate(values), Settings())
    explorer.check(pair)
    calculator = LennardJones(epsilon=0.05, sigma=2.8, rc=12.0, smooth=False)
    [found] = explorer.explore(Replica(pair, Known(calculator), [Path("none")], 0, 0, 4, tmp_path, ignore_progress))
    assert found.ended == "completed"
    assert found.series["cv0"][-1] == pytest.approx(6.1, abs=0.3)
    # Slow and cold: the work is the energy that the bond had.
    before, after = (found.series["potential_energy_eV"][k] for k in (0, -1))
    assert found.series["work0_eV"][-1] == pytest.approx(after - before, abs=0.015)


@pytest.mark.plumed
def test_plumed_says_which_line_it_refuses() -> None:
    _needs_kernel()
    options = ASEOptions.model_validate({"plumed": "d1: DISTANCE ATOMS=1,2\nd2: DISTANCE ATOMS=1,99\n"})
    with pytest.raises(InputError, match=r"PLUMED refuses it: .*"):
        ASEExplorer(options, Settings()).check(ammonia_borane())
    options = ASEOptions.model_validate({"plumed": "d1: DISTANCE ATOMS=1,2\nd2: DISTANEC ATOMS=1,2\n"})
    with pytest.raises(InputError, match="DISTANEC"):
        ASEExplorer(options, Settings()).check(ammonia_borane())


@pytest.mark.plumed
def test_the_published_input_runs_as_it_is(test_data: Path, tmp_path: Path) -> None:
    _needs_kernel()
    from ase.io import read

    from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions

    start = read(test_data / "nh3bh3_sparc" / "POSCAR")
    start.info = {"system": "nh3bh3", "charge": 0, "spin": 0}
    text = (test_data / "nh3bh3_sparc" / "plumed_dp.dat").read_text()
    values = {"plumed": text, "duration_ps": [0.05], "timestep_fs": 0.5, "frame_every_fs": 5.0}
    explorer = ASEExplorer(ASEOptions.model_validate(values), Settings())
    try:
        explorer.check(start)
    except InputError as error:
        if "should be matrices" in str(error):
            pytest.skip("this kernel of PLUMED takes no contact matrix with groups of one atom, as that of 2.9 does")
        raise
    calculator = XTBLabeler(XTBOptions(), Settings()).calculator()
    [found] = explorer.explore(Replica(start, Known(calculator), [Path("none")], 0, 0, 4, tmp_path, ignore_progress))
    assert found.ended == "completed"
    # d1 is the B-N distance in PLUMED's nm.
    bn = [found.frame(k).get_distance(0, 7, mic=True) for k in range(len(found))]
    d1, time = found.series["COLVAR.d1"], found.series["COLVAR.time"]
    np.testing.assert_allclose(np.interp(found.times[1:-1] / 1000, time, d1), np.array(bn[1:-1]) / 10, atol=2e-3)
    assert "COLVAR.ss.coord-0" in found.series
