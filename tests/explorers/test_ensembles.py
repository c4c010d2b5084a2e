"""Time is time, and every ensemble has its temperature and pressure, on systems whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from known_potential import Known
from sparc_fw.errors import InputError
from sparc_fw.explorers.ase_md import ASEExplorer, ASEOptions
from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.lammps import LAMMPSExplorer
from sparc_fw.explorers.lammps_input import LAMMPSOptions
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory
from trained_models import ignore_progress

STIFFNESS = 5.0
"""Of the springs that hold every atom to its place, eV/Å^2."""
SPRINGS = ["pair_style zero 5.0", "pair_coeff * *", f"fix springs all spring/self {STIFFNESS}"]


class Springs(Calculator):
    """Each atom is an oscillator of its own about where it began."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, places: np.ndarray) -> None:
        super().__init__()
        self.places = places.copy()

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        shift = self.atoms.positions - self.places
        self.results = {"energy": 0.5 * STIFFNESS * float((shift**2).sum()), "forces": -STIFFNESS * shift}


def crystal(atoms: int = 64) -> Atoms:
    side = round(atoms ** (1 / 3))
    places = 4.0 * np.array([(i, j, k) for i in range(side) for j in range(side) for k in range(side)], dtype=float)
    return Atoms(f"Ne{len(places)}", places, info={"system": "springs", "charge": 0, "spin": 0})


def explore(engine: str, folder: Path, start: Atoms, **options: object) -> Trajectory:
    potential = Known(Springs(start.positions), SPRINGS)
    explorer: Any
    if engine == "ase_md":
        explorer = ASEExplorer(ASEOptions.model_validate(options), Settings())
    else:
        explorer = LAMMPSExplorer(LAMMPSOptions.model_validate(options), Settings())
    explorer.check(start)
    [found] = explorer.explore(Replica(start, potential, [Path("none")], 0, 0, 11, folder, ignore_progress))
    assert isinstance(found, Trajectory)
    return found


@pytest.mark.parametrize("engine", ["ase_md", "lammps"])
def test_a_femtosecond_is_one_for_an_oscillator(engine: str, tmp_path: Path) -> None:
    start = crystal()
    mass = start.get_masses()[0]
    # eV/(Å^2 u) = 9.648533e-3 1/fs^2
    omega = np.sqrt(STIFFNESS / mass * 9.648533e-3)
    found = explore(
        engine, tmp_path, start, ensemble="nve", duration_ps=[0.5], timestep_fs=0.5, frame_every_fs=0.5,
        temperature_K=[100.0],
    )  # fmt: skip
    shift = (found.positions - start.positions).reshape(len(found), -1)
    # Every coordinate is its own first velocity times the same sine.
    sine = np.sin(omega * found.times)
    scale = shift.T @ sine / (sine @ sine)
    assert np.abs(shift - np.outer(sine, scale)).max() < 0.005 * np.abs(shift).max()
    wrong = np.sin(0.98 * omega * found.times)
    assert np.abs(shift - np.outer(wrong, shift.T @ wrong / (wrong @ wrong))).max() > 0.05 * np.abs(shift).max()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ase_md", "lammps"])
@pytest.mark.parametrize("ensemble", ["langevin", "nose_hoover", "bussi"])
def test_a_heat_bath_has_its_temperature(engine: str, ensemble: str, tmp_path: Path) -> None:
    start = crystal()
    found = explore(
        engine, tmp_path, start, ensemble=ensemble, duration_ps=[6.0], timestep_fs=2.0, frame_every_fs=4.0,
        temperature_K=[300.0], friction_per_ps=10.0, equilibrate_ps=1.0,
    )  # fmt: skip
    assert found.ended == "completed"
    potential = found.series["potential_energy_eV"]
    kelvin = found.series["temperature_K"]
    # The mean of 192 oscillators over some 30 relaxation times: standard error 300 K sqrt(2 / (192 * 30)) = 6 K.
    assert kelvin.mean() == pytest.approx(300.0, abs=18.0)
    if engine == "ase_md":  # fix spring/self adds its energy to nothing that LAMMPS prints
        assert potential.mean() == pytest.approx(1.5 * len(start) * units.kB * 300.0, rel=0.08)
    if ensemble != "nose_hoover":
        # Canonical fluctuations. A chain need not have them here: what drives it is the same for all oscillators.
        assert kelvin.std() == pytest.approx(300.0 * np.sqrt(2 / 189), rel=0.35)


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", ["npt", "npt_cell"])
def test_a_barostat_has_its_pressure(ensemble: str, tmp_path: Path) -> None:
    copper = bulk("Cu", cubic=True) * (2, 2, 2)
    copper.info = {"system": "cu", "charge": 0, "spin": 0}
    explorer = ASEExplorer(
        ASEOptions.model_validate(
            {
                "ensemble": ensemble, "duration_ps": [3.0], "timestep_fs": 3.0, "frame_every_fs": 15.0,
                "temperature_K": [300.0], "pressure_GPa": [5.0], "pressure_relaxation_ps": 0.3, "equilibrate_ps": 1.0,
            }
        ),
        Settings(),
    )  # fmt: skip
    [found] = explorer.explore(Replica(copper, Known(EMT()), [Path("none")], 0, 0, 2, tmp_path, ignore_progress))
    frames = [found.frame(index) for index in range(len(found))]
    pressures = []
    for frame in frames:
        frame.calc = EMT()
        # Kinetic part: N k T / V.
        thermal = len(frame) * units.kB * 300.0 / frame.get_volume()
        pressures.append((thermal - frame.get_stress()[:3].mean()) / units.GPa)
    assert np.mean(pressures) == pytest.approx(5.0, abs=0.5)
    # EMT copper has a bulk modulus of some 134 GPa: 5 GPa press it by about 3.5 %, warmth swells it by 1.5 %.
    assert np.mean([frame.get_volume() for frame in frames[50:]]) == pytest.approx(
        0.975 * copper.get_volume(), rel=0.015
    )
    angles = np.array([frame.cell.angles() for frame in frames])
    assert (np.ptp(angles) > 1e-3) == (ensemble == "npt_cell")


