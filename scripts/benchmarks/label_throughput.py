"""N labelers on N cores through sparc_fw against the same PySCF code run by hand N times side by side.

Usage: ``python scripts/benchmarks/label_throughput.py [--workers N] [--labels L] [--batch B] [--repetitions R]``

Labels of NH3BH3, PBE/def2-SVP with density fitting, one thread each. The two ways take turns, since machines are noisy:

- sparc_fw: a campaign on an embedded MongoDB, worked on by N ``rlaunch`` workers as ``sparc-fw run --workers N`` starts
  them. Its clock runs from the end of the start Firework to the end of the last label Firework, so that it contains
  every launch, every wait for one, PySCF's import in each worker, and the writing of labels.
- by hand: N Python processes, each with every Nth of the same frames, that call PySCF and keep nothing. Two clocks:
  from the start of the processes (imports counted, as they are for sparc_fw) and from the first calculation to the end.
  They get the memory settings that sparc_fw gives its workers, without which PySCF is slower: the ratio tells what the
  library costs, and what it gains is not counted.

The energies of both must agree, or the two have not done the same work. Target: 0.9 of the labels per second by hand.
The batch decides how well the work divides: the last batches of a campaign keep one worker while the others wait.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from sparc_fw.child_process import thread_variables
from sparc_fw.loading import parse_campaign
from sparc_fw.local_run import KEEP_MEMORY, LocalRun
from sparc_fw.session import Session, open_session
from sparc_fw.settings import Settings
from sparc_fw.submission import cancel, submit

TARGET = 0.9

BY_HAND = """
import json, sys, time
from pathlib import Path
from pyscf import dft, gto
frames = json.loads(Path(sys.argv[1]).read_text())
begun, energies = time.time(), []
for frame in frames:
    solver = dft.RKS(gto.M(atom=frame, unit="Bohr", basis="def2-svp", verbose=0), xc="pbe").density_fit()
    solver.grids.level, solver.conv_tol = LEVEL, CONV_TOL
    energies.append(solver.kernel())
    solver.nuc_grad_method().kernel()
