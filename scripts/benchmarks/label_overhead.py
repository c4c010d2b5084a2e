"""What the library adds to a label of a millisecond: a batch of 500 GFN2-xTB labels, everything stored.

Usage: ``python scripts/benchmarks/label_overhead.py``: the same frames by the bare calculator and by a LabelTask on an
embedded MongoDB take turns in rounds, since machines are noisy. Target: at most 3 ms a label more.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr
from tblite.interface import Calculator

from sparc_fw.embedded import EmbeddedMongo
from sparc_fw.firetasks.label import LabelTask
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.launchpad import launchpad_at, prepare
from sparc_fw.loading import parse_campaign
from sparc_fw.settings import Settings
from sparc_fw.store import Store

FRAMES = 500
ROUNDS = 3
WATER = Atoms("OH2", [(0, 0, 0.12), (0, 0.76, -0.47), (0, -0.76, -0.47)])
CAMPAIGN = {
    "systems": [{"name": "water", "structure": {"symbols": ["O", "H", "H"], "positions_A": WATER.positions.tolist()}}],
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


def frames_of_round(number: int) -> list[Atoms]:
    rng = np.random.default_rng(number)
    frames = [WATER.copy() for _ in range(FRAMES)]
    for frame in frames:
        frame.positions += rng.normal(0, 0.05, frame.positions.shape)
        frame.info = {"system": "water", "charge": 0, "spin": 0, "origin": "displacements"}
    return frames


def bare(frames: list[Atoms]) -> float:
    started = time.perf_counter()
    for frame in frames:
        solver = Calculator("GFN2-xTB", frame.numbers, frame.positions / Bohr, color=False)
        solver.set("verbosity", 0)
        solver.singlepoint()
    return time.perf_counter() - started


def main() -> None:
    settings = Settings()
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        mongo = EmbeddedMongo(Path(temporary) / "mongo")
        lpad = launchpad_at(mongo.start().uri, "overhead")
        try:
            prepare(lpad)
            store = Store(lpad.db, settings)
            store.create_indexes()
            extra = []
            for number in range(-1, ROUNDS):
                frames = frames_of_round(number + 1)
                loaded = parse_campaign({**CAMPAIGN, "name": f"round{number}"}, Path(temporary))
                store.add_campaign(loaded.campaign, loaded.files)
                labeler = XTBLabeler(XTBOptions(), settings)
                store.add_frames(loaded.campaign.name, 0, "train", frames, [labeler.key(frame) for frame in frames])
                task = LabelTask()
                task.launchpad, task.fw_id = lpad, number
                spec = {"campaign_id": loaded.campaign.name, "iteration": 0, "role": "train", "system": "water"}
                alone = bare(frames)
                started = time.perf_counter()
                task.run_task({**spec, "first": 0, "last": FRAMES})
                library = time.perf_counter() - started
                if number >= 0:  # the first round pays imports
                    extra.append(1000 * (library - alone) / FRAMES)
                    print(f"bare {1000 * alone / FRAMES:.2f} ms, library {1000 * library / FRAMES:.2f} ms a label")
            print(f"overhead {np.median(extra):.2f} ms a label (target 3)")
        finally:
            mongo.stop()


if __name__ == "__main__":
    main()
