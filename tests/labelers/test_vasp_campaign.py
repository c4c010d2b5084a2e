"""One whole iteration of a campaign whose labels come from the labeler ``vasp``."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase import Atoms

from vasp_setup import vasp_settings
from whole_campaigns import SMALL, run_campaign, store_in

pytest.importorskip("custodian", reason="custodian is not installed: pip install 'sparc_fw[vasp]'")
pytestmark = pytest.mark.slow

CAMPAIGN = SMALL | {
    "name": "vasp",
    "systems": [{"name": "water", "structure": "water.xyz"}],
    "start": [{"kind": "displacements", "amplitude_A": 0.1, "frames": 14}],
    "labeler": {"kind": "vasp", "incar_file": "INCAR", "box_A": 12.0},
    "labeling": {"batch": 7},
}


def test_a_campaign_with_vasp(tmp_path: Path) -> None:
    settings = vasp_settings(tmp_path / "machine")
    Atoms("OHH", [[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]]).write(tmp_path / "water.xyz")
    (tmp_path / "INCAR").write_text("ENCUT = 400\nISMEAR = 0\nSIGMA = 0.05\n")
    machine = {"VASP_COMMAND": settings.vasp_command, "VASP_POTCAR_DIR": str(settings.vasp_potcar_dir)}
    run_campaign(tmp_path, CAMPAIGN, **{f"SPARC_FW_{name}": value for name, value in machine.items()})
    with store_in(tmp_path) as store:
        labels = list(store.labels.find({}))
        selections = [row["iteration"] for row in store.selection_records("vasp")]
    assert {(label["status"], label["code"], label["version"]) for label in labels} == {("ok", "vasp", "0.0.1")}
    assert len(labels) == 14
    assert selections == [0]
