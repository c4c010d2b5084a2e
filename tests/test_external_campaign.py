"""A campaign whose labels come from a real external code, by ``sparc-fw run``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ase import Atoms

from external_codes import CHEAP_CP2K, cp2k
from sparc_fw.embedded import EmbeddedMongo
from sparc_fw.launchpad import launchpad_at
from sparc_fw.loading import check_campaign, load_campaign
from sparc_fw.settings import Settings
from sparc_fw.store import Store

pytestmark = pytest.mark.slow

TEMPLATE = Path(__file__).parents[1] / "fw_templates" / "campaigns" / "nh3bh3_cp2k.yaml"
CAMPAIGN: dict[str, Any] = {
    "name": "small",
    "seed": 11,
    "systems": [{"name": "h2", "structure": "h2.xyz"}],
    "start": [{"kind": "displacements", "amplitude_A": 0.15, "frames": 8}],
    "labeling": {"batch": 4, "min_label_fraction": 0.5},
    "potential": {
        "kind": "deepmd",
        "steps": 50,
        "descriptor_neurons": [4, 8],
        "axis_neurons": 2,
        "fitting_neurons": [8, 8],
    },
    "committee": 2,
    "explorer": {"kind": "lammps", "duration_ps": [0.1], "temperature_K": [500.0]},
    "selector": {"kind": "trust_window", "f_lo": 0.0001, "f_hi": 100.0, "cap": 3, "min_difference_A": 0.001},
    "convergence": {"max_unsure_fraction": 0.0},
    "budget": {"labels": 20, "iterations": 1},
}


def test_one_iteration_with_cp2k(tmp_path: Path) -> None:
    version = cp2k().version()
    # Two H2 molecules: one has no angle to learn.
    Atoms("H4", [[0, 0, 0], [0, 0, 0.75], [0, 1.9, 0], [0, 1.9, 0.75]]).write(tmp_path / "h2.xyz")
    labeler = {"kind": "cp2k", **CHEAP_CP2K}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(CAMPAIGN | {"labeler": labeler}))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("sparc-fw")), "run", "small.yaml", "--workers", "2"],
        cwd=tmp_path,
        env=os.environ | {"SPARC_FW_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    with EmbeddedMongo(tmp_path / "data").lend() as server:
        database = launchpad_at(server.uri, "sparc_fw").db
        store = Store(database, Settings(data_dir=tmp_path / "data"))
        labels = list(store.labels.find({}))
        selections = list(store.selection_records("small"))
        states = {firework["state"] for firework in database["fireworks"].find({}, {"state": 1})}
    assert states == {"COMPLETED"}
    assert (len(labels), len(selections)) == (8, 1)
    assert {(label["status"], label["version"]) for label in labels} == {("ok", version)}


def test_the_shipped_campaign_is_accepted() -> None:
    cp2k()
    check_campaign(load_campaign(TEMPLATE), Settings())
