"""Frames per second of the library's committee inference against a bare ``DeepPot.eval`` at its best batch size.

Usage: ``python scripts/benchmarks/committee_inference.py MODEL [MODEL ...]``: frozen DeePMD-kit models of one committee
that know B, N and H. Both sides take turns in repeated rounds, since machines are noisy; target of the ratio: 0.80.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sparc_fw.potentials.committee import force_deviation
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory

FRAMES = 8192
ROUNDS = 5
BATCHES = (32, 64, 128, 256, 512, 1024, 4096)
NUMBERS = np.array([5, 7, 1, 1, 1, 1, 1, 1])


def clock(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare(potentials: list[Any], positions: np.ndarray, types: list[int], batch: int) -> None:
    for potential in potentials:
        for begin in range(0, len(positions), batch):
            potential.eval(positions[begin : begin + batch], None, types)


def main(models: list[Path]) -> None:
    library = [DeepMDPotential(DeepMDOptions(), Settings()).load(model) for model in models]
    from deepmd.infer import DeepPot

    potentials = [DeepPot(str(model), auto_batch_size=False) for model in models]
    positions = np.random.default_rng(0).normal(0, 1.2, (FRAMES, 8, 3))
    zeros = np.zeros((FRAMES, 3, 3))
    trajectory = Trajectory(NUMBERS, positions, zeros, np.arange(FRAMES), (False, False, False), {}, FRAMES)
    flat = positions.reshape(FRAMES, -1)
    types = [potentials[0].get_type_map().index(symbol) for symbol in ("B", "N", *["H"] * 6)]
    members = library if len(library) > 1 else library * 2
    bare_members = potentials if len(potentials) > 1 else potentials * 2
    bare(bare_members, flat[:256], types, 128)
    force_deviation(members, trajectory)
    rates: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    ours: list[float] = []
    for _ in range(ROUNDS):
        for batch in BATCHES:
            seconds = clock(lambda batch=batch: bare(bare_members, flat, types, batch))  # type: ignore[misc]
            rates[batch].append(FRAMES * len(members) / seconds)
            ours.append(FRAMES * len(members) / clock(lambda: force_deviation(members, trajectory)))
    medians = {batch: float(np.median(values)) for batch, values in rates.items()}
    best = max(medians, key=lambda batch: medians[batch])
    print("bare DeepPot.eval, frames/s and member by batch:", {batch: round(rate) for batch, rate in medians.items()})
    print(f"library: {np.median(ours):.0f} frames/s and member")
    print(f"ratio {np.median(ours) / medians[best]:.2f} of the best batch size, {best} frames (target 0.80)")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main([Path(argument) for argument in sys.argv[1:]])
