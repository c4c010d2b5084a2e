"""Uncertainty-driven dynamics: forces of the bias, what it reaches, what bounds it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from pydantic import ValidationError

from model_surfaces import Springs, Surface, replica
from sparc_fw.explorers.ase_md import ASEExplorer, ASEOptions
from sparc_fw.explorers.uncertainty import BiasedCommittee, UncertaintyExplorer, UncertaintyOptions
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory


def triangle(stretch: float = 1.0) -> Atoms:
    return Atoms("N3", stretch * 1.5 * np.array([(0, 0, 0), (1, 0, 0), (0.5, 0.75**0.5, 0)]), info={"system": "n3"})


def committee() -> list[Surface]:
    """They agree about the triangle, and the less the farther from it."""
    return [Springs(triangle(), least) for least in (8.0, 10.0, 13.0)]


def run(members: list[Surface], **options: Any) -> Trajectory:
    values = {"duration_ps": [0.5], "timestep_fs": 1.0, "temperature_K": [300.0], "frame_every_fs": 5.0}
    explorer = UncertaintyExplorer(UncertaintyOptions.model_validate(values | options), Settings())
    [found] = explorer.explore(replica(triangle(), *members))
    return found


@pytest.mark.parametrize("bound", [0.02, 0.2, 10.0])
def test_forces_are_the_slope_of_the_energy(bound: float) -> None:
    options = UncertaintyOptions(width_eV=0.02, depth_eV=1.3, bound_eV_per_atom=bound)
    atoms = triangle()
    atoms.calc = BiasedCommittee(committee(), options)
    atoms.get_potential_energy()  # the start, above which the bound is counted
    atoms.positions += np.random.default_rng(3).normal(scale=0.08, size=(3, 3))
    energy = atoms.get_potential_energy()
    mean, spread, bias = atoms.calc.seen[-1]
    assert energy == pytest.approx(mean + bias)
    assert spread > 0.005
    forces = atoms.get_forces()
    slopes = np.zeros((3, 3))
    for place in np.ndindex(3, 3):
        ends = []
        for shift in (1e-4, -1e-4):
            moved = atoms.positions.copy()
            moved[place] += shift
            atoms.positions, kept = moved, atoms.positions.copy()
            ends.append(atoms.get_potential_energy())
            atoms.positions = kept
        slopes[place] = (ends[0] - ends[1]) / 2e-4
    assert forces == pytest.approx(-slopes, abs=1e-5)


def test_the_bias_is_that_of_the_formula() -> None:
    options = UncertaintyOptions(width_eV=0.02, depth_eV=1.3, bound_eV_per_atom=1e6)
    atoms = triangle(1.1)
    energies = []
    for member in committee():
        atoms.calc = member
        energies.append(atoms.get_potential_energy())
    variance = ((np.array(energies) - np.mean(energies)) ** 2).sum()
    atoms.calc = BiasedCommittee(committee(), options)
    expected = np.mean(energies) + 1.3 * (np.exp(-variance / (3 * 3 * 0.02**2)) - 1)
    assert atoms.get_potential_energy() == pytest.approx(expected, abs=1e-12)


def test_every_member_is_asked_once_per_step_and_once_before() -> None:
    members = committee()
    found = run(members, duration_ps=[0.1])
    assert found.ended == "completed"
    assert [member.calls for member in members] == [101, 101, 101]
    assert found.times.tolist() == (5.0 * np.arange(21)).tolist()


def test_the_bias_reaches_more_disagreement_than_plain_dynamics() -> None:
    members = committee()
    options: dict[str, Any] = {"duration_ps": [0.5], "timestep_fs": 1.0, "temperature_K": [300.0]}
    [plain] = ASEExplorer(ASEOptions(**options), Settings()).explore(replica(triangle(), *members))
    pushed = run(members, depth_eV=1.0, bound_eV_per_atom=0.5)
    energies = np.array([[member.energy_and_forces(frame)[0] for frame in plain.positions] for member in members])
    assert np.median(pushed.series["energy_spread_eV"]) > 2 * np.median(energies.std(axis=0))
    assert pushed.series["bias_eV"].min() < -0.3


def test_the_bias_ends_at_the_bound() -> None:
    above = {}
    for bound in (0.1, 1.0):
        found = run(committee(), depth_eV=3.0, width_eV=0.05, bound_eV_per_atom=bound)
        energy = found.series["mean_energy_eV"] - found.series["mean_energy_eV"][0]
        assert (found.series["bias_eV"][energy > 3 * bound] == 0.0).all()
        above[bound] = np.quantile(energy, 0.9)
    assert above[0.1] < 3 * 0.1
    assert above[1.0] > 3 * 0.15


def test_energy_with_the_bias_is_conserved() -> None:
    found = run(committee(), ensemble="nve", duration_ps=[0.1], timestep_fs=0.25)
    exchanged = np.ptp(found.series["potential_energy_eV"])
    assert exchanged > 0.3
    assert np.ptp(found.series["total_energy_eV"]) < 0.01 * exchanged
    parts = found.series["mean_energy_eV"] + found.series["bias_eV"]
    assert found.series["potential_energy_eV"] == pytest.approx(parts, abs=1e-12)


def test_a_driver_would_hide_the_committee() -> None:
    with pytest.raises(ValidationError, match="driver: found one, expected none"):
        UncertaintyOptions.model_validate({"driver": {"kind": "xtb"}})
