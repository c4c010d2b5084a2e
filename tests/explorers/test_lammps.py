"""LAMMPS: COLVARS, boundaries, faults, files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from sparc_fw.child_process import clean_environment
from sparc_fw.errors import InputError, StageFailed
from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.colvars import check_colvars, read_colvars, with_units
from sparc_fw.explorers.lammps import LAMMPSExplorer
from sparc_fw.explorers.lammps_command import lammps_command
from sparc_fw.explorers.lammps_files import error_in, halt_in, read_dump, write_structure
from sparc_fw.explorers.lammps_input import COLVARS, STRUCTURE, LAMMPSOptions
from sparc_fw.explorers.md import Plan
from sparc_fw.geometry.confinement import SoftSphere
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory
from trained_models import ammonia_borane, ignore_progress, small_potential

DISTANCE = """
colvarsTrajFrequency 10
colvar {
  name bn   # the bond that breaks
  distance {
    group1 { atomNumbers 1 }
    group2 { atomNumbers { 2 } }
  }
}
"""


def explorer(**options: object) -> LAMMPSExplorer:
    return LAMMPSExplorer(LAMMPSOptions.model_validate({"duration_ps": [0.1]} | options), Settings())


def run(models: list[Path], folder: Path, start: Atoms | None = None, **options: object) -> Trajectory:
    frame = ammonia_borane() if start is None else start
    replica = Replica(frame, small_potential(), models, 0, 0, 3, folder, ignore_progress)
    [trajectory] = explorer(**options).explore(replica)
    return trajectory


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (DISTANCE.replace("{ 2 }", "{ 9 }"), "atom number 9"),
        (DISTANCE.replace("atomNumbers 1 ", "atomNumbers 0 "), "atom number 0"),
        (DISTANCE.replace("atomNumbers { 2 }", "atomNumbersRange 2-12"), "atom number 12"),
        (DISTANCE.replace("{ 2 }", "{ two }"), "two"),
        (DISTANCE + "}", "braces"),
        ("units real\n" + DISTANCE, "units real"),
        (DISTANCE.replace("name bn", "nmae bn"), "nmae"),
        (DISTANCE + "metadynamcis { colvars bn }", "metadynamcis"),
        (DISTANCE + "metadynamics { colvars nb\n hillWeight 0.01\n hillWidth 1.0 }", "nb"),
    ],
)
def test_colvars_that_cannot_fit_are_bad_input(text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        explorer(colvars=text).check(ammonia_borane())


def test_colvars_that_fit_pass() -> None:
    explorer(colvars=DISTANCE).check(ammonia_borane())
    check_colvars("# atomNumbers 99 {\n" + DISTANCE, 8)
    assert with_units(DISTANCE).startswith("units metal\n")
    assert with_units("units metal\n") == "units metal\n"


def test_vectors_of_colvars_become_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.colvars.traj"
    path.write_text("# step d  v\n 0 1.5 ( 1 , 2 , 3 )\n# step d v\n 10 1.6 ( 4 , 5 , 6 )\n 20 1.")
    found = read_colvars(path)
    assert found["d"].tolist() == [1.5, 1.6]
    assert found["v_2"].tolist() == [3.0, 6.0]
    assert found["step"].tolist() == [0.0, 10.0]
    assert read_colvars(tmp_path / "none") == {}


def test_times_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="frame_every_fs"):
        explorer(frame_every_fs=0.1, timestep_fs=0.5)


def test_messages_of_lammps() -> None:
    assert error_in("a\nERROR: Lost atoms: original 8 current 7 (src/thermo.cpp:494)\nLast") == (
        "Lost atoms: original 8 current 7"
    )
    assert halt_in("Fix halt condition for fix-id bound met on step 40 with value 123.4 (src/fix_halt.cpp:1)") == (
        40,
        123.4,
    )
    assert error_in("fine\n") is None


def test_a_machine_without_lammps_says_so() -> None:
    settings = Settings(lmp_command="no-such-lmp")
    (message,) = LAMMPSExplorer(LAMMPSOptions(), settings).missing()
    assert "no-such-lmp" in message
    assert "SPARC_FW_LMP_COMMAND" in message


@pytest.mark.slow
def test_energies_are_those_of_a_molecule_without_images(models: list[Path], tmp_path: Path) -> None:
    found = run(models, tmp_path, temperature_K=[600.0])
    energies, _ = small_potential().load(models[0]).evaluate(found.numbers, found.positions, None)
    np.testing.assert_allclose(energies, found.series["potential_energy_eV"], atol=1e-5)


@pytest.mark.slow
def test_a_skewed_cell_is_turned_there_and_back(models: list[Path], tmp_path: Path) -> None:
    start = ammonia_borane()
    start.set_cell([[1.0, 6.0, 0.5], [6.0, 0.5, 1.0], [2.0, 1.0, -6.5]])
    start.pbc = True
    start.rotate(35, (1, 2, 3))
    found = run(models, tmp_path, start)
    np.testing.assert_allclose(found.positions[0], start.positions, atol=1e-9)
    np.testing.assert_array_equal(found.cells[3], start.cell.array)
    energies, _ = small_potential().load(models[0]).evaluate(found.numbers, found.positions, found.cells)
    np.testing.assert_allclose(energies, found.series["potential_energy_eV"], atol=1e-5)


@pytest.mark.slow
def test_colvars_bias_the_run_and_come_back_as_series(models: list[Path], tmp_path: Path) -> None:
    restraint = DISTANCE + "harmonic { colvars bn\n centers 2.0\n forceConstant 50.0 }\n"
    found = run(models, tmp_path, colvars=restraint, duration_ps=[0.5])
    distances = np.linalg.norm(found.positions[:, 0] - found.positions[:, 1], axis=1)
    np.testing.assert_allclose(found.series["bn"], distances, atol=1e-6)
    np.testing.assert_allclose(found.series["bias_time_fs"], found.times)
    assert distances[50:].mean() == pytest.approx(2.0, abs=0.1)


@pytest.mark.slow
def test_an_input_that_lammps_refuses_fails_with_its_words(models: list[Path], tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"(?i)nosuchkeyword"):
        run(models, tmp_path, colvars=DISTANCE + "noSuchKeyword on\n")


@pytest.mark.slow
def test_a_frame_cut_off_in_the_dump_is_left_out(models: list[Path], tmp_path: Path) -> None:
    found = run(models, tmp_path)
    path = tmp_path / "frames.bin"
    path.write_bytes(path.read_bytes()[:-40])
    steps, positions, _ = read_dump(path, 8)
    assert len(steps) == len(found) - 1
    np.testing.assert_array_equal(positions, found.positions[:-1])


def test_colvars_confines_as_the_sphere_of_ase_does(tmp_path: Path) -> None:
    confine = {"around": [0, 1], "radius_A": 1.4, "stiffness_eV_A2": 3.0}
    lammps = explorer(confine=confine)
    frame = ammonia_borane()
    lammps.check(frame)
    write_structure(frame, tmp_path / STRUCTURE)
    (tmp_path / COLVARS).write_text(lammps.bias(frame))
    pair = ["pair_style zero 6.0", "pair_coeff * *"]
    lines = lammps.input_lines(frame, pair, Plan(steps=0, every=1, temperature=1.0), seed=1)
    lines = [line for line in lines if "fix bath" not in line and not line.startswith(("dump", "run"))]
    lines += ["dump forces all custom 1 forces id fx fy fz", "dump_modify forces sort id format float %.12g", "run 0"]
    (tmp_path / "in").write_text("\n".join([*lines, ""]))
    executable, variables = lammps_command(Settings().lmp_command)
    command = [executable, "-in", "in", "-log", "none", "-screen", "none"]
    subprocess.run(command, cwd=tmp_path, env=clean_environment(1, variables), check=True)
    table = np.loadtxt((tmp_path / "forces").read_text().splitlines()[9:])
    expected = np.zeros((len(frame), 3))
    SoftSphere([0, 1], 1.4, 3.0).adjust_forces(frame, expected)
    assert np.abs(expected).max() > 1.0
    np.testing.assert_allclose(table[:, 1:], expected, atol=1e-6)


def test_a_sphere_around_atoms_that_do_not_exist_is_bad_input() -> None:
    with pytest.raises(InputError, match="found atom 8, but the structure has 8 atoms"):
        explorer(confine={"around": [8], "radius_A": 3.0}).check(ammonia_borane())
