"""Kills and restarts of a campaign with real backends; each ends with the labels and picks of an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from ase import Atoms
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

import counted_pyscf
import sparc_fw
from sparc_fw.embedded import EmbeddedMongo
from sparc_fw.testing import write_plugin
from whole_campaigns import SMALL, SPARC_FW, store_in

pytestmark = pytest.mark.slow

CAMPAIGN = SMALL | {
    "name": "small",
    "systems": [{"name": "hf", "structure": "hf.xyz"}],
    "start": [
        {"kind": "scan", "atoms": [0, 1], "first": 0.8, "last": 1.6, "points": 8},
        {"kind": "displacements", "amplitude_A": 0.1, "frames": 16},
    ],
    # So few cycles that the two longest bonds of the scan do not converge.
    "labeler": {
        "kind": "counted_pyscf",
        "functional": "lda,vwn",
        "basis": "sto-3g",
        "max_cycle": 9,
        "second_order": False,
        "retries": {},
        # Picks of so small a model lie anywhere; only what does not converge shall fail.
        "force_cap": None,
    },
    "labeling": {"batch": 6, "min_label_fraction": 0.1},
    "potential": SMALL["potential"] | {"steps": 100},
    "explorer": SMALL["explorer"] | {"duration_ps": [0.2]},
    "select": [*SMALL["select"][:-1], {"kind": "budget", "cap": 6}],
    "budget": {"labels": 100, "iterations": 2},
    "test": {"scan": {"kind": "scan", "atoms": [0, 1], "first": 0.85, "last": 1.3, "points": 4}},
}


PACKAGE = Path(sparc_fw.__file__).parent


class Run:
    """``sparc-fw run`` in a folder of its own, on an embedded MongoDB of its own."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        folder.mkdir()
        self.folder = folder
        write_plugin(folder / "plugin", {"sparc_fw.labeler": {"counted_pyscf": "counted_pyscf:CountedPySCF"}})
        # Two HF molecules: six atoms would be slower, two would have no angle to learn.
        positions = [[0, 0, 0], [0, 0, 0.92], [0, 1.7, 1.9], [0, 1.2, 2.7]]
        Atoms("FHFH", positions=positions).write(folder / "hf.xyz")
        (folder / "small.yaml").write_text(yaml.safe_dump(CAMPAIGN | sections))
        self.calculations = folder / "calculations"
        self.environment = os.environ | {
            "SPARC_FW_DATA_DIR": str(folder / "data"),
            "COLUMNS": "160",
            # Child processes run the package that is tested, whichever one is installed.
            "PYTHONPATH": os.pathsep.join(map(str, (folder / "plugin", Path(__file__).parent, PACKAGE.parent))),
            counted_pyscf.LOG: str(self.calculations),
        }
        self.mongo = EmbeddedMongo(folder / "data")

    def start(self, *options: str) -> subprocess.Popen[str]:
        with (self.folder / "run.log").open("a") as log:
            return subprocess.Popen(
                [SPARC_FW, "run", "small.yaml", "--workers", "2", *options],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SPARC_FW, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def finish(self, process: subprocess.Popen[str], expected: int = 0) -> str:
        code = process.wait(timeout=400)
        text = (self.folder / "run.log").read_text()
        assert code == expected, text[-4000:]
        return text

    def running(self, stage: str) -> int | None:
        """Pid of a worker that runs a Firework of a stage now."""
        server = self.mongo.status()
        if server is None:
            return None
        with MongoClient[dict[str, Any]](server.uri, serverSelectionTimeoutMS=1000) as client:
            database = client["sparc_fw"]
            try:
                firework = database.fireworks.find_one({"state": "RUNNING", "spec.stage": stage}, {"launches": 1})
                if firework is None:
                    return None
                running = {"launch_id": {"$in": firework["launches"]}, "state": "RUNNING"}
                launch = database.launches.find_one(running)
            except AutoReconnect:
                return None  # the server was killed just now, and the run has not started it again yet
        return None if launch is None else self.worker_pid(launch["fworker"]["name"])

    def worker_pid(self, name: str) -> int | None:
        wanted = f"my_fworker-{name.rpartition(':')[2]}.yaml"
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                arguments = (process / "cmdline").read_bytes().decode().split("\0")
                mine = (process / "cwd").resolve().is_relative_to(self.folder)
            except OSError:
                continue
            if wanted in arguments and mine and any(argument.endswith("rlaunch") for argument in arguments):
                return int(process.name)
        return None

    def outcome(self) -> dict[str, Any]:
        with store_in(self.folder) as store:
            labels = {r["_id"]: (r["energy"], r["forces"]) for r in store.labels.find({})}
            selections = [store.selection("small", r["iteration"]) for r in store.selection_records("small")]
            curves = {r["_id"]: (r["seed"], r["curve"]) for r in store.models.find({})}
            fireworks = list(store.database["fireworks"].find({}, {"name": 1, "state": 1}))
            failed = store.labels.count_documents({"status": "failed", "reason": "not_converged"})
        assert {fw["state"] for fw in fireworks} == {"COMPLETED"}
        assert max(Counter(fw["name"] for fw in fireworks).values()) == 1, "no iteration exists twice"
        picks = [[frame.positions.tobytes() for frame in s.picks] for s in selections if s is not None]
        return {"labels": labels, "failed": failed, "picks": picks, "curves": curves, "fireworks": len(fireworks)}

    def check_calculations(self, kills: int) -> None:
        """Every label was calculated, none twice but one for each worker that was killed over it."""
        calculated = Counter(self.calculations.read_text().split())
        assert len(calculated) == 24 + 4 + 6
        assert sum(calculated.values()) <= len(calculated) + kills


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outcome of a run that nobody disturbs."""
    run = Run(tmp_path_factory.mktemp("faults") / "undisturbed")
    text = run.finish(run.start())
    assert "mended" not in text
    assert run.mongo.status() is None, "no orphan of the embedded MongoDB"
    run.check_calculations(kills=0)
    outcome = run.outcome()
    assert len(outcome["labels"]) == 24 + 4 + 6
    assert outcome["failed"] >= 2
    return outcome


def wait_for(run: Run, process: subprocess.Popen[str], stage: str) -> int:
    """Wait until a worker runs a stage; returns its pid."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        pid = run.running(stage)
        if pid is not None:
            return pid
        time.sleep(0.002)
    raise AssertionError(f"no {stage} was seen running:\n{(run.folder / 'run.log').read_text()[-3000:]}")


def test_a_worker_killed_in_each_stage(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    run = Run(tmp_path / "killed")
    process = run.start()
    for stage in ("label", "train", "explore", "select"):
        os.kill(wait_for(run, process, stage), signal.SIGKILL)
    text = run.finish(process)
    for stage in ("label", "train", "explore"):
        assert any(f" {stage} " in line and "worker is dead" in line for line in text.splitlines()), text[-3000:]
    assert text.count("started worker") >= 4
    run.check_calculations(kills=1)
    assert run.outcome() == undisturbed


def test_mongod_killed_while_labels_and_trainings_run(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    run = Run(tmp_path / "database")
    process = run.start()
    for stage in ("label", "train"):
        wait_for(run, process, stage)
        server = run.mongo.status()
        assert server is not None
        os.kill(server.pid, signal.SIGKILL)
        time.sleep(3)
    text = run.finish(process)
    assert "which had died" in text
    run.check_calculations(kills=2)
    assert run.outcome() == undisturbed


def test_run_killed_then_interrupted_then_resumed(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    run = Run(tmp_path / "interrupted")
    process = run.start()
    wait_for(run, process, "label")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process = run.start("--resume")
    wait_for(run, process, "train")
    os.kill(process.pid, signal.SIGINT)
    text = run.finish(process, expected=1)
    assert "nothing is lost" in text
    assert "Traceback" not in text
    assert run.mongo.status() is None, "the embedded MongoDB was stopped"
    refused = run.command("run", "small.yaml")
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    text = run.finish(run.start("--resume"))
    assert f"{undisturbed['failed']} labels failed of 30 (not_converged {undisturbed['failed']})" in text
    run.check_calculations(kills=2)
    assert run.outcome() == undisturbed
    assert run.mongo.status() is None
    values = json.loads(run.command("status", "small", "--json").stdout)
    assert values["state"] == "completed"
    assert [row["labels_failed"] for row in values["iterations"]] == [2, undisturbed["failed"]]
    assert [row["labels"] for row in values["iterations"]] == [22, 30 - undisturbed["failed"]]


def test_a_training_that_diverges(tmp_path: Path) -> None:
    run = Run(tmp_path / "diverging", potential=CAMPAIGN["potential"] | {"learning_rate": 1e30})
    text = run.finish(run.start(), expected=1)
    assert "diverged with 2 seeds" in text
    with store_in(run.folder) as store:
        trainings = list(store.database["fireworks"].find({"spec.stage": "train"}, {"state": 1}))
        assert {firework["state"] for firework in trainings} == {"FIZZLED"}
        assert store.models.count_documents({}) == 0
    told = run.command("status", "small")
    assert told.returncode == 0
    lines = [line.rstrip() for line in told.stdout.splitlines()]
    assert lines[0] == "small: failed, 24 of 100 labels spent"
    for member in (0, 1):
        assert any(line.startswith(f"FIZZLED small 000 train member {member}: ") for line in lines)
    assert "diverged with 2 seeds" in told.stdout


@pytest.mark.parametrize("command", ["run", "submit"])
def test_bad_input_stores_nothing(tmp_path: Path, command: str) -> None:
    run = Run(tmp_path / "bad", budget={"labels": 100, "iteration": 2})
    refused = run.command(command, "small.yaml")
    assert refused.returncode == 2
    assert "budget.iteration" in refused.stderr
    with store_in(run.folder) as store:
        collections = ("fireworks", "workflows", "sparc_campaigns", "sparc_framesets", "sparc_labels")
        assert {name: store.database[name].count_documents({}) for name in collections} == dict.fromkeys(collections, 0)