print(json.dumps({"begun": begun, "ended": time.time(), "energies": energies}))
"""


@dataclass
class Rates:
    """Labels per second of one repetition."""

    library: float
    by_hand: float
    by_hand_warm: float


def campaign_values(name: str, seed: int, labels: int, batch: int | None) -> dict[str, Any]:
    """A campaign that begins with `labels` labels; it is stopped before it trains."""
    borane = ammonia_borane()
    structure = {"symbols": list(borane.symbols), "positions_A": borane.positions.tolist()}
    return {
        "name": name,
        "seed": seed,
        "systems": [{"name": "ab", "structure": structure}],
        "start": [{"kind": "displacements", "amplitude_A": 0.05, "frames": labels}],
        "labeler": {"kind": "pyscf", "functional": "pbe", "basis": "def2-svp", "density_fit": True},
        "labeling": {} if batch is None else {"batch": batch},
        "potential": {"kind": "deepmd"},
        "explorer": {"kind": "ase_md"},
        "select": [
            {"kind": "overlap"},
            {"kind": "window", "f_lo": 0.1, "f_hi": 1.0},
            {"kind": "difference"},
            {"kind": "budget"},
        ],
        "budget": {"labels": labels},
    }


def ammonia_borane() -> Atoms:
    """NH3BH3, staggered, with a B-N bond of 1.66 Å."""
    up, down = (np.radians([0, 120, 240]) + turn for turn in (0.0, np.pi / 3))
    positions = [(0, 0, 0), *((0.95 * np.cos(a), 0.95 * np.sin(a), 0.36) for a in up)]
    positions += [(0, 0, -1.66), *((1.17 * np.cos(a), 1.17 * np.sin(a), -1.98) for a in down)]
    return Atoms("NH3BH3", positions=positions)


def run_library(session: Session, name: str, seed: int, labels: int, batch: int | None, workers: int) -> float:
    """Seconds from the end of the start Firework to the end of the last label Firework."""
    loaded = parse_campaign(campaign_values(name, seed, labels, batch), Path.cwd())
    store = session.store
    submit(store, session.lpad, loaded)
    mine = {"campaign_id": name, "stage": "label"}

    def ended() -> bool:
        done = {"spec.campaign_id": name, "spec.stage": "label"}
        states = [firework["state"] for firework in session.lpad.fireworks.find(done, {"state": 1})]
        return bool(states) and all(state in ("COMPLETED", "FIZZLED") for state in states)

    LocalRun(session, name, workers, Path(name)).run(ended, lambda: None)
    cancel(store, session.lpad, name)
    start = store.stages.find_one({"campaign_id": name, "stage": "start"})
    assert start is not None, "the start Firework ended"
    return float(max(record["finished"] for record in store.stages.find(mine)) - start["finished"])


def run_by_hand(frames: list[list[tuple[str, list[float]]]], workers: int) -> tuple[float, float, list[float]]:
    """Seconds with and without start-up, and the energies in order, hartree."""
    from sparc_fw.labelers.pyscf import PySCFOptions

    options = PySCFOptions()
    script = BY_HAND.replace("LEVEL", str(options.grid_level)).replace("CONV_TOL", repr(options.conv_tol))
    environment = os.environ | thread_variables(1) | KEEP_MEMORY
    started = time.time()
    processes = []
    for number in range(workers):
        part = Path(f"part-{number}.json")
        part.write_text(json.dumps(frames[number::workers]))
        command = [sys.executable, "-c", script, str(part)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    outputs = [json.loads(process.communicate()[0]) for process in processes]
    ended = max(output["ended"] for output in outputs)
    energies = [0.0] * len(frames)
    for number, output in enumerate(outputs):
        energies[number::workers] = output["energies"]
    return ended - started, ended - min(output["begun"] for output in outputs), energies


def repetition(session: Session, number: int, labels: int, batch: int | None, workers: int) -> Rates:
    from ase.units import Bohr, Hartree

    name = f"throughput-{number}"
    library = run_library(session, name, number, labels, batch, workers)
    frameset = session.store.frameset(name, 0, "train")
    assert frameset is not None, "the start Firework wrote it"
    atoms = session.store.frames(frameset)
    assert len(atoms) == labels, f"{labels - len(atoms)} frames were left out as too much alike"
    frames = [list(zip(f.get_chemical_symbols(), (f.positions / Bohr).tolist(), strict=True)) for f in atoms]
    whole, warm, energies = run_by_hand(frames, workers)
    stored = session.store.labels_by_key(frameset["keys"])
    for key, energy in zip(frameset["keys"], energies, strict=True):
        found = stored[key].energy
        assert found is not None, stored[key].message
        assert abs(found / Hartree - energy) < 1e-7, f"{found / Hartree} and {energy} hartree by hand"
    return Rates(labels / library, labels / whole, labels / warm)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--labels", type=int, default=60)
    parser.add_argument("--batch", type=int, help="labels per Firework; the library's default where unset")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    found: list[Rates] = []
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        os.environ["SPARC_FW_DATA_DIR"] = str(Path(temporary) / "data")
        with open_session(Settings()) as session:
            for number in range(options.repetitions):
                rates = repetition(session, number, options.labels, options.batch, options.workers)
                found.append(rates)
                print(
                    f"labels/s: sparc_fw {rates.library:.3f}, by hand {rates.by_hand:.3f} ({rates.by_hand_warm:.3f} "
                    f"without start-up): ratio {rates.library / rates.by_hand:.3f} "
                    f"({rates.library / rates.by_hand_warm:.3f})",
                    flush=True,
                )
    ratio = statistics.median(rates.library / rates.by_hand for rates in found)
    warm = statistics.median(rates.library / rates.by_hand_warm for rates in found)
    print(
        f"{options.labels} labels, {options.workers} workers, median of {len(found)}: {ratio:.3f} of the throughput by "
        f"hand (target {TARGET}); {warm:.3f} where the start-up by hand is not counted"
    )


if __name__ == "__main__":
    main()
