"""What exploring with the library costs beside the engines alone, for Deep Potentials of NH3BH3.

Usage: ``python scripts/benchmarks/exploration_speed.py [MODEL MODEL MODEL MODEL]``: frozen DeePMD-kit models of one
committee that know B, N and H. Where none are named, four are trained for a few hundred steps on labels by GFN1-xTB:
what a net has learned does not change its speed.

All sides of a comparison take turns in repeated rounds, since machines are noisy; medians are compared:

- ``ase_md`` against ASE's own ``Langevin.run`` with the same calculator and the same things written down every 10
  steps (target: 0.95 of its speed), and how often forces were computed (target: steps + 1);
- the deviation of four models every 10 steps against LAMMPS alone with one model: evaluated afterwards in batches
  (target: at most 1.25 of its time), and against LAMMPS alone with four models where it is evaluated on the fly
  (target: at most 1.05). LAMMPS alone is the executable itself, on the input that the library wrote. A worker's first
  run of an iteration also loads the models, which is timed on its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin

from lammps_exploration import ammonia_borane
from sparc_fw.child_process import clean_environment
from sparc_fw.documents import Dataset
from sparc_fw.explorers.ase_integrators import draw_velocities
from sparc_fw.explorers.ase_md import ASEExplorer, ASEOptions
from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.endings import Disagreement
from sparc_fw.explorers.lammps import LOG, LAMMPSExplorer
from sparc_fw.explorers.lammps_command import lammps_command
from sparc_fw.explorers.lammps_input import INPUT, STRUCTURE, LAMMPSOptions
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.potentials.committee import force_deviation
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_evaluate import loaded
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory

ROUNDS = 5
MEMBERS = 4
EVERY = 10
TIMESTEP_FS = 0.5
KELVIN = 100.0
ASE_PS = 1.0
LAMMPS_PS = 5.0
TRAINING_STEPS = 300

Side = Callable[[Path], Any]


class Counting(DeepMDPotential):
    """Counts how often its calculators compute."""

    calls = 0

    def calculator(self, model: Path) -> Calculator:
        """As without counting."""
        calculator = super().calculator(model)
        calculate = calculator.calculate

        def counted(*arguments: Any, **keywords: Any) -> None:
            self.calls += 1
            calculate(*arguments, **keywords)

        calculator.calculate = counted
        return calculator


def train(folder: Path) -> list[Path]:
    """A committee that knows molecules near the minimum."""
    labeler = XTBLabeler(XTBOptions(method="GFN1-xTB", force_cap=None), Settings())
    random, labels = np.random.default_rng(0), []
    for _ in range(60):
        frame = ammonia_borane()
        frame.info = {"system": "nh3bh3", "charge": 0, "spin": 0}
        frame.positions += random.normal(0, 0.08, frame.positions.shape)
        labels.append(labeler.label(frame))
    potential = DeepMDPotential(DeepMDOptions(steps=TRAINING_STEPS), Settings())
    models = []
    for seed in range(MEMBERS):
        directory = folder / str(seed)
        directory.mkdir()
        model = potential.train(Dataset(labels[:50], labels[50:]), seed, directory, lambda done, total: None)
        models.append(folder / f"{seed}{model.suffix}")
        models[-1].write_bytes(model.file)
    return models


def explored(explorer: Explorer[Any], potential: DeepMDPotential, models: list[Path], folder: Path) -> Trajectory:
    """The library's run, which has to come to its end."""
    start = ammonia_borane()
    start.info = {"system": "nh3bh3", "charge": 0, "spin": 0}
    [found] = explorer.explore(Replica(start, potential, models, 0, 0, 1, folder, lambda done, total: None))
    if found.ended != "completed":
        raise SystemExit(f"the run ended early: {found.ended}")
    return found


def bare_ase(potential: DeepMDPotential, model: Path) -> None:
    """What a script without the library would do and keep."""
    atoms, random = ammonia_borane(), np.random.default_rng(1)
    atoms.calc = potential.calculator(model)
    draw_velocities(atoms, KELVIN, random)
    kept: list[tuple[Any, ...]] = []
    dynamics = Langevin(
        atoms, TIMESTEP_FS * units.fs, temperature_K=KELVIN, friction=0.01 / units.fs, rng=random, fixcm=False
    )

    def keep() -> None:
        energies = atoms.get_potential_energy(), atoms.get_kinetic_energy(), atoms.get_temperature()
        kept.append((dynamics.nsteps, atoms.positions.copy(), atoms.cell.array.copy(), *energies))

    dynamics.attach(keep, interval=EVERY)
    dynamics.run(round(ASE_PS * 1000 / TIMESTEP_FS))