@pytest.mark.slow
def test_lammps_gives_the_cells_of_constant_pressure(tmp_path: Path) -> None:
    argon = bulk("Ar", "fcc", a=5.3, cubic=True) * (2, 2, 2)
    argon.info = {"system": "ar", "charge": 0, "spin": 0}
    lines = ["pair_style lj/cut 5.2", "pair_coeff * * 0.0104 3.4"]
    options = LAMMPSOptions.model_validate(
        {
            "ensemble": "npt_cell", "duration_ps": [4.0], "timestep_fs": 4.0, "frame_every_fs": 40.0,
            "temperature_K": [30.0], "pressure_GPa": [2.0], "pressure_relaxation_ps": 0.5,
        }
    )  # fmt: skip
    [found] = LAMMPSExplorer(options, Settings()).explore(
        Replica(argon, Known(lines=lines), [Path("none")], 0, 0, 2, tmp_path, ignore_progress)
    )
    volumes = np.array([frame.get_volume() for frame in (found.frame(k) for k in range(len(found)))])
    assert volumes[0] == pytest.approx(argon.get_volume(), rel=1e-6)
    # Bulk modulus of solid argon 3 GPa, stiffer as it is pressed: 2 GPa take a fifth to two fifths of the volume.
    assert 0.6 < volumes[50:].mean() / volumes[0] < 0.85
    # Positions belong to the cells: no two atoms are near each other through the boundary.
    from sparc_fw.geometry.overlap import describe_overlap

    assert all(describe_overlap(found.frame(k)) is None for k in range(len(found)))


@pytest.mark.parametrize("engine", ["ase_md", "lammps"])
def test_a_molecule_has_no_pressure(engine: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found npt for a structure without a cell, expected a crystal"):
        explore(engine, tmp_path, crystal(8), ensemble="npt")


@pytest.mark.parametrize("engine", ["ase_md", "lammps"])
def test_relaxed_before_it_moves(engine: str, tmp_path: Path) -> None:
    start = crystal(8)
    pushed = start.copy()
    pushed.positions += np.random.default_rng(1).normal(0, 0.1, pushed.positions.shape)
    potential = Known(Springs(start.positions), ["pair_style zero 5.0", "pair_coeff * *", *_springs_at(start)])
    options = {"ensemble": "nve", "duration_ps": [0.01], "temperature_K": [1.0], "relax": True}
    explorer: Any = (
        ASEExplorer(ASEOptions.model_validate(options), Settings())
        if engine == "ase_md"
        else LAMMPSExplorer(LAMMPSOptions.model_validate(options), Settings())
    )
    [found] = explorer.explore(Replica(pushed, potential, [Path("none")], 0, 0, 2, tmp_path, ignore_progress))
    assert np.abs(found.positions[0] - start.positions).max() <= 0.05 / STIFFNESS
    assert found.times.tolist() == [0.0, 5.0, 10.0]
    assert found.steps == 20
    assert np.abs(pushed.positions - start.positions).max() > 0.1


def _springs_at(start: Atoms) -> list[str]:
    """Springs to given places, atom by atom, which also act while LAMMPS minimizes."""
    lines = []
    for number, (x, y, z) in enumerate(start.positions, 1):
        lines.append(f"group atom{number} id {number}")
        lines.append(f"fix spring{number} atom{number} spring tether {STIFFNESS} {x} {y} {z} 0.0")
        lines.append(f"fix_modify spring{number} energy yes")
    return lines
