"""Phases by LAMMPS, with a driver, and with a bias: the same promises whichever engine runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.lj import LennardJones
from pydantic import ValidationError

from known_potential import Known
from sparc_fw.errors import InputError
from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.phase_options import PhasesOptions
from sparc_fw.explorers.phases import PhasesExplorer
from sparc_fw.explorers.plumed import kernel_problem
from sparc_fw.geometry.files import Files
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory
from trained_models import ignore_progress

ARGON = {"sigma": 3.4, "epsilon": 0.0104, "rc": 8.5}
LINES = ["pair_style lj/cut 8.5", "pair_modify shift yes", "pair_coeff * * 0.0104 3.4"]
CRYSTAL = {"kind": "bulk", "name": "Ar", "a_A": 5.3, "repeat": (4, 4, 4)}
NONE = {"frames": 0}


def explorer(*phases: dict[str, Any], **options: Any) -> PhasesExplorer:
    each = [{"engine": "lammps"} | phase for phase in phases]
    return PhasesExplorer(PhasesOptions.model_validate({"phases": each} | options), Settings())


def run(folder: Path, *phases: dict[str, Any], **more: Any) -> list[Trajectory]:
    start = more.pop("start", bulk("Ar", a=5.3, cubic=True))
    start.info = {"system": "argon", "charge": 0, "spin": 0}
    potential = Known(more.pop("calculator", LennardJones(**ARGON)), LINES)
    place = (more.pop("iteration", 0), 0, more.pop("seed", 3), folder, ignore_progress)
    made = explorer(*phases, **more)
    made.check_geometries(start, Files({}))
    return made.explore(Replica(start, potential, [Path("none")], *place))


def nvt(ps: float, kelvin: float = 40.0, **more: Any) -> dict[str, Any]:
    return {"kind": "nvt", "duration_ps": ps, "temperature_K": kelvin, "timestep_fs": 4.0} | more


@pytest.mark.slow
def test_cell_and_velocities_go_from_engine_to_engine(tmp_path: Path) -> None:
    relax = {"kind": "relax", "max_force": 0.0005, "cell": True}
    small = CRYSTAL | {"repeat": (2, 2, 2)}
    # Too short for forces to tell, in a bath that hardly kicks.
    free = nvt(0.004, timestep_fs=1.0, friction_per_ps=1e-4)
    first, second, third, fourth = run(
        tmp_path,
        {"name": "relax", "geometry": small, "run": [relax], "sampling": NONE},
        {"name": "warm", "run": [nvt(1.0)], "sampling": {"frames": 5}},
        {"name": "ase", "engine": "ase", "run": [free], "sampling": {"frames": 1}},
        {"name": "again", "run": [free], "sampling": {"frames": 1}},
        check_every_fs=20.0,
    )
    assert [part.ended for part in (first, second, third, fourth)] == ["completed"] * 4
    assert first.end is not None
    # A Lennard-Jones crystal whose forces end at 2.5 sigma.
    perfect = bulk("Ar", a=first.end.cell[0, 0] / 2, cubic=True)
    perfect.calc = LennardJones(**ARGON)
    assert np.abs(perfect.get_stress()).max() / units.GPa < 0.005
    assert first.end.cell.angles() == pytest.approx([90.0] * 3, abs=1e-3)
    np.testing.assert_allclose(second.cells[0], first.end.cell.array, atol=1e-9)
    assert first.steps > 0
    assert second.steps == 250
    for before, after in ((second, third), (third, fourth)):
        assert before.end is not None
        assert after.frame(0).info == {"system": "argon", "charge": 0, "spin": 0}
        moved = after.positions[0] - before.end.positions
        # Where velocities carry the atoms until the frame was drawn.
        np.testing.assert_allclose(moved, before.end.get_velocities() * after.times[0] * units.fs, atol=2e-4)
        assert np.abs(moved).max() > 1e-3


@pytest.mark.slow
def test_a_ramp_by_lammps_has_its_temperatures_and_frames(tmp_path: Path) -> None:
    ramp = {"kind": "ramp", "duration_ps": 4.0, "timestep_fs": 4.0, "from_K": 20.0, "to_K": 60.0}
    phase = {"name": "p", "geometry": CRYSTAL, "run": [nvt(2.0, 20.0), ramp], "sampling": {"frames": 12}}
    folders = [tmp_path / "first", tmp_path / "again"]
    for folder in folders:
        folder.mkdir()
    found, again = (run(folder, phase, check_every_fs=40.0)[0] for folder in folders)
    np.testing.assert_array_equal(found.positions, again.positions)
    assert (np.floor(found.times / 500.0001) == np.arange(12)).all()
    times, kelvin = found.series["time_fs"], found.series["temperature_K"]
    assert (times[-1], found.survived_fs, found.steps) == (6000.0, 6000.0, 1500)
    # 256 atoms scatter by 5 %, the mean over some correlation times by less; they lag behind by 1 K.
    assert kelvin[(times > 1000) & (times <= 2000)].mean() == pytest.approx(20.0, rel=0.06)
    assert kelvin[times > 5000].mean() == pytest.approx(54.0, rel=0.06)
    # The frame is the one of its time: an energy that is known lies between its neighbours' in the series.
    frame = found.frame(-1)
    frame.calc = LennardJones(**ARGON)
    near = found.series["potential_energy_eV"][np.abs(times - found.times[-1]) <= 50.0]
    assert near.min() - 0.1 <= frame.get_potential_energy() <= near.max() + 0.1


@pytest.mark.slow
def test_npt_by_lammps_reaches_its_pressure(tmp_path: Path) -> None:
    npt = {"kind": "npt", "duration_ps": 8.0, "timestep_fs": 4.0, "temperature_K": 40.0, "pressure_GPa": 0.5}
    small = CRYSTAL | {"repeat": (3, 3, 3)}
    phase = {"name": "p", "geometry": small, "run": [npt | {"barostat_ps": 0.4}], "sampling": {"frames": 40}}
    [found] = run(tmp_path, phase, check_every_fs=40.0)
    pressures = []
    for index in range(10, 40, 5):
        frame = found.frame(index)
        frame.calc = LennardJones(**ARGON)
        pressures.append(-frame.get_stress()[:3].mean() / units.GPa)
    ideal = 108 * units.kB * 40.0 / found.series["volume_A3"].mean() / units.GPa
    assert np.mean(pressures) + ideal == pytest.approx(0.5, abs=0.08)
    assert found.series["volume_A3"][-1] < 0.95 * 27 * 5.3**3


@pytest.mark.slow
@pytest.mark.parametrize(("along", "entry"), [("x", (0, 0)), ("xy", (1, 0)), ("yz", (2, 1))])
def test_lammps_strains_as_ase_does(along: str, entry: tuple[int, int], tmp_path: Path) -> None:
    strain = {"kind": "strain", "along": along, "rate_per_ps": 0.2, "duration_ps": 0.2, "timestep_fs": 4.0}
    more = {"run": [strain | {"temperature_K": 20.0}], "sampling": {"frames": 1}}
    # A cell that is sheared already, so that more than one number of it changes.
    tilted = Atoms("Ar", cell=[[4.0, 0, 0], [0.6, 4.1, 0], [0.5, -0.4, 4.2]], pbc=True).repeat(2)
    cells = []
    for engine in ("ase", "lammps"):
        folder = tmp_path / engine
        folder.mkdir()
        [found] = run(folder, {"name": "p", "engine": engine, **more}, start=tilted.copy())
        assert found.end is not None
        cells.append(found.end.cell.array)
    np.testing.assert_allclose(cells[0], cells[1], atol=1e-9)
    assert abs(cells[1] - tilted.cell.array)[entry] > 0.3


@pytest.mark.slow
def test_a_biased_phase_by_lammps_holds_its_variable(tmp_path: Path) -> None:
    pair = Atoms("Ar2", [(0, 0, 0), (0, 0, 3.8)])
    bias = {"kind": "umbrella", "cv": {"kind": "distance", "atoms": [0, 1]}, "centre": 4.5, "stiffness": 5.0}
    phase = {"name": "held", "run": [{"kind": "relax"}, nvt(2.0, 20.0, friction_per_ps=2.0)], "bias": [bias]}
    [found] = run(tmp_path, phase | {"sampling": {"frames": 40}}, start=pair, check_every_fs=4.0)
    distances = np.linalg.norm(found.positions[:, 0] - found.positions[:, 1], axis=1)
    # kT / k allows 0.02 Å, and the pair pulls by less than 0.01 eV/Å.
    assert distances[20:].mean() == pytest.approx(4.5, abs=0.05)
    variable = np.interp(found.times, found.series["bias_time_fs"], found.series["cv0"])
    np.testing.assert_allclose(variable, distances, atol=1e-6)
    energy = 0.5 * 5.0 * (found.series["cv0"] - 4.5) ** 2
    np.testing.assert_allclose(found.series["bias0_eV"], energy, atol=1e-9)
    text = explorer(phase).bias_text(pair)
    assert "# phase held" in text
    assert "centers 4.5" in text


@pytest.mark.slow
def test_a_phase_that_lammps_ends_early_says_why(tmp_path: Path) -> None:
    close = Atoms("Ar2", [(0, 0, 0), (0, 0, 2.6)])
    hit, needs, apart = run(
        tmp_path,
        {"name": "hit", "geometry": {"kind": "start"}, "run": [nvt(0.1), nvt(0.1)], "sampling": {"frames": 2}},
        {"name": "needs", "run": [nvt(0.1)], "sampling": NONE},
        {"name": "apart", "geometry": {"kind": "start"}, "run": [nvt(2.0)], "sampling": {"frames": 20}},
        start=close,
        max_force=0.6,
        within_A=4.5,
    )
    assert "passed max_force, 0.6 eV/Å, in run 0 (nvt) after" in hit.ended
    assert needs.ended == "not begun: it needs the end of phase 'hit', which ended early"
    assert hit.end is None
    assert len(hit) == 1
    # No end of another phase is needed for this one.
    assert "passed max_force" in apart.ended
    [left] = run(tmp_path, {"name": "left", "run": [nvt(2.0)]}, start=close, within_A=4.5)
    assert "in run 0 (nvt) after" in left.ended
    assert left.survived_fs < 2000.0
    # The frame that ended it comes last, with those before.
    assert left.times[-1] == left.survived_fs
    assert np.linalg.norm(left.positions[-1, 0] - left.positions[-1, 1]) > 4.5
    assert (np.linalg.norm(left.positions[:-1, 0] - left.positions[:-1, 1], axis=1) < 4.6).all()


METADYNAMICS = {"kind": "metadynamics", "cv": {"kind": "distance", "atoms": [0, 1]}}
ADAPTIVE = {"kind": "abf", "cv": {"kind": "distance", "atoms": [0, 1]}, "lower": 3.0, "upper": 5.0}
PULL = {"kind": "steered", "cv": {"kind": "distance", "atoms": [0, 1]}, "first": 3.8, "last": 4.8, "per_ps": [1.0]}


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ({"run": [{"kind": "pull", "speed_A_per_ps": 1, "duration_ps": 1}]}, "found pull .* expected engine: ase"),
        ({"run": [nvt(0.1)], "driver": {"kind": "xtb"}}, "driver: found one beside .* expected engine: ase"),
        ({"run": [nvt(0.1)], "engine": "ase", "bias": [ADAPTIVE]}, "found abf .* expected engine: lammps"),
        (
            {"run": [{"kind": "npt", "duration_ps": 1}], "engine": "ase", "bias": [METADYNAMICS]},
            "found npt beside a bias .* expected engine: lammps",
        ),
        ({"run": [nvt(0.1), {"kind": "relax"}], "bias": [METADYNAMICS]}, "found relax after a run in time"),
        ({"run": [nvt(0.1), nvt(0.1, timestep_fs=2.0)], "bias": [METADYNAMICS]}, "expected one for all runs"),
        ({"run": [{"kind": "relax"}], "bias": [METADYNAMICS], "sampling": NONE}, "without a run in time"),
        ({"run": [nvt(0.5)], "bias": [PULL | {"stiffness": 1.0}]}, "pulls for longer than the phase lasts"),
        ({"run": [nvt(0.5)], "bias": [{**ADAPTIVE, "kind": "umbrella"}]}, "bias"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_by_the_name_of_the_one_that_can(
    phase: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        explorer({"name": "p"} | phase)


def test_atoms_that_do_not_exist_and_cells_that_lammps_turns_are_refused(tmp_path: Path) -> None:
    start = bulk("Ar", a=5.3)
    wrong = {**METADYNAMICS, "cv": {"kind": "distance", "atoms": [0, 7]}}
    with pytest.raises(InputError, match=r"phase 'p': bias\[0\].cv: found atom 7"):
        explorer({"name": "p", "run": [nvt(0.1)], "bias": [wrong]}).check_geometries(start, Files({}))
    strain = {"kind": "strain", "along": "x", "rate_per_ps": 0.2, "duration_ps": 0.2}
    with pytest.raises(InputError, match=r"run\[0\] \(strain\): .* or engine: ase"):
        explorer({"name": "p", "run": [strain]}).check_geometries(start, Files({}))


def test_a_driver_drives_a_phase_of_the_first_iteration(tmp_path: Path) -> None:
    driver = {"kind": "potential", "calculator": "ase.calculators.lj:LennardJones", "arguments": ARGON}
    phase = {"name": "p", "engine": "ase", "driver": driver, "run": [nvt(0.2)], "sampling": {"frames": 3}}
    # A committee that holds nothing together, and an atom that moves only where something pulls at it.
    pair = Atoms("Ar2", [(0, 0, 0), (0, 0, 3.4)])
    free = LennardJones(sigma=3.4, epsilon=0.0, rc=8.5)
    driven, own = (
        run(tmp_path, phase, start=pair.copy(), calculator=free, iteration=iteration)[0] for iteration in (0, 1)
    )
    assert np.abs(own.series["potential_energy_eV"]).max() == 0.0
    assert driven.series["potential_energy_eV"][0] != 0.0
    wrong = {**phase, "driver": driver | {"calculator": "ase.calculators.nothing:Nothing"}}
    with pytest.raises(InputError, match="phase 'p': driver"):
        explorer(wrong).check_geometries(pair, Files({}))


@pytest.mark.plumed
@pytest.mark.skipif(kernel_problem() is not None, reason=str(kernel_problem()))
def test_a_biased_phase_by_ase_pulls_and_tells_the_work(tmp_path: Path) -> None:
    pair = Atoms("Ar2", [(0, 0, 0), (0, 0, 3.8)])
    phase = {"name": "p", "engine": "ase", "run": [{"kind": "relax"}, nvt(1.0, 10.0)]}
    [found] = run(tmp_path, phase | {"bias": [PULL | {"stiffness": 20.0}]}, start=pair, check_every_fs=4.0)
    assert found.ended == "completed"
    assert found.series["centre0"][-1] == pytest.approx(4.8, abs=0.01)
    assert found.series["cv0"][-1] == pytest.approx(4.8, abs=0.2)
    # What it takes to pull the pair so far, and what friction takes.
    assert 0.004 < found.series["work0_eV"][-1] < 0.1
    # The potential's own energy, without the bias's.
    energies = found.series["potential_energy_eV"]
    assert energies.min() >= -0.0104
    assert energies.max() < 0.0
