"""A small campaign with cheap backends that are made known as a third party's would be."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import rapidfire
from typer.testing import CliRunner, Result

import sparc_fw
from sparc_fw.campaign import Campaign
from sparc_fw.cli import app
from sparc_fw.loading import LoadedCampaign, parse_campaign
from sparc_fw.registry import backend_classes
from sparc_fw.settings import load_settings
from sparc_fw.store import Store
from sparc_fw.submission import submit
from sparc_fw.testing import write_plugin

Loader = Callable[..., LoadedCampaign]


@pytest.fixture(scope="session")
def plugin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that makes the backends of `sparc_fw.testing` known to whoever has it on the path."""
    folder = tmp_path_factory.mktemp("plugin")
    write_plugin(folder)
    return folder


@pytest.fixture
def cheap_backends(plugin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the kinds of `sparc_fw.testing` known here and to child processes, for one test."""
    monkeypatch.syspath_prepend(str(plugin_folder))
    # Child processes run the package that is tested, whichever one is installed.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(plugin_folder), str(Path(sparc_fw.__file__).parents[1])]))
    _learn_kinds()
    yield
    sys.path.remove(str(plugin_folder))
    _learn_kinds()


def _learn_kinds() -> None:
    """What a new process does when it imports the campaign: find all kinds that there are."""
    backend_classes.cache_clear()
    Campaign.model_rebuild(force=True)


@pytest.fixture
def load(tmp_path: Path, cheap_backends: None) -> Loader:
    """Make a campaign of a Morse trimer; keyword arguments take the place of whole sections."""
    positions = [[0, 0, 0], [1.5, 0, 0], [0, 1.5, 0]]
    Atoms("H3", positions=positions).write(tmp_path / "trimer.xyz")

    def make(**sections: Any) -> LoadedCampaign:
        values: dict[str, Any] = {
            "name": "trimer",
            "description": "Three atoms",
            "seed": 5,
            "systems": [{"name": "h3", "structure": "trimer.xyz", "spin": 1}],
            "start": [
                {"kind": "scan", "atoms": [0, 1], "first": 1.2, "last": 3.0, "points": 10},
                {"kind": "displacements", "amplitude_A": 0.1, "frames": 10},
            ],
            "labeler": {"kind": "morse"},
            "labeling": {"batch": 7},
            "potential": {"kind": "blurred_morse"},
            "committee": 3,
            "explorer": {"kind": "random_walk", "replicas": 2, "duration_ps": [1.0]},
            "select": [
                {"kind": "overlap"},
                {"kind": "window", "f_lo": 0.2, "f_hi": 5.0},
                {"kind": "difference", "min_difference_A": 0.02},
                {"kind": "budget", "cap": 10},
            ],
            "budget": {"labels": 60, "iterations": 6},
            "test": {
                "frames": [{"kind": "displacements", "amplitude_A": 0.3, "frames": 8}],
                "scan": {"kind": "scan", "atoms": [0, 1], "first": 1.25, "last": 2.9, "points": 7},
            },
        }
        values |= sections
        return parse_campaign(values, tmp_path)

    return make


@pytest.fixture
def store(launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of the test's LaunchPad."""
    monkeypatch.setenv("SPARC_FW_DATA_DIR", str(tmp_path / "data"))
    store = Store(launchpad.db, load_settings())
    store.create_indexes()
    return store


@pytest.fixture
def work(launchpad: LaunchPad, tmp_path: Path) -> Callable[..., None]:
    """Launch Fireworks until none is left, or so many."""

    def run(launches: int = 0) -> None:
        folder = tmp_path / "launches"
        folder.mkdir(exist_ok=True)
        rapidfire(launchpad, FWorker("tester"), m_dir=str(folder), nlaunches=launches, sleep_time=1, strm_lvl="ERROR")

    return run


@pytest.fixture
def finished(store: Store, launchpad: LaunchPad, load: Loader, work: Callable[..., None]) -> str:
    """A campaign that ran to its end."""
    campaign_id = submit(store, launchpad, load())
    work()
    return campaign_id


@pytest.fixture
def command(mongo_uri: str, database: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Type a command against the test's database."""
    monkeypatch.setenv("SPARC_FW_MONGO_URI", mongo_uri)
    monkeypatch.setenv("SPARC_FW_DATABASE", database)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return run


def good(result: Result) -> str:
    """What a command that succeeded printed."""
    assert result.exit_code == 0, result.output
    return result.stdout
