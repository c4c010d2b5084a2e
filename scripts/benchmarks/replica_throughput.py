"""R replicas of an exploration on N cores against the same replicas one after the other on one core.

Usage: ``python scripts/benchmarks/replica_throughput.py [--workers N] [--replicas R] [--ps LENGTH] [--repetitions K]``

Campaigns with small Deep Potentials of NH3BH3 on an embedded MongoDB, worked on by ``rlaunch`` workers as ``sparc-fw
run`` starts them; LAMMPS runs with one thread. Two campaigns take turns, since machines are noisy: R replicas for N
workers, and R / N replicas for one worker, so that in both a worker imports and loads as much for as many replicas. The
clock runs from the beginning of the first replica to the end of the last one, so that it contains every launch between
them, every wait for one, the deviation of the frames, and the writing of explorations. Target: 0.9 of N times as many
steps per second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from lammps_exploration import ammonia_borane
from sparc_fw.loading import parse_campaign
from sparc_fw.local_run import LocalRun
from sparc_fw.session import Session, open_session
from sparc_fw.settings import Settings
from sparc_fw.submission import cancel, submit

TARGET = 0.9


def campaign_values(name: str, seed: int, replicas: int, picoseconds: float) -> dict[str, Any]:
    """A campaign that is stopped after its first exploration."""
    borane = ammonia_borane()
    structure = {"symbols": list(borane.symbols), "positions_A": borane.positions.tolist()}
    return {
        "name": name,
        "seed": seed,
        "systems": [{"name": "nh3bh3", "structure": structure}],
        "start": [{"kind": "displacements", "amplitude_A": 0.1, "frames": 60}],
        "labeler": {"kind": "xtb", "method": "GFN1-xTB"},
        "potential": {
            "kind": "deepmd",
            "descriptor_neurons": [16, 32],
            "fitting_neurons": [64, 64],
            "learning_rate": 5e-3,
            "steps": 500,
        },
        "committee": 2,
        "explorer": {"kind": "lammps", "replicas": replicas, "duration_ps": [picoseconds], "temperature_K": [50.0]},
        "select": [
            {"kind": "overlap"},
            {"kind": "window", "f_lo": 0.1, "f_hi": 1.0},
            {"kind": "difference"},
            {"kind": "budget"},
        ],
        "budget": {"labels": 100},
    }


def steps_per_second(session: Session, name: str, seed: int, replicas: int, ps: float, workers: int) -> float:
    """Of all replicas together, in the campaign's first exploration."""
    store = session.store
    submit(store, session.lpad, parse_campaign(campaign_values(name, seed, replicas, ps), Path.cwd()))
    mine = {"spec.campaign_id": name, "spec.stage": "explore"}

    def ended() -> bool:
        states = [firework["state"] for firework in session.lpad.fireworks.find(mine, {"state": 1})]
        return bool(states) and all(state in ("COMPLETED", "FIZZLED") for state in states)

    LocalRun(session, name, workers, Path(name)).run(ended, lambda: None)
    cancel(store, session.lpad, name)
    records = list(store.stages.find({"campaign_id": name, "stage": "explore", "iteration": 0}))
    found = [store.exploration(name, 0, replica) for replica in range(replicas)]
    endings = ["none was stored" if exploration is None else exploration.ended for exploration in found]
    if any(ending != "completed" for ending in endings):
        raise SystemExit(f"{name}: replicas did not come to their end: {endings}")
    seconds = max(record["finished"] for record in records) - min(record["started"] for record in records)
    return float(sum(record["steps"] for record in records) / seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--ps", type=float, default=10.0, help="length of a replica, ps")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    workers, replicas = options.workers, options.replicas
    if replicas % workers:
        raise SystemExit(f"--replicas: found {replicas}, expected a multiple of the {workers} workers")
    ratios = []
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        os.environ["SPARC_FW_DATA_DIR"] = str(Path(temporary) / "data")
        with open_session(Settings()) as session:
            for number in range(options.repetitions):
                sides = [("many", replicas, workers), ("one", replicas // workers, 1)]
                rates = {
                    name: steps_per_second(session, f"{name}-{number}", number, count, options.ps, at_once)
                    for name, count, at_once in (sides if number % 2 == 0 else reversed(sides))
                }
                ratios.append(rates["many"] / rates["one"])
                print(
                    f"steps/s: {replicas} replicas on {workers} cores {rates['many']:.0f}, one after the other "
                    f"{rates['one']:.0f}: ratio {ratios[-1]:.2f}",
                    flush=True,
                )
    print(
        f"{replicas} replicas on {workers} cores, median of {len(ratios)}: {statistics.median(ratios):.2f} times the "
        f"throughput of one core (target: at least {TARGET * min(replicas, workers):g})"
    )


if __name__ == "__main__":
    main()
