"""Phases: what they begin from, what is done in them, what is kept, and why they end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.calculators.emt import EMT
from pydantic import ValidationError
from test_ase_md import Counted

from known_potential import Known
from sparc_fw.errors import InputError
from sparc_fw.explorers.ase_md import ASEOptions
from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.phase_options import Phase, PhasesOptions
from sparc_fw.explorers.phase_run import chosen_steps
from sparc_fw.explorers.phases import PhasesExplorer
from sparc_fw.geometry.files import Files
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory
from trained_models import ignore_progress

COPPER = {"kind": "bulk", "name": "Cu", "repeat": (2, 2, 2)}
SMALL = {"kind": "bulk", "name": "Cu", "repeat": (2, 1, 1)}
SLAB = {"kind": "surface", "of": {"kind": "bulk", "name": "Cu"}, "miller": (1, 0, 0), "layers": 3, "vacuum_A": 12.0}
NONE = {"frames": 0}


def explorer(*phases: dict[str, Any], **options: Any) -> PhasesExplorer:
    return PhasesExplorer(PhasesOptions.model_validate({"phases": phases} | options), Settings())


def run(*phases: dict[str, Any], calculator: Calculator | None = None, seed: int = 3, **more: Any) -> list[Trajectory]:
    start = more.pop("start", bulk("Cu", cubic=True))
    start.info = {"system": "copper", "charge": 0, "spin": 0}
    place = {"files": Files({}), "earlier": more.pop("earlier", {})}
    replica = Replica(start, Known(calculator or EMT()), [Path("none")], 0, 0, seed, Path(), ignore_progress, **place)
    return explorer(*phases, **more).explore(replica)


def nvt(ps: float, kelvin: float = 300.0, **more: Any) -> dict[str, Any]:
    return {"kind": "nvt", "duration_ps": ps, "temperature_K": kelvin, "timestep_fs": 4.0} | more


class Springs(Calculator):
    """Every atom on a spring of 2 eV/Å^2 at where it began."""

    implemented_properties = ("energy", "forces")

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert atoms is not None
        if not hasattr(self, "home"):
            self.home = atoms.positions.copy()
        away = atoms.positions - self.home
        self.results = {"energy": float((away**2).sum()), "forces": -2 * away}


def test_temperature_is_that_of_the_bath_and_of_the_ramp() -> None:
    ramp = {"kind": "ramp", "duration_ps": 2.0, "timestep_fs": 4.0, "from_K": 400.0, "to_K": 1000.0}
    crystal = {"kind": "bulk", "name": "Cu", "repeat": (4, 4, 4)}
    held, ramped = run(
        {"name": "hold", "geometry": crystal, "run": [nvt(1.0, 400.0)]},
        {"name": "heat", "run": [ramp]},
        calculator=Springs(),
        check_every_fs=20.0,
    )
    # 256 atoms scatter by sqrt(2 / 768) = 5 %; the mean over some correlation times by less. All of the energy was
    # kinetic at the begin, so that the bath first has to give them the other half.
    assert held.series["temperature_K"][20:].mean() == pytest.approx(400.0, rel=0.06)
    third = len(ramped.series["temperature_K"]) // 3
    # The atoms lag behind the bath by half the inverse friction, 15 K at 300 K/ps.
    assert ramped.series["temperature_K"][:third].mean() == pytest.approx(485.0, rel=0.06)
    assert ramped.series["temperature_K"][-third:].mean() == pytest.approx(885.0, rel=0.06)


@pytest.mark.slow
def test_npt_reaches_its_pressure() -> None:
    npt = {"kind": "npt", "duration_ps": 3.0, "timestep_fs": 4.0, "pressure_GPa": 10.0, "barostat_ps": 0.4}
    [found] = run({"name": "squeeze", "geometry": SMALL, "run": [npt], "sampling": {"frames": 40}})
    assert found.ended == "completed"
    pressures = []
    for index in range(10, 40):
        frame = found.frame(index)
        frame.calc = EMT()
        pressures.append(-frame.get_stress()[:3].mean() / units.GPa)
    ideal = 8 * units.kB * 300.0 / found.series["volume_A3"].mean() / units.GPa
    # The barostat holds the pressure with the kinetic part.
    assert np.mean(pressures) + ideal == pytest.approx(10.0, abs=2.0)
    assert found.series["volume_A3"][-1] < 0.96 * found.series["volume_A3"][0]


def test_relaxed_geometry_is_handed_on() -> None:
    stretched = {"kind": "bulk", "name": "Cu", "a_A": 3.9}
    relax = {"kind": "relax", "max_force": 0.01, "cell": True}
    first, second = run(
        {"name": "relax", "geometry": stretched, "run": [relax], "sampling": NONE},
        {"name": "go", "run": [nvt(0.02, 10.0)], "sampling": {"frames": 5}},
    )
    assert len(first) == 0
    assert first.end is not None
    # EMT's lattice constant of copper is 3.59 Å.
    assert first.end.cell.lengths() == pytest.approx([3.59] * 3, abs=0.02)
    np.testing.assert_allclose(second.cells[0], first.end.cell.array)
    assert np.abs(second.positions[0] - first.end.positions).max() < 0.1
    assert second.frame(0).info == {"system": "copper", "charge": 0, "spin": 0}


def test_atoms_change_between_phases_and_velocities_are_handed_on() -> None:
    first, second, third = run(
        {"name": "slab", "geometry": SLAB | {"repeat": (2, 2)}, "run": [nvt(0.1, 600.0)]},
        {"name": "again", "run": [nvt(0.02, 600.0)], "sampling": {"frames": 2}},
        {
            "name": "both",
            "geometry": {"kind": "collage", "pieces": [{"of": {"kind": "end", "phase": "slab"}}, {"of": COPPER}]},
            "run": [nvt(0.02)],
            "sampling": {"frames": 3},
        },
    )
    assert len(first.numbers) == len(second.numbers) < len(third.numbers)
    assert second.series["temperature_K"][0] == pytest.approx(first.series["temperature_K"][-1], rel=0.15)
    assert third.ended == "completed"
    assert len(third) == 3


def test_geometry_defaults_to_the_start() -> None:
    [found] = run({"name": "one", "run": [nvt(0.02)], "sampling": {"frames": 2}})
    assert len(found.numbers) == 4


def test_runs_are_shortened_to_a_fraction_of_the_iterations_time() -> None:
    phases = explorer({"name": "a", "run": [nvt(0.2), nvt(0.6)]}).options
    assert phases.shortened(0, 0.5).planned_ps(0) == pytest.approx(0.4)
    assert phases.shortened(0, 1.0) == phases
    walk = ASEOptions(kind="ase_md", duration_ps=[1.0, 2.0], schedule={2: {"duration_ps": [4.0]}})
    assert [walk.shortened(n, 0.25).planned_ps(n) for n in range(4)] == [0.25, 0.5, 1.0, 1.0]
    # A frame at least is seen.
    assert walk.shortened(0, 1e-6).planned_ps(0) == pytest.approx(walk.frame_every_fs / 1000)


def test_an_end_of_the_last_iteration() -> None:
    geometry = {"kind": "end", "phase": "one", "iteration": "last", "otherwise": COPPER}
    phase = {"name": "one", "geometry": geometry, "run": [nvt(0.02)], "sampling": {"frames": 2}}
    assert len(run(phase)[0].numbers) == 32
    [found] = run(phase, earlier={"one": bulk("Cu")})
    assert (len(found.numbers), found.ended) == (1, "completed")
    assert explorer(phase).options.looks_back


def test_one_frame_from_each_window() -> None:
    short = nvt(0.4, timestep_fs=2.0)
    runs = [nvt(0.4), {"kind": "relax"}, short]
    phase = Phase.model_validate({"name": "p", "run": runs, "sampling": {"frames": 8}})
    draws = [sorted(chosen_steps(phase, np.random.default_rng(seed))) for seed in range(50)]
    for steps in draws:
        # 100 steps of 4 fs, then 200 of 2 fs: windows of 100 fs are 25 and then 50 steps.
        edges = [0, 25, 50, 75, 100, 150, 200, 250, 300]
        assert np.histogram(np.array(steps) - 1, edges)[0].tolist() == [1] * 8
    assert len({tuple(steps) for steps in draws}) == 50
    assert draws[0] == sorted(chosen_steps(phase, np.random.default_rng(0)))


def test_frames_are_where_their_times_say() -> None:
    [found] = run({"name": "p", "run": [nvt(0.4)], "sampling": {"frames": 4}})
    assert (np.floor(found.times / 100.0001) == np.arange(4)).all()
    assert found.survived_fs == 400.0
    assert found.steps == 100


def test_forces_are_computed_once_per_step() -> None:
    calculator = Counted(nan_from=10**9)
    start = Atoms("H2", [(0, 0, 0), (0, 0, 1.5)])
    phase = {"name": "p", "run": [nvt(0.1, timestep_fs=0.5)]}
    [found] = run(phase, calculator=calculator, start=start)
    assert found.steps == 200
    assert calculator.calls == 201


def test_the_same_seed_gives_the_same_run_to_the_bit() -> None:
    phases = ({"name": "a", "geometry": COPPER, "run": [nvt(0.1)]}, {"name": "b", "run": [nvt(0.1, 900.0)]})
    first, again, other = (run(*phases, seed=seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.positions, again.positions)
    np.testing.assert_array_equal(first.times, again.times)
    assert np.abs(first.positions[-1] - other.positions[-1]).max() > 1e-3


def test_a_failing_phase_says_why_and_those_that_need_it_do_not_begin() -> None:
    hit = nvt(1.0, 300.0, timestep_fs=100.0)
    failed, needs, other = run(
        {"name": "hit", "geometry": COPPER, "run": [nvt(0.1), hit], "sampling": {"frames": 2}},
        {"name": "needs", "run": [nvt(0.1)]},
        {"name": "other", "geometry": COPPER, "run": [nvt(0.1)]},
        max_force=20.0,
    )
    assert "in run 1 (nvt) after" in failed.ended
    assert failed.end is None
    assert 100.0 < failed.survived_fs < 1100.0
    assert needs.ended == "not begun: it needs the end of phase 'hit', which ended early"
    assert (len(needs), needs.survived_fs) == (0, 0.0)
    assert other.ended == "completed"


def test_a_geometry_that_cannot_be_built_does_not_begin_its_phase() -> None:
    # What an earlier phase leaves is thinner than the slice.
    pieces = [{"of": {"kind": "end", "phase": "small"}, "from_A": 8.0}]
    small, above, other = run(
        {"name": "small", "geometry": SMALL, "run": [nvt(0.02)], "sampling": {"frames": 1}},
        {"name": "above", "geometry": {"kind": "collage", "pieces": pieces}, "run": [nvt(0.1)]},
        {"name": "other", "geometry": COPPER, "run": [nvt(0.02)], "sampling": {"frames": 1}},
    )
    assert above.ended.startswith("not begun: its geometry cannot be built: collage: pieces[0]: nothing lies from 8 to")
    assert (len(above), above.survived_fs, above.end) == (0, 0.0, None)
    assert small.ended == other.ended == "completed"


def test_overlap_and_leaving_end_a_phase() -> None:
    start = Atoms("H3", [(0, 0, 0), (1.5, 0, 0), (3.9, 0, 0)])
    phase = {"name": "p", "run": [nvt(2.0, 3000.0, timestep_fs=0.5)]}
    [found] = run(phase, start=start, calculator=Counted(10**9), within_A=3.0, seed=5)
    assert "left: 3." in found.ended
    assert found.survived_fs < 2000.0
    close = Atoms("H2", [(0, 0, 0), (0, 0, 0.1)])
    [found] = run(phase, start=close, calculator=Counted(10**9))
    assert "apart" in found.ended
    assert found.steps == 0


def test_load_presses_until_the_forces_balance() -> None:
    load = {"kind": "load", "pressure_GPa": 20.0, "duration_ps": 1.5, "timestep_fs": 4.0, "temperature_K": 50.0}
    relaxed = {"name": "relax", "geometry": SLAB, "run": [{"kind": "relax"}], "sampling": NONE}
    before, after = run(relaxed, {"name": "load", "run": [load | {"grip_A": 1.0}]})
    assert before.end is not None
    assert after.end is not None
    thick = [np.ptp(trajectory.end.positions[:, 2]) for trajectory in (before, after) if trajectory.end]
    # Copper under 20 GPa along (100), sides held: c11 of EMT is some 170 GPa.
    assert 0.03 < 1 - thick[1] / thick[0] < 0.2
    held = after.end
    held.calc = EMT()
    upper = held.positions[:, 2] > held.positions[:, 2].max() - 0.1
    area = np.linalg.norm(np.cross(held.cell[0], held.cell[1]))
    assert held.get_forces()[upper, 2].sum() / area / units.GPa == pytest.approx(20.0, rel=0.25)


def test_pull_and_shear_move_the_upper_layer_at_their_speed() -> None:
    pull = {"kind": "pull", "speed_A_per_ps": 2.0, "duration_ps": 0.2, "timestep_fs": 4.0, "grip_A": 1.0}
    shear = pull | {"kind": "shear", "along": "y"}
    geometry = SLAB | {"repeat": (2, 2)}
    for kind, axis in ((pull, 2), (shear, 1)):
        [found] = run({"name": "p", "geometry": geometry, "run": [kind], "sampling": {"frames": 50}})
        upper = np.argmax(found.positions[0, :, 2])
        lower = np.argmin(found.positions[0, :, 2])
        moved = found.positions[-1, upper] - found.positions[0, upper]
        expected = np.zeros(3)
        expected[axis] = 2.0 * (found.times[-1] - found.times[0]) / 1000
        np.testing.assert_allclose(moved, expected, atol=1e-9)
        np.testing.assert_array_equal(found.positions[-1, lower], found.positions[0, lower])


@pytest.mark.parametrize(("along", "entry"), [("z", (2, 2)), ("xy", (1, 0))])
def test_strain_at_its_rate(along: str, entry: tuple[int, int]) -> None:
    strain = {"kind": "strain", "along": along, "rate_per_ps": 0.2, "duration_ps": 0.2, "timestep_fs": 4.0}
    [found] = run({"name": "p", "geometry": COPPER, "run": [strain], "sampling": {"frames": 1}})
    assert found.end is not None
    expected = np.eye(3) * 7.22
    expected[entry] += 7.22 * 0.04
    np.testing.assert_allclose(found.end.cell.array, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        (
            [
                {"name": "a", "geometry": {"kind": "end", "phase": "b"}, "run": [nvt(0.1)]},
                {"name": "b", "run": [nvt(1)]},
            ],
            "phase 'a': geometry: end of phase 'b', which does not run before it; expected another geometry",
        ),
        ([{"name": "a", "geometry": {"kind": "end", "phase": "x"}, "run": [nvt(0.1)]}], "'x', which does not exist"),
        ([{"name": "a", "run": [nvt(0.1)]}] * 2, "expected every name once"),
        ([{"name": "a", "run": [{"kind": "relax"}]}], "frames: found 20, expected at most 0"),
        (
            [{"name": "a", "geometry": {"kind": "end", "phase": "a", "iteration": "last"}, "run": [nvt(0.1)]}],
            "otherwise: found none beside iteration: last",
        ),
        (
            [{"name": "a", "run": [{"kind": "shear", "axis": "x", "duration_ps": 1, "speed_A_per_ps": 1}]}],
            "which is up",
        ),
    ],
)
def test_phases_that_make_no_sense_are_refused(phases: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PhasesOptions.model_validate({"phases": phases})


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (
            {"geometry": {"kind": "molecule", "name": "H2O"}, "run": [{"kind": "npt", "duration_ps": 0.1}]},
            "expected a str",
        ),
        (
            {"geometry": SLAB, "run": [{"kind": "load", "duration_ps": 0.1, "pressure_GPa": 1.0, "grip_A": 5.0}]},
            r"phase 'p': run\[0\] \(load\): grip_A: two layers of 5 Å take all \d+ atoms",
        ),
        (
            {"geometry": {"kind": "bulk", "name": "C", "a_A": 1.4}, "run": [nvt(0.1)]},
            "phase 'p': geometry: atoms .* apart",
        ),
        (
            {
                "geometry": {"kind": "collage", "pieces": [{"of": COPPER}, {"of": SLAB}], "max_strain": 1e-9},
                "run": [nvt(0.1)],
            },
            None,
        ),
    ],
)
def test_geometries_are_built_at_check(phase: dict[str, Any], message: str | None) -> None:
    checked = explorer({"name": "p"} | phase)
    if message is None:
        checked.check_geometries(bulk("Cu"), Files({}))
        return
    with pytest.raises(InputError, match=message):
        checked.check_geometries(bulk("Cu"), Files({}))


def test_lasting_shortens_all_phases() -> None:
    options = explorer({"name": "a", "run": [nvt(1.0)]}, {"name": "b", "run": [nvt(3.0)]}).options
    assert options.planned_ps(0) == 4.0
    assert [phase.planned_fs for phase in options.lasting(0.4).phases] == [100.0, 300.0]


PAIR = Atoms("Ne2", [[0, 0, 0], [0, 0, 3.0]], info={"system": "ne2", "charge": 0, "spin": 0})
NEON = {"kind": "potential", "calculator": "ase.calculators.lj:LennardJones", "arguments": {"epsilon": 0.01}}


def test_a_driver_leads_the_first_iterations_of_the_phases_that_want_it(tmp_path: Path) -> None:
    brief = {"run": [nvt(0.04)], "sampling": NONE}
    phases = (
        {"name": "led", "driver": NEON} | brief,
        {"name": "longer", "driver": NEON, "driver_iterations": 2} | brief,
    )
    driven = explorer(*phases, {"name": "never"} | brief)
    driven.check_geometries(PAIR, Files({}))
    calls = []
    for iteration in range(3):
        committee = Counted(nan_from=10**9)
        driven.explore(Replica(PAIR, Known(committee), [Path("none")], iteration, 0, 5, tmp_path, ignore_progress))
        calls.append(committee.calls)
    # Ten steps and one more; a phase that goes on with the same calculator knows the forces it begins with.
    assert calls == [11, 22, 31]


def test_a_driver_that_fails_ends_its_phase_and_says_why() -> None:
    failing = NEON | {"calculator": "test_phases:Failing", "arguments": {}}
    first, second = run(
        {"name": "a", "run": [nvt(0.1)], "sampling": {"frames": 5}, "driver": failing},
        {"name": "b", "geometry": {"kind": "start"}, "run": [nvt(0.02)], "sampling": NONE},
        start=bulk("Cu", cubic=True),
    )
    assert re.match(r"CalculationFailed: no more, in run 0 \(nvt\) after 12 fs of the phase", first.ended)
    assert second.ended == "completed"


class Failing(EMT):
    """Fails at its fifth frame."""

    frames = 0

    def calculate(self, *arguments: Any, **more: Any) -> None:
        self.frames += 1
        if self.frames == 5:
            raise CalculationFailed("no more")
        super().calculate(*arguments, **more)
