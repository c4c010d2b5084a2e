"""Steps per second of the library's LAMMPS exploration against the same input run by hand with ``lmp``.

Usage: ``python scripts/benchmarks/lammps_exploration.py MODEL``: a frozen DeePMD-kit model that knows B, N and H. Both
sides take turns in repeated rounds, since machines are noisy; target of both ratios: 0.95.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from sparc_fw.backend import find_command
from sparc_fw.child_process import clean_environment
from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.lammps import LAMMPSExplorer
from sparc_fw.explorers.lammps_command import INPUT, LOG, lammps_command
from sparc_fw.explorers.lammps_input import COLVARS, STRUCTURE, LAMMPSOptions
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.settings import Settings

ROUNDS = 5
PICOSECONDS = 5.0
METADYNAMICS = """
colvar {
  name bn
  distance { group1 { atomNumbers 1 }
             group2 { atomNumbers 2 } }
}
metadynamics {
  colvars bn
  hillWeight 0.02
  hillWidth 2.0
  newHillFrequency 100
  wellTempered on
  biasTemperature 3000
}
"""


def ammonia_borane() -> Atoms:
    """Staggered NH3BH3."""
    ring = [2 * np.pi * k / 3 for k in range(3)]
    borane = [(1.17 * np.cos(phi), 1.17 * np.sin(phi), -0.31) for phi in ring]
    ammonia = [(0.95 * np.cos(phi + np.pi / 3), 0.95 * np.sin(phi + np.pi / 3), 2.03) for phi in ring]
    return Atoms("BNH6", [(0, 0, 0), (0, 0, 1.66), *borane, *ammonia])


def loop_seconds(folder: Path) -> float:
    """LAMMPS' own time of the steps, without its start."""
    found = re.search(r"^Loop time of (\S+)", (folder / LOG).read_text(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def by_hand(source: Path, folder: Path) -> None:
    for name in (INPUT, STRUCTURE, COLVARS):
        shutil.copy(source / name, folder)
    command = find_command("lmp")
    assert command is not None
    arguments = [command, "-in", INPUT, "-log", LOG, "-screen", "none"]
    subprocess.run(arguments, cwd=folder, env=clean_environment(1), check=True, capture_output=True)


def main(model: Path) -> None:
    settings = Settings()
    options = LAMMPSOptions(duration_ps=[PICOSECONDS], colvars=METADYNAMICS)
    explorer, potential = LAMMPSExplorer(options, settings), DeepMDPotential(DeepMDOptions(), settings)
    # What a worker pays once, not per run: TensorFlow's import and the look for LAMMPS' libraries.
    lammps_command(settings.lmp_command)
    potential.load(model)
    wall: dict[str, list[float]] = {"library": [], "hand": []}
    loop: dict[str, list[float]] = {"library": [], "hand": []}
    steps = 0
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            library, hand = Path(one), Path(two)
            started = time.perf_counter()
            [found] = explorer.explore(
                Replica(ammonia_borane(), potential, [model], 0, 0, 1, library, lambda done, total: None)
            )
            wall["library"].append(time.perf_counter() - started)
            if found.ended != "completed":
                raise SystemExit(f"the run ended early: {found.ended}")
            steps = found.steps
            started = time.perf_counter()
            by_hand(library, hand)
            wall["hand"].append(time.perf_counter() - started)
            for name, folder in (("library", library), ("hand", hand)):
                loop[name].append(loop_seconds(folder))
    for title, seconds in (("wall time, start-up included", wall), ("LAMMPS' own loop time", loop)):
        rates = {name: steps / float(np.median(values)) for name, values in seconds.items()}
        print(
            f"{title}: library {rates['library']:.0f} steps/s, by hand {rates['hand']:.0f} steps/s, "
            f"ratio {rates['library'] / rates['hand']:.2f} (target 0.95)"
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
