from __future__ import annotations

import os
import signal
from pathlib import Path

import pymongo
import pytest
from ase import Atoms
from pymongo.errors import AutoReconnect

from sparc_fw.loading import load_campaign
from sparc_fw.local_run import LocalRun
from sparc_fw.repair import repair
from sparc_fw.session import open_session
from sparc_fw.settings import Settings
from sparc_fw.status import campaign_state, has_ended
from sparc_fw.submission import submit

CAMPAIGN = """
name: pair
systems: [{name: hf, structure: hf.xyz}]
start: [{kind: displacements, amplitude_A: 0.1, frames: 8}]
labeler: {kind: xtb}
potential: {kind: deepmd}
explorer: {kind: ase_md}
"""


def test_a_mongodb_that_dies_under_the_watch_ends_no_run(tmp_path: Path) -> None:
    Atoms("HF", positions=[[0, 0, 0], [0, 0, 0.92]]).write(tmp_path / "hf.xyz")
    (tmp_path / "pair.yaml").write_text(CAMPAIGN)
    with open_session(Settings(data_dir=tmp_path / "data")) as session:
        submit(session.store, session.lpad, load_campaign(tmp_path / "pair.yaml"))
        run = LocalRun(session, "pair", 1, tmp_path / "run")
        run.folder.mkdir()
        run._revive()
        assert session.embedded is not None
        server = session.embedded.status()
        assert server is not None
        os.kill(server.pid, signal.SIGKILL)
        os.waitpid(server.pid, 0)
        with pymongo.timeout(1), pytest.raises(AutoReconnect):
            repair(session.store, session.lpad, "pair")
        with pymongo.timeout(1):
            assert not run._repair()
        run._revive()
        assert run._repair()
        assert run.repairs == ["started the embedded MongoDB again, which had died"]


def test_what_mongodbs_death_fizzled_is_mended_before_a_run_ends(tmp_path: Path) -> None:
    Atoms("HF", positions=[[0, 0, 0], [0, 0, 0.92]]).write(tmp_path / "hf.xyz")
    (tmp_path / "pair.yaml").write_text(CAMPAIGN)
    with open_session(Settings(data_dir=tmp_path / "data")) as session:
        store, lpad = session.store, session.lpad
        submit(store, lpad, load_campaign(tmp_path / "pair.yaml"))
        lpad.fireworks.update_one({"spec.stage": "start"}, {"$set": {"state": "FIZZLED"}})
        assert campaign_state(store, lpad, "pair") == "failed"
        run = LocalRun(session, "pair", 1, tmp_path / "run")
        assert not run._look(lambda: has_ended(store, lpad, "pair"), lambda: None)
        assert [sentence for sentence in run.repairs if "reran" in sentence] == [
            "reran 'pair 000 start', which was cut off from MongoDB"
        ]
        assert campaign_state(store, lpad, "pair") == "running"