def bare_lammps(written: Path, folder: Path) -> None:
    """LAMMPS alone, on what the library wrote."""
    for name in (INPUT, STRUCTURE):
        shutil.copy(written / name, folder)
    executable, variables = lammps_command(Settings().lmp_command)
    command = [executable, "-in", INPUT, "-log", LOG, "-screen", "none", "-nocite"]
    environment = clean_environment(1, variables)
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def medians(sides: dict[str, Side]) -> dict[str, float]:
    """Seconds of each side, which take turns; who begins changes from round to round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS):
        names = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                sides[name](Path(folder))
                seconds[name].append(time.perf_counter() - started)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def ase_speed(models: list[Path]) -> None:
    """Compare the explorer of ASE with ASE."""
    options = ASEOptions(
        duration_ps=[ASE_PS],
        timestep_fs=TIMESTEP_FS,
        temperature_K=[KELVIN],
        frame_every_fs=EVERY * TIMESTEP_FS,
    )
    explorer, potential = ASEExplorer(options, Settings()), Counting(DeepMDOptions(), Settings())
    with tempfile.TemporaryDirectory() as folder:
        steps = explored(explorer, potential, models, Path(folder)).steps
    print(f"ase_md: forces were computed {potential.calls} times in {steps} steps (target: {steps + 1})")
    plain = DeepMDPotential(DeepMDOptions(), Settings())
    found = medians(
        {
            "ASE alone": lambda folder: bare_ase(plain, models[0]),
            "ase_md": lambda folder: explored(explorer, plain, models, folder),
        }
    )
    report(found)
    print(f"  ratio of speeds {found['ASE alone'] / found['ase_md']:.3f} (target: at least 0.95)")


def deviation_cost(models: list[Path]) -> None:
    """Compare the ways to a committee's deviation with LAMMPS alone."""
    settings, potential = Settings(), DeepMDPotential(DeepMDOptions(), Settings())
    options = LAMMPSOptions(
        duration_ps=[LAMMPS_PS],
        timestep_fs=TIMESTEP_FS,
        temperature_K=[KELVIN],
        frame_every_fs=EVERY * TIMESTEP_FS,
    )
    # All members are asked as often, and nothing is ever too much.
    never = Disagreement(deviation_eV_A=1e6, every_fs=EVERY * TIMESTEP_FS)
    after = LAMMPSExplorer(options, settings)
    along = LAMMPSExplorer(options.model_copy(update={"stop": never}), settings)

    def judged(folder: Path) -> None:
        trajectory = explored(after, potential, models, folder)
        force_deviation([potential.load(model) for model in models], trajectory)

    def judged_by_a_new_worker(folder: Path) -> None:
        loaded.cache_clear()
        judged(folder)

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as four:
        # What is paid once by a worker, not by a run: TensorFlow's import, the look for LAMMPS' libraries, the models.
        judged(Path(one))
        explored(along, potential, models, Path(four))
        found = medians(
            {
                "LAMMPS alone, one model": lambda folder: bare_lammps(Path(one), folder),
                "lammps, judged afterwards": judged,
                "the same, models loaded first": judged_by_a_new_worker,
                "LAMMPS alone, four models": lambda folder: bare_lammps(Path(four), folder),
                "lammps, judged on the fly": lambda folder: explored(along, potential, models, folder),
            }
        )
    report(found)
    alone, together = found["LAMMPS alone, one model"], found["LAMMPS alone, four models"]
    print(f"  afterwards {found['lammps, judged afterwards'] / alone:.3f} of plain dynamics (target: at most 1.25),")
    print(f"    {found['the same, models loaded first'] / alone:.3f} with the models loaded first")
    print(f"  on the fly {found['lammps, judged on the fly'] / together:.3f} of LAMMPS alone (target: at most 1.05),")
    print(f"    which takes {together / alone:.3f} of plain dynamics")


def report(seconds: dict[str, float]) -> None:
    for name, value in seconds.items():
        print(f"  {name}: {value:.2f} s")


def main(models: list[Path]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        models = models or train(Path(folder))
        ase_speed(models)
        deviation_cost(models)


if __name__ == "__main__":
    if len(sys.argv) not in (1, 1 + MEMBERS):
        raise SystemExit(__doc__)
    main([Path(argument) for argument in sys.argv[1:]])
