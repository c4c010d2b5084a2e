"""One whole iteration of a campaign whose labels come from the labeler ``vasp``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ase import Atoms

from sparc_fw.embedded import EmbeddedMongo
from sparc_fw.launchpad import launchpad_at
from sparc_fw.settings import Settings
from sparc_fw.store import Store
from vasp_setup import vasp_settings

pytest.importorskip("custodian", reason="custodian is not installed")
pytestmark = pytest.mark.slow

CAMPAIGN: dict[str, Any] = {
    "name": "vasp",
    "seed": 3,
    "systems": [{"name": "water", "structure": "water.xyz"}],
    "start": [{"kind": "displacements", "amplitude_A": 0.1, "frames": 14}],
    "labeler": {"kind": "vasp", "incar_file": "INCAR", "box_A": 12.0},
    "labeling": {"batch": 7},
    "potential": {
        "kind": "deepmd",
        "steps": 100,
        "descriptor_neurons": [4, 8],
        "axis_neurons": 2,
        "fitting_neurons": [8, 8],
    },
    "committee": 2,
    "explorer": {"kind": "lammps", "duration_ps": [0.1], "temperature_K": [300.0]},
    "selector": {"kind": "trust_window", "f_lo": 0.0001, "f_hi": 100.0, "cap": 4, "min_difference_A": 0.001},
    "convergence": {"max_unsure_fraction": 0.0},
    "budget": {"labels": 40, "iterations": 1},
}


def test_a_campaign_with_vasp(tmp_path: Path) -> None:
    settings = vasp_settings(tmp_path / "machine")
    Atoms("OHH", [[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]]).write(tmp_path / "water.xyz")
    (tmp_path / "INCAR").write_text("ENCUT = 400\nISMEAR = 0\nSIGMA = 0.05\n")
    (tmp_path / "vasp.yaml").write_text(yaml.safe_dump(CAMPAIGN))
    environment = os.environ | {
        "SPARC_FW_DATA_DIR": str(tmp_path / "data"),
        "SPARC_FW_VASP_COMMAND": settings.vasp_command,
        "SPARC_FW_VASP_POTCAR_DIR": str(settings.vasp_potcar_dir),
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name("sparc-fw")), "run", "vasp.yaml", "--workers", "2"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with EmbeddedMongo(tmp_path / "data").lend() as server:
        database = launchpad_at(server.uri, "sparc_fw").db
        store = Store(database, Settings(data_dir=tmp_path / "data"))
        labels = list(store.labels.find({}))
        selections = [row["iteration"] for row in store.selection_records("vasp")]
    assert {(label["status"], label["code"], label["version"]) for label in labels} == {("ok", "vasp", "0.0.1")}
    assert len(labels) == 14
    assert selections == [0]
