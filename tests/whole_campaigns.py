"""Campaigns with real backends that ``sparc-fw run`` works on in a folder of their own: as small as they can be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sparc_fw.biased_runs import as_dicts, biased_runs
from sparc_fw.campaign import Campaign
from sparc_fw.embedded import EmbeddedMongo
from sparc_fw.explorers.base import ExplorerOptions
from sparc_fw.launchpad import launchpad_at
from sparc_fw.settings import Settings
from sparc_fw.store import Store
from sparc_fw.trajectories import Exploration

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
    "select": [
        {"kind": "overlap"},
        {"kind": "window", "f_lo": 0.0001, "f_hi": 100.0},
        {"kind": "difference", "min_difference_A": 0.001},
        {"kind": "budget", "cap": 4},
    ],
    "convergence": {"max_unsure_fraction": 0.0},
    "budget": {"labels": 40, "iterations": 1},
}
"""All sections but those that say what is labelled, and how: one iteration."""


def run_campaign(folder: Path, campaign: dict[str, Any], **settings: str) -> None:
    """Run a campaign to its end on an embedded MongoDB in the same folder, with two workers."""
    (folder / "campaign.yaml").write_text(yaml.safe_dump(campaign))
    run_file(folder, Path("campaign.yaml"), workers=2, **settings)


def run_file(folder: Path, file: Path, workers: int = 1, **settings: str) -> None:
    """Run the campaign of a file to its end on an embedded MongoDB in a folder."""
    done = subprocess.run(
        [SPARC_FW, "run", str(file), "--workers", str(workers)],
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


@dataclass
class Finished:
    """What a campaign that ended left in its store.

    Attributes
    ----------
    verdicts : list of str
        One for each iteration.
    explorations : list of tuple
        Options of the explorer as they were in that iteration, the system, and what the replica saw.
    labels : dict of str to int
        Labels paid for, by system.
    biased : list of dict
        What biased runs gave, as ``sparc-fw report --json`` prints it.
    """

    campaign: Campaign
    verdicts: list[str]
    explorations: list[tuple[ExplorerOptions, str, Exploration]]
    labels: dict[str, int]
    biased: list[dict[str, Any]]

    @property
    def last(self) -> list[tuple[ExplorerOptions, str, Exploration]]:
        """The explorations of the last iteration."""
        return [each for each in self.explorations if each[2].iteration == len(self.verdicts) - 1]


def finished(folder: Path, name: str) -> Finished:
    """Read what a campaign left in the embedded MongoDB of a folder."""
    with store_in(folder) as store:
        campaign = store.campaign(name)
        verdicts = [str(record["verdict"]) for record in store.selection_records(name)]
        explorations = []
        for iteration in range(len(verdicts)):
            for replica, (index, system, _) in enumerate(campaign.runs()):
                found = store.exploration(name, iteration, replica)
                assert found is not None
                explorations.append((campaign.explorer[index].at(iteration), system, found))
        keys = store.paid_keys_by_system(name, len(verdicts))
        labels = {system: store.count_paid(asked) for system, asked in keys.items()}
        biased = list(as_dicts(biased_runs(store, campaign, len(verdicts))))
    return Finished(campaign, verdicts, explorations, labels, biased)
