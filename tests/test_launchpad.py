from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from fireworks import Firework, LaunchPad, ScriptTask

from sparc_fw.errors import InputError
from sparc_fw.launchpad import describe, open_launchpad, prepare, redact, write_launchpad_file
from sparc_fw.settings import Settings

LPAD = str(Path(sys.executable).parent / "lpad")


def test_none_where_nothing_is_configured() -> None:
    assert open_launchpad(Settings()) is None
    assert describe(Settings()).startswith("none configured")


def test_opens_by_uri(mongo_uri: str, database: str) -> None:
    launchpad = open_launchpad(Settings(mongo_uri=mongo_uri, database=database))
    assert launchpad is not None
    assert launchpad.db.name == database


def test_opens_by_the_file_that_fireworks_would_find(mongo_uri: str, database: str) -> None:
    write_launchpad_file(mongo_uri, database, Path("my_launchpad.yaml"))
    launchpad = open_launchpad(Settings())
    assert launchpad is not None
    assert launchpad.db.name == database
    assert "my_launchpad.yaml" in describe(Settings())


def test_setting_precedes_the_file_found(mongo_uri: str, database: str, tmp_path: Path) -> None:
    write_launchpad_file("mongodb://127.0.0.1:1", "wrong", Path("my_launchpad.yaml"))
    other = tmp_path / "other.yaml"
    write_launchpad_file(mongo_uri, database, other)
    launchpad = open_launchpad(Settings(launchpad_file=other))
    assert launchpad is not None
    assert launchpad.db.name == database


def test_lpad_reads_the_written_file(mongo_uri: str, database: str, launchpad: LaunchPad) -> None:
    path = Path("written.yaml")
    write_launchpad_file(mongo_uri, database, path)
    assert path.stat().st_mode & 0o777 == 0o600
    launchpad.add_wf(Firework([ScriptTask.from_str("true")], name="seen by lpad"))
    done = subprocess.run([LPAD, "-l", str(path), "get_wflows"], capture_output=True, text=True, check=True)
    assert "seen by lpad" in done.stdout


def test_silent_server_is_told_within_seconds_and_without_the_password() -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match="MongoDB does not answer") as caught:
        open_launchpad(Settings(mongo_uri="mongodb://me:secret@127.0.0.1:1/"))
    assert time.monotonic() - started < 8
    assert "secret" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"), [("- a list", "found list"), ("a: [", "not valid YAML"), ("name: x", "host")]
)
def test_wrong_file_is_named(text: str, found: str) -> None:
    Path("my_launchpad.yaml").write_text(text)
    with pytest.raises(InputError, match=r"my_launchpad\.yaml") as caught:
        open_launchpad(Settings())
    assert found in str(caught.value)


def test_redact_hides_user_and_password() -> None:
    assert redact("mongodb+srv://me:p@ss@host/db?w=1") == "mongodb+srv://***@host/db?w=1"
    assert redact("mongodb://host") == "mongodb://host"


def test_prepare_makes_the_indexes_and_repeats_cheaply(launchpad: LaunchPad, monkeypatch: pytest.MonkeyPatch) -> None:
    made = launchpad.fireworks.index_information()
    assert made["sparc_fw_category"]["key"] == [("state", 1), ("spec._category", 1), ("spec._priority", -1)]
    assert made["sparc_fw_campaign"]["key"] == [("spec.campaign_id", 1)]
    assert made["fw_id_1"]["unique"]
    tuned: list[bool] = []
    monkeypatch.setattr(launchpad, "tuneup", lambda **_: tuned.append(True))
    prepare(launchpad)
    assert not tuned, "FireWorks drops no index to make it again"
    assert launchpad.fireworks.index_information() == made


def test_written_file_is_plain(tmp_path: Path) -> None:
    path = tmp_path / "my_launchpad.yaml"
    path.touch(mode=0o644)
    write_launchpad_file("mongodb://127.0.0.1:5", "d", path)
    assert yaml.safe_load(path.read_text()) == {"host": "mongodb://127.0.0.1:5", "name": "d", "uri_mode": True}
    assert path.stat().st_mode & 0o777 == 0o600
