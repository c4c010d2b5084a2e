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
from sparc_fw.processes import await_end, lives


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


# A launcher as users write them: what computes is no child of the script any more, and in a session of its own.
ESCAPE = """#!/bin/sh
echo $$ > script
(setsid sh -c 'TRAP; echo $$ > escaped; while true; do sleep 0.2; done' &) &
while ! [ -s escaped ]; do sleep 0.02; done
"""


def script(folder: Path, end: str, trap: str = "true") -> Path:
    path = folder / "escape.sh"
    path.write_text(ESCAPE.replace("TRAP", trap) + end)
    path.chmod(0o700)
    return path


def escaped_pid(folder: Path) -> int:
    """Pid of the process that escaped from its parent, as soon as there is one."""
    end = time.monotonic() + 30
    while not ((folder / "escaped").exists() and (folder / "escaped").read_text()):
        assert time.monotonic() < end
        time.sleep(0.02)
    pid = int((folder / "escaped").read_text())
    assert lives(pid)
    return pid


def test_nothing_that_a_program_started_outlives_its_being_stopped(tmp_path: Path) -> None:
    pids: list[int] = []

    def stop() -> None:
        pids.append(escaped_pid(tmp_path))
        raise ValueError("enough")

    stubborn = script(tmp_path, "sleep 60\n", trap='trap "" TERM HUP INT')
    with pytest.raises(ValueError, match="enough"):
        run_child([str(stubborn)], tmp_path, os.environ, tmp_path / "log", stop)
    assert not lives(pids[0])
    assert not lives(int((tmp_path / "script").read_text()))


def test_nothing_that_a_program_started_outlives_its_end(tmp_path: Path) -> None:
    path = script(tmp_path, "exit 3\n")
    assert run_child([str(path)], tmp_path, os.environ, tmp_path / "log", nothing) == 3
    assert not lives(int((tmp_path / "escaped").read_text()))


@pytest.mark.parametrize("whole_session", [False, True])
def test_nothing_that_a_program_started_outlives_a_killed_worker(tmp_path: Path, whole_session: bool) -> None:
    worker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os,sys; from pathlib import Path; from sparc_fw.child_process import run_child;"
            "run_child([sys.argv[1]], Path(), os.environ, Path('log'), lambda: None)",
            str(script(tmp_path, "sleep 60\n")),
        ],
        cwd=tmp_path,
        start_new_session=True,
    )
    pid = escaped_pid(tmp_path)
    if whole_session:
        os.killpg(worker.pid, signal.SIGKILL)
    else:
        worker.kill()
    worker.wait()
    assert await_end(pid, 30)
    assert await_end(int((tmp_path / "script").read_text()), 30)


def test_a_signal_that_ended_the_program_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"]
    assert run_child(command, tmp_path, clean_environment(1), tmp_path / "log", nothing) == -signal.SIGSEGV


def test_a_program_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    assert run_child([str(tmp_path / "none")], tmp_path, os.environ, tmp_path / "log", nothing) == 127
    assert "No such file" in (tmp_path / "log").read_text()
