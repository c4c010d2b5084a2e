"""ASE's integrators: number of force calls, early ends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.calculators.morse import MorsePotential

from known_potential import Known
from sparc_fw.errors import InputError
from sparc_fw.explorers.ase_md import ASEExplorer, ASEOptions
from sparc_fw.explorers.base import Replica
from sparc_fw.geometry.isolation import nearest_neighbours
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory
from trained_models import ammonia_borane, ignore_progress


class Counted(MorsePotential):
    """A Morse potential that counts its calls and gives NaN from one of them on."""

    def __init__(self, nan_from: int) -> None:
        super().__init__(epsilon=1.0, r0=1.5, rho0=3.0)
        self.nan_from = nan_from
        self.calls = 0

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls >= self.nan_from:
            self.results["forces"] = np.full_like(self.results["forces"], np.nan)


def run(calculator: Calculator, start: Atoms | None = None, **options: object) -> Trajectory:
    explorer = ASEExplorer(ASEOptions.model_validate({"duration_ps": [0.05]} | options), Settings())
    frame = ammonia_borane() if start is None else start
    replica = Replica(frame, Known(calculator), [Path("none")], 0, 0, 5, Path(), ignore_progress)
    [trajectory] = explorer.explore(replica)
    return trajectory


@pytest.mark.parametrize("ensemble", ["nve", "langevin", "nose_hoover", "bussi"])
def test_forces_are_computed_once_per_step_and_once_before(ensemble: str) -> None:
    calculator = Counted(nan_from=10**9)
    found = run(calculator, ensemble=ensemble)
    assert found.steps == 100
    assert calculator.calls == 101


def test_nan_ends_the_run_and_keeps_what_was_before() -> None:
    found = run(Counted(nan_from=36))
    assert found.ended == "a force is not finite at step 35"
    assert found.steps == 35
    assert found.times.tolist() == [0.0, 5.0, 10.0, 15.0]


def test_overlapping_atoms_end_the_run() -> None:
    start = Atoms("H2", [(0, 0, 0), (0, 0, 0.1)])
    found = run(Counted(nan_from=10**9), start, max_force=1e9)
    assert "apart" in found.ended
    assert found.steps == 0
    assert len(found) == 1


def test_free_atoms_fly_as_far_as_their_temperature_says() -> None:
    start = Atoms("Ar40", np.random.default_rng(0).normal(0, 1, (40, 3)).cumsum(axis=0) * 100)
    found = run(Counted(nan_from=10**9), start, ensemble="nve", duration_ps=[1.0], temperature_K=[300.0])
    # Free flight: mean square displacement 3 kT/m t^2, k_B/u = 8.314463e-7 Å^2/fs^2/K.
    expected = 3 * 8.314463e-7 * found.series["temperature_K"][0] / 39.948 * 1000.0**2
    displacement = ((found.positions[-1] - found.positions[0]) ** 2).sum(axis=1).mean()
    assert displacement == pytest.approx(expected, rel=0.05)


def test_an_atom_that_leaves_ends_the_run() -> None:
    start = Atoms("H3", [(0, 0, 0), (1.5, 0, 0), (3.9, 0, 0)])
    start.set_array("initial_magmoms", np.zeros(3))
    found = run(Counted(nan_from=10**9), start, within_A=3.0, duration_ps=[1.0], temperature_K=[3000.0])
    assert re.match(r"atom \d \(H\) left: 3\.\d\d Å from its nearest neighbour, more than 3 Å at step \d+", found.ended)
    assert found.steps < 2000
    assert (nearest_neighbours(found.positions[:-1]) <= 3.0).all()


def test_a_driver_leads_the_first_iterations(tmp_path: Path) -> None:
    driver = {"kind": "potential", "calculator": "ase.calculators.lj:LennardJones", "arguments": {"epsilon": 0.01}}
    options = ASEOptions.model_validate({"driver": driver, "driver_iterations": 2, "duration_ps": [0.05]})
    explorer = ASEExplorer(options, Settings())
    pair = Atoms("Ne2", [[0, 0, 0], [0, 0, 1.5]], info={"system": "ne2", "charge": 0, "spin": 0})
    explorer.check(pair)
    calls = []
    for iteration in range(3):
        committee = Counted(nan_from=10**9)
        explorer.explore(Replica(pair, Known(committee), [Path("none")], iteration, 0, 5, tmp_path, ignore_progress))
        calls.append(committee.calls)
    assert calls == [0, 0, 101]


def test_a_driver_that_drives_nothing_is_bad_input() -> None:
    explorer = ASEExplorer(ASEOptions.model_validate({"driver": {"kind": "pyscf"}}), Settings())
    with pytest.raises(InputError, match=r"driver: .*cannot drive dynamics; expected one that can"):
        explorer.check(ammonia_borane())


class Failing(Counted):
    """A calculator that gives up."""

    def calculate(self, *arguments: Any, **keywords: Any) -> None:
        super().calculate(*arguments, **keywords)
        if self.calls == 31:
            raise CalculationFailed("no convergence")


def test_a_calculator_that_fails_ends_the_run_with_its_words() -> None:
    found = run(Failing(nan_from=10**9))
    assert found.ended == "CalculationFailed at step 30: no convergence"
    assert len(found) == 3
