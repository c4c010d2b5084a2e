"""What preparing a training costs as a campaign grows: 500 labels of 50 atoms in each of 100 iterations.

Usage: ``python scripts/benchmarks/dataset_growth.py [ITERATIONS]``: labels of random frames go into an embedded MongoDB
through the store. Then the training data are prepared (`sparc_fw.dataset.dataset` and `DeepMDPotential.prepare`, which
is all that a TrainTask does before DeePMD-kit starts) at iteration 10 and at the last one, each as in a running
campaign: the earlier labels were prepared before, the last 500 are new. Each has a database of its own, and both take
turns in rounds, since machines are noisy. The arrays themselves are what is spent inside reading the kept arrays and
joining them into DeePMD-kit's files (every call of `Path.read_bytes` but of JSON, and of `save_joined`), by a clock
around these calls. Target: without them, the last iteration takes at most 1.3 times what iteration 10 takes.
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
from sparc_fw.potentials import deepmd_data
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.settings import Settings
from sparc_fw.store import Store

FRAMES, ATOMS, EARLY, ROUNDS = 500, 50, 10, 12
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
    "select": [
        {"kind": "overlap"},
        {"kind": "window", "f_lo": 0.1, "f_hi": 1.0},
        {"kind": "difference"},
        {"kind": "budget"},
    ],
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
            if not (isinstance(arguments[0], Path) and arguments[0].suffix == ".json"):
                self.seconds += time.perf_counter() - started
            return result

        return timed

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time every call of the functions that read, join or write arrays."""
        with ExitStack() as stack:
            places: list[tuple[Any, str]] = [(Path, "read_bytes"), (deepmd_data, "save_joined")]
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
        data = dataset(store, campaign, iteration)
        potential.prepare(data, 1, TRAINING.absolute())
        return time.perf_counter() - started, clock.seconds


class Grown:
    """A campaign of so many iterations, in a database and with a data folder of its own."""

    def __init__(self, uri: str, folder: Path, iterations: int) -> None:
        self.last = iterations - 1  # the first iteration is number 0
        self.lpad = launchpad_at(uri, f"growth{iterations}")
        prepare(self.lpad)
        settings = Settings(data_dir=folder / f"data{iterations}")
        self.store = Store(self.lpad.db, settings)
        self.store.create_indexes()
        loaded = parse_campaign(CAMPAIGN, folder)
        self.campaign = loaded.campaign
        self.store.add_campaign(loaded.campaign, loaded.files)
        self.potential = DeepMDPotential(DeepMDOptions(), settings)
        for iteration in range(iterations):
            fill(self.store, loaded.campaign, XTBLabeler(XTBOptions(), settings), iteration)

    def prepare(self, iteration: int) -> tuple[float, float]:
        """See `prepared`."""
        return prepared(self.store, self.campaign, self.potential, iteration)

    def one_round(self) -> tuple[float, float]:
        """Seconds of a preparation whose last frame set is new, and those of them that the arrays took."""
        used = self._used_by(self.last)
        for path in used - self._used_by(self.last - 1):
            path.unlink()
        return self.prepare(self.last)

    def _used_by(self, iteration: int) -> set[Path]:
        """The kept files that a preparation reads."""
        begun = time.time_ns()
        self.prepare(iteration)
        return {path for path in self.store.label_cache.folder.iterdir() if path.stat().st_mtime_ns >= begun}


def main() -> None:
    last = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        mongo = EmbeddedMongo(Path(temporary) / "mongo")
        uri = mongo.start().uri
        try:
            measure([Grown(uri, Path(temporary), iterations) for iterations in (EARLY, last)])
        finally:
            mongo.stop()


def measure(both: list[Grown]) -> None:
    cold = both[1].prepare(both[1].last)[0]
    print(f"everything new at iteration {both[1].last + 1}: {cold:.1f} s", flush=True)
    rounds = []
    for _ in range(ROUNDS):
        rounds.append([grown.one_round() for grown in both])
        for grown, (whole, arrays) in zip(both, rounds[-1], strict=True):
            print(f"iteration {grown.last + 1}: {whole:.3f} s, of which arrays {arrays:.3f} s", flush=True)
    times = np.array(rounds)
    whole, rest = np.median(times[:, :, 0], axis=0), np.median(times[:, :, 0] - times[:, :, 1], axis=0)
    for grown, with_arrays, without in zip(both, whole, rest, strict=True):
        print(f"iteration {grown.last + 1}, medians: {with_arrays:.3f} s, without the arrays {without:.3f} s")
    print(f"ratio {rest[1] / rest[0]:.2f} (target {TARGET}); with the arrays {whole[1] / whole[0]:.2f}")


if __name__ == "__main__":
    main()
