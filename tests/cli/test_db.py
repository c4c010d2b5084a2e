from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from sparc_fw.cli import app
from sparc_fw.embedded import EmbeddedMongo

BIN = Path(sys.executable).parent


@pytest.fixture(autouse=True)
def mongo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedMongo]:
    monkeypatch.setenv("SPARC_FW_DATA_DIR", str(tmp_path / "data"))
    mongo = EmbeddedMongo(tmp_path / "data")
    yield mongo
    mongo.stop()


def test_start_status_stop(mongo: EmbeddedMongo) -> None:
    run = CliRunner().invoke
    assert json.loads(run(app, ["db", "status", "--json"]).stdout)["running"] is False
    started = json.loads(run(app, ["db", "start", "--json"]).stdout)
    server = mongo.status()
    assert server is not None
    assert (started["running"], started["pid"], started["port"]) == (True, server.pid, server.port)
    assert json.loads(run(app, ["db", "status", "--json"]).stdout) == started
    again = run(app, ["db", "start"])
    assert again.exit_code == 2
    assert f"pid {server.pid}" in again.stderr
    assert json.loads(run(app, ["db", "stop", "--json"]).stdout) == {"stopped": True}
    assert json.loads(run(app, ["db", "stop", "--json"]).stdout) == {"stopped": False}


def test_written_launchpad_serves_lpad() -> None:
    started = CliRunner().invoke(app, ["db", "start", "--write-launchpad", "my_launchpad.yaml"])
    assert started.exit_code == 0, started.output
    fireworks = [{"fw_id": 1, "spec": {"_tasks": [{"_fw_name": "ScriptTask", "script": "true"}]}}]
    Path("wf.yaml").write_text(yaml.safe_dump({"fws": fireworks, "links": {}, "metadata": {}}))
    lpad = [str(BIN / "lpad"), "-l", "my_launchpad.yaml"]
    subprocess.run([*lpad, "add", "wf.yaml"], check=True, capture_output=True)
    shown = subprocess.run([*lpad, "get_wflows"], check=True, capture_output=True, text=True)
    assert json.loads(shown.stdout)["state"] == "READY"


def test_launchpad_of_no_server_is_refused() -> None:
    result = CliRunner().invoke(app, ["db", "status", "--write-launchpad", "my_launchpad.yaml"])
    assert result.exit_code == 2
    assert "no MongoDB runs" in result.stderr
    assert not Path("my_launchpad.yaml").exists()


def test_server_of_another_process_is_stopped_after_kill_9_of_its_starter(mongo: EmbeddedMongo) -> None:
    starter = subprocess.run([BIN / "sparc-fw", "db", "start"], check=True, capture_output=True, text=True)
    assert "MongoDB runs at" in starter.stdout
    server = mongo.status()
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    assert subprocess.run([BIN / "sparc-fw", "db", "start"], capture_output=True, check=False).returncode == 0
    assert mongo.stop()
