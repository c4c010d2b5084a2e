"""What preparing a training costs as a campaign grows: 500 labels of 50 atoms in each of 100 iterations.

Usage: ``python scripts/benchmarks/dataset_growth.py [ITERATIONS]``: labels of random frames go into an embedded MongoDB
through the store. Then the training data are prepared (`sparc_fw.dataset.dataset` and `DeepMDPotential.prepare`, which
is all that a TrainTask does before DeePMD-kit starts) at iteration 10 and at the last one, each as in a running
campaign: the earlier labels were prepared before, the last 500 are new. Both take turns in rounds, since machines are
noisy. The arrays themselves are what is spent inside reading the kept files, and joining and writing arrays (every call
of `Path.read_bytes`, `numpy.concatenate` and `numpy.save`), by a clock around these calls. Target: without them, the
last iteration takes at most 1.3 times what iteration 10 takes.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from ase import Atoms

from sparc_fw.campaign import Campaign
from sparc_fw.dataset import dataset
from sparc_fw.documents import Label
from sparc_fw.embedded import EmbeddedMongo
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


class Clock:
    """Adds up the seconds that are spent in some functions, while it is running."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose calls are timed."""

        @functools.wraps(function)
        def timed(*arguments: Any, **keywords: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments, **keywords)
            self.seconds += time.perf_counter() - started
            return result

        return timed

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time every call of the functions that read, join or write arrays."""
        with ExitStack() as stack:
            places: list[tuple[Any, str]] = [(Path, "read_bytes"), (np, "concatenate"), (np, "save")]
            for owner, name in places:
                stack.enter_context(patch.object(owner, name, self.around(getattr(owner, name))))
            yield


def prepared(store: Store, campaign: Campaign, potential: DeepMDPotential, iteration: int) -> tuple[float, float]:
    """Seconds of a whole preparation, and those of them that the arrays took."""
    shutil.rmtree(TRAINING, ignore_errors=True)
    TRAINING.mkdir()
    clock = Clock()
    with clock.running():
        started = time.perf_counter()
        potential.prepare(dataset(store, campaign, iteration), 1, TRAINING.absolute())
        return time.perf_counter() - started, clock.seconds


def used_by(store: Store, campaign: Campaign, potential: DeepMDPotential, iteration: int) -> set[Path]:
    """The cached files that a preparation reads."""
    begun = time.time_ns()
    prepared(store, campaign, potential, iteration)
    return {path for path in store.label_cache.folder.iterdir() if path.stat().st_mtime_ns >= begun}


def one_round(store: Store, campaign: Campaign, potential: DeepMDPotential, iteration: int) -> tuple[float, float]:
    """Seconds of a preparation whose last frame set is new, and those of them that the arrays took."""
    used = used_by(store, campaign, potential, iteration)
    for path in used - used_by(store, campaign, potential, iteration - 1):
        path.unlink()
    return prepared(store, campaign, potential, iteration)


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
            print(f"iteration {turn}: {found[-1][0]:.3f} s, of which arrays {found[-1][1]:.3f} s", flush=True)
    whole = {turn: float(np.median([each[0] for each in found])) for turn, found in rounds.items()}
    rest = {turn: float(np.median([each[0] - each[1] for each in found])) for turn, found in rounds.items()}
    for turn in rounds:
        print(f"iteration {turn}, medians: {whole[turn]:.3f} s, without the arrays {rest[turn]:.3f} s")
    print(f"ratio {rest[last] / rest[EARLY]:.2f} (target {TARGET}); with the arrays {whole[last] / whole[EARLY]:.2f}")


if __name__ == "__main__":
    main()
