"""Lay out a small run as SPARC does, of the project's own making, for the tests of ``sparc-fw import-sparc``.

Ammonia in a box, displaced at random, by GFN2-xTB; the files have the names and keys that SPARC gives them.

    python scripts/make_sparc_like_run.py tests/sparc_run
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import yaml
from ase.build import molecule
from ase.io import Trajectory

from sparc_fw.formats.ase_files import labelled_atoms
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings

LABELS = (5, 3)
"""Labels of each iteration."""
AMPLITUDE = 0.1
"""Displacement of each coordinate, uniform in plus and minus so much, Å."""
OPTIONS = {
    "general": {"structure_file": "POSCAR"},
    "dft_calculator": {
        "name": "VASP",
        "prec": "Normal",
        "kgamma": False,
        "incar_file": "INCAR",
        "exe_command": "mpirun -np 16 /somewhere/else/vasp_std",
    },
    "md_simulation": {"ensemble": "NVT", "thermostat": "Nose", "tdamp": 10, "timestep_fs": 1.0, "temperature": 320},
    "deepmd_setup": {
        "input_file": "input.json",
        "num_models": 3,
        "timestep_fs": 0.5,
        "md_steps": 20000,
        "multiple_run": 2,
        "log_frequency": 40,
        "use_plumed": True,
        "plumed_file": "plumed.dat",
        "colour": "blue",
    },
    "active_learning": True,
    "latest_model": "iter_000002/01.train/training_1/frozen_model_1.pb",
    "iteration": 4,
    "model_dev": {"f_min_dev": 0.06, "f_max_dev": 0.4},
    "distance_metrics": [{"pair": [0, 1], "min_distance": 0.8, "max_distance": 1.5}],
}
DEEPMD = {
    "_comment": "parameters",
    "model": {
        "type_map": ["N", "H"],
        "descriptor": {"type": "se_e2_a", "sel": "auto", "rcut": 5.0, "rcut_smth": 0.5, "neuron": [8, 16], "seed": 7},
        "fitting_net": {"neuron": [32, 32], "resnet_dt": True, "seed": 7},
    },
    "learning_rate": {"type": "exp", "decay_steps": 500, "start_lr": 0.001, "stop_lr": 3.5e-8},
    "loss": {"type": "ener", "start_pref_e": 0.02, "limit_pref_e": 1, "start_pref_f": 1000, "limit_pref_f": 1},
    "training": {
        "training_data": {"systems": ["../data/training_data"], "batch_size": "auto"},
        "numb_steps": 2000,
        "seed": 7,
        "disp_file": "lcurve.out",
        "disp_freq": 100,
    },
}
INCAR = "SYSTEM = ammonia\nENCUT = 300\nISMEAR = 0\nSIGMA = 0.05\n#PREC = Accurate\n"
PLUMED = "# a wall\nd1: DISTANCE ATOMS=1,2\nUPPER_WALLS ARG=d1 AT=0.3 KAPPA=1000.0\n"


def write_run(folder: Path, seed: int = 1) -> None:
    """Write the run into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    structure = molecule("NH3")
    structure.cell, structure.pbc = np.diag([10.0, 10.0, 10.0]), True
    structure.center()
    structure.write(folder / "POSCAR", format="vasp", direct=True)
    (folder / "input.yaml").write_text(yaml.safe_dump(OPTIONS, sort_keys=False))
    (folder / "input.json").write_text(json.dumps(DEEPMD, indent=2) + "\n")
    (folder / "INCAR").write_text(INCAR)
    (folder / "plumed.dat").write_text(PLUMED)
    labeler = XTBLabeler(XTBOptions(), Settings())
    random = np.random.default_rng(seed)
    for iteration, count in enumerate(LABELS):
        place = folder / f"iter_{iteration:06d}" / "00.dft"
        place.mkdir(parents=True, exist_ok=True)
        with Trajectory(place / "AseMD.traj", "w") as trajectory:
            for _ in range(count):
                frame = structure.copy()
                frame.positions += random.uniform(-AMPLITUDE, AMPLITUDE, frame.positions.shape)
                trajectory.write(labelled_atoms(labeler.label(frame)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Lay out a small run as SPARC does.")
    parser.add_argument("folder", type=Path)
    write_run(parser.parse_args().folder)


if __name__ == "__main__":
    main()
