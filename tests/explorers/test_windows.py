"""Umbrella windows: what they refuse, where each holds, and that they and slow pulls find what is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from pydantic import ValidationError

import double_well
from known_potential import Known
from sparc_fw.errors import InputError
from sparc_fw.explorers.ase_md import ASEExplorer, ASEOptions
from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.bias import Umbrella
from sparc_fw.explorers.bias_plumed import plumed_text
from sparc_fw.explorers.lammps import LAMMPSExplorer
from sparc_fw.explorers.lammps_input import LAMMPSOptions
from sparc_fw.explorers.uncertainty import UncertaintyOptions
from sparc_fw.explorers.variables import value_of
from sparc_fw.explorers.windows import window_summary
from sparc_fw.free_energy import Window, free_energy
from sparc_fw.geometry.files import Files
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory
from sparc_fw.work_profiles import Barrier, Pull, barriers
from trained_models import ammonia_borane, ignore_progress

CV = {"kind": "distance", "atoms": [0, 1]}
HELD: dict[str, Any] = {"kind": "umbrella", "cv": CV, "stiffness": 5.0}
LINE = {"first": 1.8, "last": 3.4, "count": 11}


def lammps(windows: Any, **more: Any) -> LAMMPSOptions:
    return LAMMPSOptions.model_validate({"bias": [HELD], "windows": windows} | more)


def test_centres_in_a_line_or_one_by_one() -> None:
    line = lammps(LINE, replicas=2)
    assert line.runs == 22
    assert [line.place(number) for number in (0, 5, 10, 11)] == [
        "window 1.8", "window 2.6", "window 3.4", "window 1.8",
    ]  # fmt: skip
    one_by_one = lammps({"centres": [1.5, [1.7], 2]})
    assert [bias.centre for n in range(3) for bias in one_by_one.biases(n) if isinstance(bias, Umbrella)] == [
        1.5, 1.7, 2.0,
    ]  # fmt: skip
    fixed = HELD | {"centre": 1.0}
    two = lammps({"centres": [[1.5, 2.5], [1.7, 2.3]]}, bias=[HELD, fixed, HELD])
    assert [bias.centre for bias in two.biases(1) if isinstance(bias, Umbrella)] == [1.7, 1.0, 2.3]
    assert window_summary(line.bias, line.windows, 300.0) == (  # type: ignore[arg-type]
        "11 windows from 1.8 to 3.4 Å, at most 0.16 = 2.2 √(kT/k) apart"
    )
    assert "apart, which may be too far" in lammps(LINE | {"count": 5}).summary


def test_both_engines_are_told_the_centre_of_their_window() -> None:
    values = {"bias": [HELD], "windows": {"centres": [1.5, 2.25]}}
    by_plumed = ASEOptions.model_validate(values)
    assert "RESTRAINT ARG=cv0 AT=2.25 KAPPA=5.0" in plumed_text(by_plumed.biases(1), 0.5, 1, 1)
    explorer = LAMMPSExplorer(LAMMPSOptions.model_validate(values), Settings())
    for at_rest in (False, True):
        assert "centers 2.25\n" in explorer.bias(double_well.pair(2.0), 1, at_rest)
        assert "centers 1.5\n" in explorer.bias(double_well.pair(2.0), 2, at_rest)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "bias[0].centre: the key is missing; expected where the umbrella holds, or 'windows' that say it"),
        ({"windows": {"first": 1.5}}, "found first, expected either 'centres', or 'first', 'last' and 'count'"),
        ({"windows": LINE | {"centres": [1, 2]}}, "found centres, first, last, count, expected either"),
        ({"windows": {"centres": [1.5]}}, "at least 2 items"),
        ({"windows": {"centres": [1.5, 1.5]}}, "found 1.5 twice, expected every window once"),
        ({"windows": {"centres": [1.5, -1]}}, "found centre -1 for the distance of bias[0], expected more than 0 Å"),
        ({"windows": {"centres": [[1, 2], [2, 3]]}}, "found 2 centres (1, 2) for 1 umbrellas without 'centre'"),
        ({"windows": {"centres": [1, 2], "starts": ["a"]}}, "found 1 files for 2 windows, expected one for each"),
        ({"windows": LINE, "bias": []}, "found no bias of kind umbrella without 'centre'"),
        ({"windows": LINE, "bias": [HELD | {"centre": 2.0}]}, "found no bias of kind umbrella without 'centre'"),
        ({"windows": LINE, "bias": [HELD, {"kind": "metadynamics", "cv": CV}]}, "found a bias of kind metadynamics"),
        ({"windows": LINE, "ensemble": "nve"}, "found ensemble nve, expected one with a temperature"),
        ({"windows": LINE, "temperature_K": [300, 400]}, "found temperature_K [300.0, 400.0], expected one value"),
        ({"windows": LINE, "colvars": "colvar {}"}, "found 'colvars' beside them"),
        ({"windows": LINE, "schedule": {1: {"windows": None}}}, "found 'windows', which is the same in all iterations"),
        ({"bias": [], "starts": ["nearest"]}, "expected a bias of kind umbrella or steered, to be nearest to"),
    ],
)
def test_windows_that_cannot_be_are_bad_input(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LAMMPSOptions.model_validate({"bias": [HELD]} | options)
    assert told in str(caught.value)


def test_what_is_pushed_elsewhere_has_no_windows() -> None:
    with pytest.raises(ValidationError, match="what pushes this explorer would be in the free energy"):
        UncertaintyOptions.model_validate({"bias": [HELD], "windows": LINE})


@pytest.mark.parametrize("engine", ["lammps", "ase_md"])
def test_a_window_that_begins_from_other_atoms_is_bad_input(engine: str) -> None:
    values = {"bias": [HELD], "windows": {"centres": [1.5, 2.0], "starts": ["right.xyz", "wrong.xyz"]}}
    structure = ammonia_borane()
    files = Files({"right.xyz": [structure], "wrong.xyz": [structure[:-1]]})
    explorer: Any = (
        LAMMPSExplorer(LAMMPSOptions.model_validate(values), Settings())
        if engine == "lammps"
        else ASEExplorer(ASEOptions.model_validate(values), Settings())
    )
    assert explorer.options.paths == ["right.xyz", "wrong.xyz"]
    assert explorer.options.start_file(3) == "wrong.xyz"
    with pytest.raises(InputError, match=r"windows.starts\[1\] \(wrong.xyz\): found H5BN, expected the atoms of"):
        explorer.check_geometries(structure, files)


def test_the_nearest_frame_is_the_one_that_the_restraints_like_best() -> None:
    pull = {"kind": "steered", "cv": CV, "first": 3.0, "last": 2.0, "per_ps": [1.0], "stiffness": 1.0}
    options = lammps({"centres": [1.5, 2.5]})
    pulled = LAMMPSOptions.model_validate({"bias": [pull], "duration_ps": [1.0]})
    near, far = double_well.pair(1.6), double_well.pair(2.7)
    assert options.restraint_energy(near, 0) == pytest.approx(0.5 * 5.0 * 0.01)
    assert options.restraint_energy(far, 1) == pytest.approx(0.5 * 5.0 * 0.04)
    assert pulled.restraint_energy(far, 0) == pytest.approx(0.5 * 0.09)
    turn = {"kind": "dihedral", "atoms": [0, 1, 2, 3]}
    chain = Atoms("H4", [[1, 0, -0.1], [0, 0, 0], [0, 1, 0], [-1, 1, 0]])
    held = LAMMPSOptions.model_validate({"bias": [HELD | {"cv": turn, "centre": -179.0}]})
    angle = value_of(held.bias[0].cv, chain)
    assert 170 < angle < 180
    assert held.restraint_energy(chain, 0) == pytest.approx(2.5 * (181 - angle) ** 2)


def explore(options: LAMMPSOptions, number: int, start: Atoms, lines: list[str], folder: Path) -> Trajectory:
    folder.mkdir()
    place = Replica(start, Known(lines=lines), [Path("none")], 0, number, 5 + number, folder, ignore_progress)
    [found] = LAMMPSExplorer(options, Settings()).explore(place)
    assert found.ended == "completed"
    return found


@pytest.mark.slow
def test_free_energy_of_a_double_well_within_its_error_bars(tmp_path: Path) -> None:
    kelvin = 400.0
    options = lammps(
        LINE, duration_ps=[20.0], timestep_fs=2.0, frame_every_fs=20.0, friction_per_ps=20.0, equilibrate_ps=1.0,
        temperature_K=[kelvin],
    )  # fmt: skip
    lines = double_well.lammps_lines(tmp_path)
    windows = []
    for number, (centre,) in enumerate(options.windows.places()):  # type: ignore[union-attr]
        found = explore(options, number, double_well.pair(centre), lines, tmp_path / str(number))
        assert found.series["cv0"].mean() == pytest.approx(centre, abs=0.25)
        windows.append(Window((centre,), [found.series["cv0"][:, None]], [np.zeros(len(found.series["cv0"]))]))
    [umbrella] = [bias for bias in options.bias if isinstance(bias, Umbrella)]
    result = free_energy(windows, [umbrella], kelvin)
    assert result.problem is None
    [curve] = result.curves
    exact = double_well.free_energy(curve.at, kelvin)
    lowest = int(curve.energy.argmin())
    off = (curve.energy - exact + exact[lowest])[curve.error > 0] / curve.error[curve.error > 0]
    assert curve.error.max() < 0.015
    assert np.mean(np.abs(off) < 2) > 0.8
    assert np.abs(off).max() < 4
    assert curve.barrier is not None
    fine = np.linspace(1.6, 3.6, 2001)
    profile = double_well.free_energy(fine, kelvin)
    top = profile[np.abs(fine - 2.6) < 0.3].max() - profile.min()
    assert curve.barrier[0] == pytest.approx(2.6, abs=0.1)
    assert curve.barrier[1] == pytest.approx(top, abs=3 * curve.barrier[2])


def quasistatic(centres: np.ndarray, stiffness: float) -> np.ndarray:
    """Work of a restraint that is moved infinitely slowly at no temperature, eV, but for where it begins."""
    fine = np.linspace(1.0, 4.5, 7001)
    total = double_well.energy(fine) + 0.5 * stiffness * (fine - centres[:, None]) ** 2
    return np.asarray(total.min(axis=1))


@pytest.mark.slow
def test_a_slow_pull_reads_the_barrier_and_a_fast_one_adds_its_friction(tmp_path: Path) -> None:
    stiffness, friction = 30.0, 20.0
    pull = {"kind": "steered", "cv": CV, "first": 2.0, "last": 3.2, "per_ps": [0.5, 2.0], "stiffness": stiffness}
    options = LAMMPSOptions.model_validate(
        {
            "bias": [pull], "duration_ps": [2.4], "timestep_fs": 2.0, "frame_every_fs": 10.0, "temperature_K": [1.0],
            "friction_per_ps": friction, "equilibrate_ps": 0.5,
        }
    )  # fmt: skip
    lines = double_well.lammps_lines(tmp_path)
    pulls = []
    for number, per_ps in enumerate((0.5, 2.0)):
        found = explore(options, number, double_well.pair(2.0), lines, tmp_path / str(number))
        series = found.series
        pulls.append(Pull(per_ps, 1.0, series["centre0"], series["work0_eV"], found.ended))
    slow, fast = barriers(pulls)
    for barrier in (slow, fast):
        assert_work(barrier, stiffness, friction)
    assert fast.height > slow.height + 0.01
    exact = quasistatic(np.linspace(2.0, 3.2, 601), stiffness)
    # Half-way up, half of the friction's share is lost.
    assert slow.height == pytest.approx(exact.max() - exact[0] + lost(slow.per_ps, friction) / 2, abs=0.005)
    assert slow.place == pytest.approx(2.6, abs=0.1)
    assert not slow.rising


def lost(per_ps: float, friction: float) -> float:
    """What the heat bath takes of a pull over 1.2 Å: reduced mass times friction times velocity times way, eV."""
    mass = double_well.pair(2.0).get_masses()[0] / 2
    # u Å^2/ps^2 = 1e-4 eV, about
    return float(mass * friction * per_ps * 1.2 * units._amu * 1e4 / units._e)


def assert_work(barrier: Barrier, stiffness: float, friction: float) -> None:
    exact = quasistatic(np.array([2.0, 3.2]), stiffness)
    assert barrier.mean[-1] - exact[1] + exact[0] == pytest.approx(lost(barrier.per_ps, friction), rel=0.25, abs=0.003)
