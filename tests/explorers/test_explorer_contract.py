"""What every explorer promises, with a real trained potential."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparc_fw.explorers.ase_md import ASEExplorer, ASEOptions
from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.lammps import LAMMPSExplorer
from sparc_fw.explorers.lammps_input import LAMMPSOptions
from sparc_fw.explorers.phase_options import PhasesOptions
from sparc_fw.explorers.phases import PhasesExplorer
from sparc_fw.potentials.committee import force_deviation
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory
from trained_models import ammonia_borane, ignore_progress, small_potential

pytestmark = pytest.mark.slow
Make = Callable[..., Explorer[Any]]


def make_lammps(**options: object) -> LAMMPSExplorer:
    return LAMMPSExplorer(LAMMPSOptions.model_validate(options), Settings())


def make_ase(**options: object) -> ASEExplorer:
    return ASEExplorer(ASEOptions.model_validate(options), Settings())


def make_phases(**options: Any) -> PhasesExplorer:
    """One phase; frames are drawn from windows, one per `frame_every_fs`."""
    ps = options.pop("duration_ps")[0]
    kelvin = options.pop("temperature_K", [300.0])[0]
    run = {"kind": "nvt", "duration_ps": ps, "timestep_fs": options.pop("timestep_fs"), "temperature_K": kelvin}
    frames = round(1000 * ps / options.pop("frame_every_fs"))
    options.pop("ensemble", None)
    phase = {"name": "only", "engine": options.pop("engine", "ase"), "run": [run], "sampling": {"frames": frames}}
    return PhasesExplorer(PhasesOptions.model_validate({"phases": [phase]} | options), Settings())


def make_lammps_phases(**options: Any) -> PhasesExplorer:
    """The same by LAMMPS."""
    return make_phases(engine="lammps", **options)


every = pytest.mark.parametrize(
    "make",
    [make_lammps, make_ase, make_phases, make_lammps_phases],
    ids=["lammps", "ase_md", "phases", "phases_by_lammps"],
    indirect=True,
)
"""Marks what explorers promise whose frames are drawn at random, too."""


@pytest.fixture(params=[make_lammps, make_ase], ids=["lammps", "ase_md"])
def make(request: pytest.FixtureRequest) -> Make:
    result: Make = request.param
    return result


@pytest.fixture
def explore(make: Make, models: list[Path], tmp_path: Path) -> Callable[..., Trajectory]:
    """Run with options, every time in a folder of its own."""
    runs = 0

    def run(seed: int = 7, iteration: int = 0, replica: int = 0, **options: object) -> Trajectory:
        nonlocal runs
        runs += 1
        folder = tmp_path / f"run{runs}"
        folder.mkdir()
        explorer = make(**({"duration_ps": [0.1], "timestep_fs": 0.5, "frame_every_fs": 5.0} | options))
        start = ammonia_borane()
        explorer.check(start)
        place = Replica(start, small_potential(), models, iteration, replica, seed, folder, ignore_progress)
        [trajectory] = explorer.explore(place)
        return trajectory

    run.models = models  # type: ignore[attr-defined]
    return run


def test_frames_times_and_start(explore: Callable[..., Trajectory]) -> None:
    found = explore(ensemble="langevin", temperature_K=[300.0])
    assert found.ended == "completed"
    assert found.steps == 200
    np.testing.assert_allclose(found.times, np.arange(21) * 5.0)
    np.testing.assert_allclose(found.positions[0], ammonia_borane().positions, atol=1e-12)
    assert found.frame(0).info == {"system": "nh3bh3", "charge": 0, "spin": 0}
    assert not found.frame(0).pbc.any()
    assert len(found.series["temperature_K"]) == 21


def test_a_femtosecond_is_one(explore: Callable[..., Trajectory]) -> None:
    """Kinetic energy from finite differences of positions and times is that of the thermometer.

    A wrong time unit would miss by orders of magnitude, a wrong mass by a factor.
    """
    found = explore(ensemble="nve", timestep_fs=0.1, frame_every_fs=0.1, duration_ps=[0.02], temperature_K=[300.0])
    velocities = (found.positions[2:] - found.positions[:-2]) / (found.times[2:] - found.times[:-2])[:, None, None]
    masses = ammonia_borane().get_masses()
    # u Å^2/fs^2 = 103.6427 eV
    kinetic = 0.5 * 103.642697 * np.einsum("a,fax->f", masses, velocities**2)
    by_energy = found.series["total_energy_eV"] - found.series["potential_energy_eV"]
    np.testing.assert_allclose(kinetic, by_energy[1:-1], rtol=0.02)


def test_energy_is_conserved(explore: Callable[..., Trajectory]) -> None:
    found = explore(ensemble="nve", timestep_fs=0.2, duration_ps=[0.2], temperature_K=[300.0])
    energy = found.series["total_energy_eV"]
    exchanged = np.ptp(found.series["potential_energy_eV"])
    assert np.ptp(energy) < 0.05 * exchanged
    assert exchanged > 0.02


@every
def test_the_same_seed_gives_the_same_run_to_the_bit(explore: Callable[..., Trajectory]) -> None:
    first, again, other = explore(seed=1), explore(seed=1), explore(seed=2)
    np.testing.assert_array_equal(first.positions, again.positions)
    assert np.abs(first.positions[-1] - other.positions[-1]).max() > 1e-3


def test_lengths_by_iteration_and_temperatures_by_replica(explore: Callable[..., Trajectory]) -> None:
    options: dict[str, object] = {"duration_ps": [0.05, 0.1], "temperature_K": [100.0, 600.0]}
    assert explore(iteration=0, **options).steps == 100
    assert explore(iteration=5, **options).steps == 200
    # ASE draws from Maxwell's distribution and does not scale: eight atoms scatter by a third.
    assert explore(replica=0, **options).series["temperature_K"][0] < 250
    assert explore(replica=1, **options).series["temperature_K"][0] > 250


@every
def test_a_run_that_blows_up_comes_back_with_its_reason(explore: Callable[..., Trajectory]) -> None:
    found = explore(ensemble="nve", temperature_K=[5000.0], duration_ps=[1.0], max_force=5.0)
    assert found.ended != "completed"
    assert 0 < found.steps < 2000
    assert abs(len(found) - (found.steps // 10 + 1)) <= 1
    assert np.isfinite(found.positions).all()


def test_a_run_ends_where_the_committee_has_disagreed_for_too_long(explore: Callable[..., Trajectory]) -> None:
    heat: dict[str, object] = {"temperature_K": [3000.0], "ensemble": "nve", "duration_ps": [1.0], "max_force": 1000.0}
    stop = {"deviation_eV_A": 3.0, "for_fs": 20.0, "every_fs": 5.0}
    found = explore(stop=stop, **heat)
    assert found.ended.startswith("the force deviation was above 3 eV/Å for 20 fs, after ")
    ended = float(found.ended.split()[-2])
    assert found.times[-1] == ended
    assert found.steps == round(ended / 0.5)
    members = [small_potential().load(model) for model in explore.models]  # type: ignore[attr-defined]
    deviation = force_deviation(members, found)
    assert (deviation[-5:] > 3.0).all()
    runs = np.array([above.all() for above in np.lib.stride_tricks.sliding_window_view(deviation > 3.0, 5)])
    assert not runs[:-1].any(), "it ended at the first time that the rule says"


def test_a_run_ends_where_a_distance_leaves_its_bounds(explore: Callable[..., Trajectory]) -> None:
    bound = {"atoms": [0, 1], "max_A": 1.75}
    free = explore(ensemble="nve", temperature_K=[1500.0], duration_ps=[0.2])
    bn = np.linalg.norm(free.positions[:, 0] - free.positions[:, 1], axis=1)
    first = int(np.flatnonzero(bn > 1.75)[0])
    found = explore(ensemble="nve", temperature_K=[1500.0], duration_ps=[0.2], distances=[bound])
    assert found.ended.startswith("B0 and N1 went farther than 1.75 Å")
    assert len(found) == first
    np.testing.assert_array_equal(found.positions, free.positions[:first])
