from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from sparc_fw.embedded import EmbeddedMongo
from sparc_fw.errors import InputError, MissingDependency, SparcError


@pytest.fixture
def mongo(tmp_path: Path) -> Iterator[EmbeddedMongo]:
    mongo = EmbeddedMongo(tmp_path / "data")
    yield mongo
    mongo.stop()


def client(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, serverSelectionTimeoutMS=3000)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_start_answers_and_stop_ends_the_process(mongo: EmbeddedMongo) -> None:
    assert mongo.status() is None
    server = mongo.start()
    assert mongo.status() == server
    with client(server.uri) as connection:
        assert connection.server_info()["version"]
    assert mongo.stop()
    assert mongo.status() is None
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
    assert not mongo.stop()


def test_second_start_on_the_same_data_is_refused(mongo: EmbeddedMongo) -> None:
    server = mongo.start()
    with pytest.raises(InputError, match=f"runs on this data already \\(pid {server.pid}"):
        EmbeddedMongo(mongo.data_dir).start()
    assert mongo.status() == server


def test_a_lent_server_can_be_kept_and_is_not_stopped_under_its_user(mongo: EmbeddedMongo) -> None:
    other = EmbeddedMongo(mongo.data_dir)
    with mongo.lend() as server:
        assert other.start().pid == server.pid
        with pytest.raises(InputError, match="works on this MongoDB"):
            other.stop()
    assert mongo.status() is not None
    assert other.stop()


def test_data_and_port_survive_kill_9(mongo: EmbeddedMongo) -> None:
    server = mongo.start()
    with client(server.uri) as connection:
        connection["d"]["c"].with_options(write_concern=_journaled()).insert_one({"kept": 1})
    kill(server.pid)
    assert mongo.status() is None
    again = mongo.start()
    assert again.port == server.port
    with client(again.uri) as connection:
        assert connection["d"]["c"].count_documents({"kept": 1}) == 1


def _journaled() -> Any:
    from pymongo.write_concern import WriteConcern

    return WriteConcern(w=1, j=True)


def test_pid_of_another_process_is_not_taken_for_mongod(mongo: EmbeddedMongo) -> None:
    mongo.data_dir.mkdir()
    (mongo.data_dir / "mongod.json").write_text(json.dumps({"pid": os.getpid(), "port": 1, "lent": False}))
    assert mongo.status() is None
    assert not mongo.stop()


def test_only_the_loopback_interface_listens(mongo: EmbeddedMongo) -> None:
    server = mongo.start()
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == server.port]
    assert listening == [f"0100007F:{server.port:04X}"]
    six = Path("/proc/net/tcp6")
    assert not six.exists() or f":{server.port:04X} " not in six.read_text()


def test_taken_port_is_replaced_by_a_free_one(mongo: EmbeddedMongo) -> None:
    port = mongo.start().port
    mongo.stop()
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        assert mongo.start().port != port


def test_pid_and_port_are_for_this_user_only(mongo: EmbeddedMongo) -> None:
    server = mongo.start()
    remembered = mongo.data_dir / "mongod.json"
    assert remembered.stat().st_mode & 0o777 == 0o600
    assert json.loads(remembered.read_text()) == {"port": server.port, "pid": server.pid, "lent": False}
    assert mongo.data_dir.stat().st_mode & 0o777 == 0o700
    assert not Path(f"/tmp/mongodb-{server.port}.sock").exists()


def test_server_outlives_the_process_group_that_started_it(mongo: EmbeddedMongo) -> None:
    script = (
        "import sys, time; from pathlib import Path; from sparc_fw.embedded import EmbeddedMongo;"
        "EmbeddedMongo(Path(sys.argv[1])).start(); print('up', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(mongo.data_dir)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    os.killpg(parent.pid, signal.SIGINT)  # Ctrl-C reaches the whole foreground group
    parent.communicate(timeout=20)
    time.sleep(0.3)
    server = mongo.status()
    assert server is not None
    with client(server.uri) as connection:
        assert connection.server_info()["ok"] == 1.0


def test_failure_carries_the_last_words_of_mongod(mongo: EmbeddedMongo) -> None:
    (mongo.data_dir / "db").mkdir(parents=True)
    (mongo.data_dir / "db" / "WiredTiger.wt").write_text("not a database")
    (mongo.data_dir / "db" / "storage.bson").write_text("neither")
    with pytest.raises(SparcError, match=r"(?s)mongod ended with exit code \d+:.*storage engine metadata"):
        mongo.start()
    assert mongo.status() is None


def test_missing_executable_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(MissingDependency, match="mongod_command: found 'no-such-mongod'"):
        EmbeddedMongo(tmp_path, "no-such-mongod").start()


def test_missing_wheel_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparc_fw.embedded.WHEEL", "no-such-wheel")
    monkeypatch.setattr("sparc_fw.embedded.find_command", lambda command: None)
    with pytest.raises(MissingDependency, match=r"sparc_fw\[mongod\]"):
        EmbeddedMongo(tmp_path).start()


def test_lent_server_ends_with_its_last_user(mongo: EmbeddedMongo) -> None:
    with mongo.lend() as first:
        with EmbeddedMongo(mongo.data_dir).lend() as second:
            assert second == first
        assert mongo.status() == first
    assert mongo.status() is None


def test_started_server_outlives_its_users(mongo: EmbeddedMongo) -> None:
    server = mongo.start()
    with mongo.lend() as lent:
        assert lent == server
    assert mongo.status() == server


def test_revived_server_still_ends_with_its_last_user(mongo: EmbeddedMongo) -> None:
    with mongo.lend() as server:
        assert not mongo.revive()
        kill(server.pid)
        assert mongo.revive()
    assert mongo.status() is None


def test_an_error_of_one_user_is_not_lost_while_another_works(tmp_path: Path) -> None:
    first, second = EmbeddedMongo(tmp_path / "data"), EmbeddedMongo(tmp_path / "data")
    with first.lend():
        with pytest.raises(InputError, match="mine"), second.lend():
            raise InputError("mine")
        assert first.status() is not None
    assert first.status() is None
