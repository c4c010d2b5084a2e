"""What preparing a training costs as a campaign grows: 500 labels of 50 atoms in each of 100 iterations.

Usage: ``python scripts/benchmarks/dataset_growth.py [ITERATIONS]``: labels of random frames go into an embedded MongoDB
through the store. Then the training data are prepared (`sparc_fw.dataset.dataset` and `DeepMDPotential.prepare`, which
is all that a TrainTask does before DeePMD-kit starts) at iteration 10 and at the last one, each as in a running
campaign: the earlier labels were prepared before, the last 500 are new. Both take turns in rounds, since machines are
noisy. Reading the arrays themselves is measured in the same round: the cached files that were read, read once more, and
the arrays that were written, put together from the same number of pieces and written once more. Target: without these,
the last iteration takes at most 1.3 times what iteration 10 takes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from sparc_fw.campaign import Campaign
from sparc_fw.dataset import dataset
from sparc_fw.documents import Dataset, Label
from sparc_fw.embedded import EmbeddedMongo
from sparc_fw.label_arrays import blocks_of
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.launchpad import launchpad_at, prepare
from sparc_fw.loading import parse_campaign
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.settings import Settings
from sparc_fw.store import Store

FRAMES, ATOMS, EARLY, ROUNDS = 500, 50, 10, 8
TARGET = 1.3
TRAINING = Path("training")
STRUCTURE = [(2.5 * (i % 4), 2.5 * (i // 4 % 4), 2.5 * (i // 16)) for i in range(ATOMS)]
SYMBOLS = ["C"] * 16 + ["O"] * 8 + ["H"] * (ATOMS - 24)
CAMPAIGN = {
    "name": "growth",
    "systems": [{"name": "cluster", "structure": {"symbols": SYMBOLS, "positions_A": STRUCTURE}}],
    "start": [{"kind": "displacements", "amplitude_A": 0.05, "frames": 10}],
    "labeler": {"kind": "xtb"},
    "potential": {"kind": "deepmd"},
    "explorer": {"kind": "ase_md"},
    "selector": {"kind": "trust_window", "f_lo": 0.1, "f_hi": 1.0},
}


def fill(store: Store, campaign: Campaign, labeler: XTBLabeler, iteration: int) -> None:
    """Store one iteration's frames and labels; one in a hundred failed, and half of those were mended later."""
    rng = np.random.default_rng(iteration)
    frames = []
    for _ in range(FRAMES):
        frame = Atoms(SYMBOLS, np.array(STRUCTURE) + rng.normal(0, 0.1, (ATOMS, 3)))
        frame.info = {"system": "cluster", "charge": 0, "spin": 0, "origin": "pick"}
        frames.append(frame)
    keys = [labeler.key(frame) for frame in frames]
    store.add_frames(campaign.name, iteration, "train", frames, keys)
    labels = [
        Label(
            frame,
            "ok",
            energy=float(rng.normal()),
            forces=rng.normal(size=(ATOMS, 3)),
            code="tblite",
            settings_hash=labeler.settings_hash,
            key=key,
        )
        for frame, key in zip(frames, keys, strict=True)
    ]
    failed = [Label(x.frame, "failed", reason="timeout", code="tblite", key=x.key) for x in labels[::100]]
    store.save_labels(failed, campaign.name, iteration, None)
    store.save_labels([x for i, x in enumerate(labels) if i % 200], campaign.name, iteration, None)


def prepared(store: Store, campaign: Campaign, potential: DeepMDPotential, iteration: int) -> tuple[float, Dataset]:
    """Seconds of a whole preparation, and the labels."""
    shutil.rmtree(TRAINING, ignore_errors=True)
    TRAINING.mkdir()
    started = time.perf_counter()
    data = dataset(store, campaign, iteration)
    potential.prepare(data, 1, TRAINING.absolute())
    return time.perf_counter() - started, data


def bare_arrays(used: list[Path], data: Dataset) -> float:
    """Seconds to read the cached files and to put together and write the arrays of the training, and nothing else."""
    written = {path: np.load(path) for path in TRAINING.rglob("*.npy")}
    counts = {"train": len(blocks_of(data.train)), "validation": len(blocks_of(data.validation))}
    pieces = {path: np.array_split(array, counts[path.parts[1]]) for path, array in written.items()}
    for path in written:
        path.unlink()
    started = time.perf_counter()
    for path in used:
        path.read_bytes()
    for path, parts in pieces.items():
        np.save(path, np.concatenate(parts))
    return time.perf_counter() - started


def used_by(store: Store, campaign: Campaign, potential: DeepMDPotential, iteration: int) -> set[Path]:
    """The cached files that a preparation reads."""
    begun = time.time_ns()
    prepared(store, campaign, potential, iteration)
    return {path for path in store.label_cache.folder.iterdir() if path.stat().st_mtime_ns >= begun}


def one_round(store: Store, campaign: Campaign, potential: DeepMDPotential, iteration: int) -> tuple[float, float]:
    """Seconds of a preparation whose last frame set is new, and of its bare arrays."""
    used = used_by(store, campaign, potential, iteration)
    for path in used - used_by(store, campaign, potential, iteration - 1):
        path.unlink()
    whole, data = prepared(store, campaign, potential, iteration)
    return whole, bare_arrays(sorted(used), data)


def main() -> None:
    last = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        settings = Settings(data_dir=Path(temporary) / "data")
        mongo = EmbeddedMongo(Path(temporary) / "mongo")
        lpad = launchpad_at(mongo.start().uri, "growth")
        try:
            prepare(lpad)
            store = Store(lpad.db, settings)
            store.create_indexes()
            loaded = parse_campaign(CAMPAIGN, Path(temporary))
            store.add_campaign(loaded.campaign, loaded.files)
            for iteration in range(last):
                fill(store, loaded.campaign, XTBLabeler(XTBOptions(), settings), iteration)
            measure(store, loaded.campaign, DeepMDPotential(DeepMDOptions(), settings), last)
        finally:
            mongo.stop()


def measure(store: Store, campaign: Campaign, potential: DeepMDPotential, last: int) -> None:
    cold = prepared(store, campaign, potential, last - 2)[0]
    print(f"everything new at iteration {last - 1}: {cold:.1f} s")
    rounds: dict[int, list[tuple[float, float]]] = {EARLY: [], last: []}
    for _ in range(ROUNDS):
        for turn, found in rounds.items():
            # The first iteration is number 0.
            found.append(one_round(store, campaign, potential, turn - 1))
            print(f"iteration {turn}: {found[-1][0]:.3f} s, bare arrays {found[-1][1]:.3f} s", flush=True)
    # Of times on a machine that others use, too, the least is the truest.
    whole, bare = (np.array([np.min(found, axis=0)[part] for found in rounds.values()]) for part in (0, 1))
    for turn, with_arrays, arrays in zip(rounds, whole, bare, strict=True):
        rest = with_arrays - arrays
        print(f"iteration {turn}: least of {ROUNDS} {with_arrays:.3f} s, bare arrays {arrays:.3f} s, rest {rest:.3f} s")
    early, late = whole - bare
    print(f"ratio {late / early:.2f} (target {TARGET}); with the arrays {whole[1] / whole[0]:.2f}")


if __name__ == "__main__":
    main()
