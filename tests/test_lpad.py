"""FireWorks' own commands on a campaign: a Workflow file, workers in a second terminal, pauses, reruns, lost runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sparc_fw.embedded import EmbeddedMongo
from sparc_fw.launchpad import launchpad_at, prepare, write_launchpad_file
from sparc_fw.processes import free_port

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
TEMPLATE = Path(__file__).parents[1] / "fw_templates" / "workflows" / "nh3bh3_xtb.yaml"
NAME = "nh3bh3-xtb"


class Terminal:
    """A folder with a ``my_launchpad.yaml`` in which FireWorks' commands are typed."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        self.lpad = launchpad_at(uri, "sparc_fw")
        prepare(self.lpad)
        write_launchpad_file(uri, "sparc_fw", folder / "my_launchpad.yaml")
        (folder / "FW_config.yaml").write_text("PING_TIME_SECS: 1\n")
        self.environment = os.environ | {"SPARC_FW_DATA_DIR": str(folder / "data")}

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(BIN / command), *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, command: str, *arguments: str) -> str:
        process = self.start(command, *arguments)
        out, _ = process.communicate(timeout=400)
        assert process.returncode == 0, out
        return out

    def states(self) -> dict[str, str]:
        return {fw["name"]: fw["state"] for fw in self.lpad.fireworks.find({}, {"name": 1, "state": 1})}

    def records(self) -> dict[str, Any]:
        names = ("framesets", "models", "explorations", "selections", "reports", "stages")
        return {name: list(self.lpad.db[f"sparc_{name}"].find({}).sort("_id", 1)) for name in names}


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("terminal")
    mongo = EmbeddedMongo(folder / "data")
    yield Terminal(folder, mongo.start().uri)
    mongo.stop()


def test_lpad_add_takes_the_template_as_it_is(terminal: Terminal) -> None:
    terminal.type("lpad", "add", str(TEMPLATE))
    summary = json.loads(terminal.type("lpad", "get_wflows", "-d", "more").partition("{")[2].join(["{", ""]))
    assert summary["name"].startswith(NAME)
    assert sorted(summary["states"].values()) == ["READY", "WAITING"]
    assert any(name.startswith(f"{NAME} 000 start") for name in summary["states"])


def test_a_paused_workflow_waits(terminal: Terminal) -> None:
    terminal.type("rlaunch", "singleshot")
    terminal.type("lpad", "pause_wflows", "-n", NAME)
    before = terminal.states()
    assert before[f"{NAME} 000 label train 0-29"] == "PAUSED"
    terminal.type("rlaunch", "rapidfire")
    assert terminal.states() == before
    terminal.type("lpad", "resume_fws", "-s", "PAUSED")


def test_a_lost_run_is_found_and_rerun(terminal: Terminal) -> None:
    worker = terminal.start("rlaunch", "rapidfire")
    deadline = time.monotonic() + 200
    while "RUNNING" not in [s for name, s in terminal.states().items() if " train " in name]:
        assert time.monotonic() < deadline, terminal.states()
        time.sleep(0.2)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    time.sleep(4)
    found = terminal.type("lpad", "detect_lostruns", "--time", "3", "--rerun", "--refresh")
    assert "RUNNING" not in terminal.states().values(), found


def test_workers_bring_it_to_its_end(terminal: Terminal) -> None:
    terminal.type("rlaunch", "rapidfire")
    states = terminal.states()
    assert set(states.values()) == {"COMPLETED"}, states
    assert f"{NAME} 001 select" in states
    status = json.loads(terminal.type("sparc-fw", "status", NAME, "--json"))
    assert status["state"] == "completed"
    assert status["verdict"] == "exhausted"
    assert [row["labels"] + row["labels_failed"] for row in status["iterations"]] == [60, 80]


@pytest.mark.parametrize("stage", ["label train 0-29", "train member 1", "select"])
def test_rerun_fws_changes_nothing_that_was_right(terminal: Terminal, stage: str) -> None:
    before, names = terminal.records(), sorted(terminal.states())
    terminal.type("lpad", "rerun_fws", "-n", f"{NAME} 000 {stage}")
    assert "READY" in terminal.states().values()
    terminal.type("rlaunch", "rapidfire")
    assert sorted(terminal.states()) == names
    assert set(terminal.states().values()) == {"COMPLETED"}
    assert terminal.records() == before


def test_the_web_gui_shows_the_campaign(terminal: Terminal) -> None:
    port = free_port()
    server = terminal.start("lpad", "webgui", "--server_mode", "--port", str(port))
    try:
        deadline = time.monotonic() + 30
        page = ""
        while not page and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    page = answer.read().decode()
            except OSError:
                time.sleep(0.3)
        assert NAME in page
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_the_template_is_a_campaign_that_passes_its_check(tmp_path: Path) -> None:
    workflow = yaml.safe_load(TEMPLATE.read_text())
    campaign = workflow["fws"][0]["spec"]["_tasks"][0]["campaign"]
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(campaign))
    done = subprocess.run(
        [str(BIN / "sparc-fw"), "check", "campaign.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
