"""Child processes: environment, watching, ending with the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparc_fw.child_process import clean_environment, last_lines, run_child


def nothing() -> None:
    """Watch nothing."""


def test_stray_numerical_settings_do_not_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DP_INTERFACE_PREC", "low")
    monkeypatch.setenv("PMI_RANK", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    environment = clean_environment(2, {"EXTRA": "1"})
    assert "DP_INTERFACE_PREC" not in environment
    assert "PMI_RANK" not in environment
    assert environment["OMP_NUM_THREADS"] == environment["DP_INTRA_OP_PARALLELISM_THREADS"] == "2"
    assert environment["EXTRA"] == "1"


def test_status_and_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; print(os.getcwd()); raise SystemExit(3)"]
    assert run_child(command, tmp_path, clean_environment(1), tmp_path / "log", nothing) == 3
    assert (tmp_path / "log").read_text().strip() == str(tmp_path)


def test_what_the_watcher_raises_ends_the_program(tmp_path: Path) -> None:
    def stop() -> None:
        raise ValueError("enough")

    started = time.monotonic()
    with pytest.raises(ValueError, match="enough"):
        run_child([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, os.environ, tmp_path / "log", stop)
    assert time.monotonic() - started < 10


def test_the_program_dies_with_its_killed_parent(tmp_path: Path) -> None:
    inner = "import os,time,pathlib; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    outer = (
        "import os,sys; from pathlib import Path; from sparc_fw.child_process import run_child;"
        f"run_child([sys.executable, '-c', {inner!r}], Path(), os.environ, Path('log'), lambda: None)"
    )
    parent = subprocess.Popen([sys.executable, "-c", outer], cwd=tmp_path)
    pid_file = tmp_path / "pid"
    end = time.monotonic() + 30
    while not (pid_file.exists() and pid_file.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    child = Path("/proc") / pid_file.read_text()
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_last_lines_skip_empty_ones() -> None:
    assert last_lines("a\n\nb\n\nc\n", 2) == "b\nc"
