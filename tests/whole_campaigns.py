"""Campaigns with real backends that ``sparc-fw run`` works on in a folder of their own: as small as they can be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sparc_fw.embedded import EmbeddedMongo
from sparc_fw.launchpad import launchpad_at
from sparc_fw.settings import Settings
from sparc_fw.store import Store

SPARC_FW = str(Path(sys.executable).with_name("sparc-fw"))

SMALL: dict[str, Any] = {
    "seed": 11,
    "potential": {
        "kind": "deepmd",
        "steps": 50,
        "descriptor_neurons": [4, 8],
        "axis_neurons": 2,
        "fitting_neurons": [8, 8],
    },
    "committee": 2,
    "explorer": {"kind": "lammps", "duration_ps": [0.1], "temperature_K": [500.0]},
    "selector": {"kind": "trust_window", "f_lo": 0.0001, "f_hi": 100.0, "cap": 4, "min_difference_A": 0.001},
    "convergence": {"max_unsure_fraction": 0.0},
    "budget": {"labels": 40, "iterations": 1},
}
"""All sections but those that say what is labelled, and how: one iteration."""


def run_campaign(folder: Path, campaign: dict[str, Any], **settings: str) -> None:
    """Run a campaign to its end on an embedded MongoDB in the same folder, with two workers."""
    (folder / "campaign.yaml").write_text(yaml.safe_dump(campaign))
    done = subprocess.run(
        [SPARC_FW, "run", "campaign.yaml", "--workers", "2"],
        cwd=folder,
        env=os.environ | {"SPARC_FW_DATA_DIR": str(folder / "data"), "COLUMNS": "160"} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@contextmanager
def store_in(folder: Path) -> Iterator[Store]:
    """The store of the embedded MongoDB of a folder, with the server up for as long as it is looked at."""
    with EmbeddedMongo(folder / "data").lend() as server:
        yield Store(launchpad_at(server.uri, "sparc_fw").db, Settings(data_dir=folder / "data"))
