from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fireworks import Firework, FWorker, LaunchPad, ScriptTask, fw_config
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

from sparc_fw.launchpad import write_launchpad_file
from sparc_fw.workflow import CATEGORIES

CONFIG = Path(__file__).parent.parent / "config"
FOLDERS = sorted(path.name for path in CONFIG.iterdir())


@pytest.mark.parametrize("folder", FOLDERS)
def test_worker_takes_every_stage(folder: str) -> None:
    worker = FWorker.from_file(str(CONFIG / folder / "my_fworker.yaml"))
    assert set(worker.category) == set(CATEGORIES)


@pytest.mark.parametrize("folder", FOLDERS)
def test_configuration_is_known_to_fireworks(folder: str) -> None:
    values = yaml.safe_load((CONFIG / folder / "FW_config.yaml").read_text())
    assert all(hasattr(fw_config, name) for name in values)
    assert values["PING_TIME_SECS"] < values["RUN_EXPIRATION_SECS"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_launchpad_file_names_the_database(folder: str) -> None:
    values = yaml.safe_load((CONFIG / folder / "my_launchpad.yaml").read_text())
    assert values["uri_mode"]
    assert values["name"] == "sparc_fw"


@pytest.mark.parametrize(
    ("folder", "walltime"), [("slurm", "#SBATCH --time=12:00:00"), ("pbs", "-l walltime=12:00:00")]
)
def test_queue_script_sets_up_and_launches(folder: str, walltime: str) -> None:
    script = CommonAdapter.from_file(str(CONFIG / folder / "my_qadapter.yaml")).get_script_str("/launch")
    lines = script.splitlines()
    assert any(walltime in line for line in lines)
    launch = next(n for n, line in enumerate(lines) if line.startswith("rlaunch"))
    assert lines.index("cd /launch") < launch
    assert any(line.startswith("export SPARC_FW_THREADS") for line in lines[:launch])
    assert not [line for line in lines if "$${" in line]


@pytest.mark.parametrize("folder", FOLDERS)
def test_rlaunch_works_from_the_folder(mongo_uri: str, database: str, launchpad: LaunchPad, folder: str) -> None:
    here = Path(shutil.copytree(CONFIG / folder, "config"))
    write_launchpad_file(mongo_uri, database, here / "my_launchpad.yaml")
    fw_id = next(iter(launchpad.add_wf(Firework([ScriptTask.from_str("true")], spec={"_category": "train"})).values()))
    rlaunch = Path(sys.executable).parent / "rlaunch"
    environment = os.environ | {"FW_CONFIG_FILE": str(here / "FW_config.yaml")}
    done = subprocess.run([rlaunch, "-c", here, "singleshot"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert launchpad.get_fw_by_id(fw_id).state == "COMPLETED"
