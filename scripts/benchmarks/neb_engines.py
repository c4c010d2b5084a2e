"""A nudged elastic band by the library, on ASE, against LAMMPS' own (``fix neb``), with one process for each image.

Usage: ``python scripts/benchmarks/neb_engines.py MODEL [ITERATIONS]``: a frozen DeePMD-kit model that knows B, N and H.

The library evaluates all images of a band in one batch; LAMMPS needs as many MPI processes as there are images
(``mpirun -np 9 lmp -partition 9x1``), each of which loads TensorFlow and the model. Both make as many iterations of a
band of seven images between its ends, in which one molecule turns its ammonia about the bond by a third of a turn:
NH3BH3 alone, and in a periodic box with seven others. The two take turns; medians of the wall time, start-up included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from lammps_exploration import ammonia_borane
from sparc_fw.backend import find_command
from sparc_fw.child_process import clean_environment
from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.lammps_command import lammps_command
from sparc_fw.explorers.lammps_files import elements_in, write_structure
from sparc_fw.explorers.neb import NEBExplorer, NEBOptions
from sparc_fw.geometry.inline import InlineStructure
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.settings import Settings

ROUNDS = 3
IMAGES = 7
SPACING_A = 5.0


def ends(copies: int) -> tuple[Atoms, Atoms]:
    """A molecule, or a box of copies^3 of them, before and after the turn of the first one's ammonia."""
    start = ammonia_borane()
    if copies > 1:
        start.set_cell([SPACING_A] * 3)
        start.pbc = True
        start = start.repeat(copies)
    start.info = {"system": "nh3bh3", "charge": 0, "spin": 0}
    final = start.copy()
    final.positions[[5, 6, 7]] = start.positions[[6, 7, 5]]
    return start, final


def by_library(start: Atoms, final: Atoms, model: Path, iterations: int, folder: Path) -> None:
    options = NEBOptions(
        final=InlineStructure.from_atoms(final),
        mapping="as_given",
        relax_ends=False,
        images=IMAGES,
        interpolation="linear",
        fmax_eV_A=1e-9,
        max_steps=iterations,
    )
    potential = DeepMDPotential(DeepMDOptions(), Settings())
    [found] = NEBExplorer(options, Settings()).explore(
        Replica(start, potential, [model], 0, 0, 1, folder, lambda done, total: None)
    )
    assert found.steps == iterations, found.ended


def by_lammps(start: Atoms, final: Atoms, model: Path, iterations: int, folder: Path) -> None:
    potential = DeepMDPotential(DeepMDOptions(), Settings())
    write_structure(start, folder / "start.data")
    rows = [f"{number} {x!r} {y!r} {z!r}" for number, (x, y, z) in enumerate(final.positions.tolist(), 1)]
    (folder / "final.txt").write_text("\n".join([str(len(rows)), *rows]) + "\n")
    lines = [
        "units metal",
        "atom_style atomic",
        "atom_modify map array sort 0 0",
        f"boundary {'p p p' if start.pbc.any() else 'm m m'}",
        "read_data start.data",
        *potential.lammps_lines(model, elements_in(start)),
        "timestep 0.001",
        "fix band all neb 0.1 parallel ideal",
        "min_style fire",
        f"neb 0.0 1e-9 {iterations // 2} {iterations // 2} {iterations // 2} final final.txt",
    ]
    (folder / "in.neb").write_text("\n".join(lines) + "\n")
    executable, variables = lammps_command(Settings().lmp_command)
    mpirun = find_command("mpirun")
    assert mpirun is not None
    images = IMAGES + 2
    command = [mpirun, "-np", str(images), executable, "-partition", f"{images}x1", "-in", "in.neb", "-screen", "none"]
    subprocess.run(command, cwd=folder, env=clean_environment(1, variables), check=True, capture_output=True)
    assert (folder / "log.lammps").read_text().count("Climbing") > 0


def main(model: Path, iterations: int) -> None:
    print(f"{iterations} iterations of {IMAGES} images and two ends, {len(os.sched_getaffinity(0))} cores")
    sides = {"library": by_library, "LAMMPS": by_lammps}
    # What a worker pays once.
    with tempfile.TemporaryDirectory() as folder:
        by_library(*ends(1), model, 2, Path(folder))
    for copies in (1, 2):
        start, final = ends(copies)
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, side in sides.items():
                with tempfile.TemporaryDirectory() as folder:
                    began = time.perf_counter()
                    side(start, final, model, iterations, Path(folder))
                    seconds[name].append(time.perf_counter() - began)
        found = {name: float(np.median(values)) for name, values in seconds.items()}
        print(
            f"{len(start)} atoms: library {found['library']:.1f} s, LAMMPS {found['LAMMPS']:.1f} s, ratio "
            f"{found['LAMMPS'] / found['library']:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) == 3 else 200)
