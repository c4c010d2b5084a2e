"""Seconds and peak memory of choosing diverse frames out of 100,000, and how fast frames are described.

Usage: ``OMP_NUM_THREADS=2 python scripts/benchmarks/diverse_picks.py`` (``--help``: sizes and methods). Frames are
perturbed copies of a few random heaps of C, H and O atoms; they stream through the descriptor a block at a time. SOAP
is measured on some of them, all frames are described by their sorted distances; each method chooses by the principal
components of these, against labelled frames and weighted by an uncertainty, in a process of its own, whose peak memory
is told. Aim: less than two minutes and 4 GB each, on two cores.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from sparc_fw.geometry.features import DistanceOptions, SoapOptions, frame_features
from sparc_fw.selectors.clusters import k_means, k_medoids
from sparc_fw.selectors.diversity import farthest_points, kmeans_plus_plus
from sparc_fw.selectors.rows import mixing_weights, principal_components
from sparc_fw.selectors.volume import cur, d_optimal, k_dpp

ELEMENTS = (1, 6, 8)
SHAPES = 20
"""Different structures that the frames are copies of."""
NOISE_A = 0.1
VOLUME_A3 = 12.0
"""Of one atom."""
BLOCK = 5000
METHODS = ("farthest_points", "kmeans_plus_plus", "k_means", "k_medoids", "d_optimal", "k_dpp", "cur")
MEASURED = ("wide farthest_points", *METHODS)


def structures(atoms: int, frames: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Blocks of positions, Å."""
    edge = (VOLUME_A3 * atoms) ** (1 / 3)
    shapes = random.uniform(0, edge, (SHAPES, atoms, 3))
    for begin in range(0, frames, BLOCK):
        chosen = shapes[random.integers(SHAPES, size=min(BLOCK, frames - begin))]
        yield chosen + random.normal(0, NOISE_A, chosen.shape)


def describe(folder: Path, options: argparse.Namespace) -> None:
    """Time SOAP on some frames, and write sorted distances of all frames and of known ones."""
    random = np.random.default_rng(0)
    numbers = random.choice(ELEMENTS, options.atoms, p=(0.5, 0.3, 0.2))
    some = next(structures(options.atoms, options.soap_frames, random))
    for processes in (1, 2):
        # The first call starts the processes, which later ones find running.
        frame_features(SoapOptions(), ELEMENTS, numbers, some[:10], processes=processes)
        begun = time.perf_counter()
        soap = frame_features(SoapOptions(), ELEMENTS, numbers, some, processes=processes)
        rate = len(some) / (time.perf_counter() - begun)
        print(f"SOAP, {processes} process(es): {rate:.0f} frames/s, {soap.shape[1]} numbers each", flush=True)
    begun = time.perf_counter()
    blocks = structures(options.atoms, options.frames + options.known, random)
    rows = np.concatenate([frame_features(DistanceOptions(), ELEMENTS, numbers, block) for block in blocks])
    rate = len(rows) / (time.perf_counter() - begun)
    print(f"sorted distances: {rate:.0f} frames/s, {rows.shape[1]} numbers each", flush=True)
    np.save(folder / "wide.npy", rows[: options.frames])
    np.save(folder / "wide_known.npy", rows[options.frames :])
    np.save(folder / "weights.npy", mixing_weights(random.gamma(2.0, 0.1, options.frames), 0.5))


def reduce(folder: Path) -> tuple[float, float, int]:
    """Principal components of all rows: seconds, peak memory in GB and number of columns."""
    wide, known = np.load(folder / "wide.npy"), np.load(folder / "wide_known.npy")
    begun = time.perf_counter()
    rows, known_rows = principal_components(wide, known, kept=0.99)
    seconds = time.perf_counter() - begun
    np.save(folder / "rows.npy", rows)
    np.save(folder / "rows_known.npy", known_rows)
    return seconds, peak_memory(), rows.shape[1]


def choose(name: str, folder: Path, count: int) -> tuple[float, float, int]:
    """Seconds, peak memory in GB and the number of different rows that a method chose."""
    kind = "wide" if name.startswith("wide") else "rows"
    rows, known = np.load(folder / f"{kind}.npy"), np.load(folder / f"{kind}_known.npy")
    weights = np.load(folder / "weights.npy")
    methods: dict[str, Callable[[], list[int]]] = {
        "farthest_points": lambda: farthest_points(rows, count, known, weights),
        "kmeans_plus_plus": lambda: kmeans_plus_plus(rows, count, 0, known, weights),
        "k_means": lambda: k_means(rows, count, 0, weights),
        "k_medoids": lambda: k_medoids(rows, count, 0, known, weights),
        "d_optimal": lambda: d_optimal(rows, count, known, weights),
        "k_dpp": lambda: k_dpp(rows, count, 0, known, weights),
        "cur": lambda: cur(rows, count, known, weights),
    }
    begun = time.perf_counter()
    chosen = methods[name.removeprefix("wide ")]()
    return time.perf_counter() - begun, peak_memory(), len(set(chosen))


def alone(function: Callable[..., tuple[float, float, int]], *arguments: object) -> tuple[float, float, int]:
    """Call a function in a process of its own, since peak memory never falls."""
    # One that is spawned would begin with its parent's peak.
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
        return pool.submit(function, *arguments).result()


def peak_memory() -> float:
    """Of this process, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--atoms", type=int, default=50)
    parser.add_argument("--count", type=int, default=200, help="frames to choose")
    parser.add_argument("--known", type=int, default=1000, help="frames that are labelled")
    parser.add_argument("--soap-frames", type=int, default=2000)
    parser.add_argument("--methods", nargs="+", choices=MEASURED, default=MEASURED)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        describe(folder, options)
        seconds, memory, width = alone(reduce, folder)
        print(f"principal components: {seconds:.1f} s, {memory:.2f} GB, {width} columns", flush=True)
        for method in options.methods:
            seconds, memory, found = alone(choose, method, folder, options.count)
            print(f"{method}: {seconds:.1f} s, {memory:.2f} GB, {found} frames", flush=True)


if __name__ == "__main__":
    main()
