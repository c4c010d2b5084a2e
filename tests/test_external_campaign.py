"""A campaign whose labels come from a real external code, by ``sparc-fw run``."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase import Atoms

from external_codes import CHEAP_CP2K, cp2k
from sparc_fw.loading import check_campaign, load_campaign
from sparc_fw.settings import Settings
from whole_campaigns import SMALL, run_campaign, store_in

pytestmark = pytest.mark.slow

TEMPLATE = Path(__file__).parents[1] / "fw_templates" / "campaigns" / "nh3bh3_cp2k.yaml"
CAMPAIGN = SMALL | {
    "name": "small",
    "systems": [{"name": "h2", "structure": "h2.xyz"}],
    "start": [{"kind": "displacements", "amplitude_A": 0.15, "frames": 8}],
    "labeler": {"kind": "cp2k", **CHEAP_CP2K},
    "labeling": {"batch": 4},
    "budget": {"labels": 20, "iterations": 1},
}


def test_one_iteration_with_cp2k(tmp_path: Path) -> None:
    version = cp2k().version()
    # Two H2 molecules: one has no angle to learn.
    Atoms("H4", [[0, 0, 0], [0, 0, 0.75], [0, 1.9, 0], [0, 1.9, 0.75]]).write(tmp_path / "h2.xyz")
    run_campaign(tmp_path, CAMPAIGN)
    with store_in(tmp_path) as store:
        labels = list(store.labels.find({}))
        selections = list(store.selection_records("small"))
        states = {firework["state"] for firework in store.database["fireworks"].find({}, {"state": 1})}
    assert states == {"COMPLETED"}
    assert (len(labels), len(selections)) == (8, 1)
    assert {(label["status"], label["version"]) for label in labels} == {("ok", version)}


def test_the_shipped_campaign_is_accepted() -> None:
    cp2k()
    check_campaign(load_campaign(TEMPLATE), Settings())
