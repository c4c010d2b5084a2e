"""Commands of external codes, with launchers before them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.labelers.program import ALONE, program_environment, program_words


def executable(path: Path) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_launcher_beside_the_program_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "first" / "mpirun")
    launcher, program = executable(tmp_path / "second" / "mpirun"), executable(tmp_path / "second" / "code.x")
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}")
    words = program_words("pw_command", "mpirun -n 4 code.x -nk 2", "")
    assert words == [launcher, "-n", "4", program, "-nk", "2"]
    assert not ALONE.keys() & program_environment(words, 1).keys()


def test_a_program_alone_starts_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = executable(tmp_path / "code.x")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PMI_RANK", "3")
    words = program_words("pw_command", "code.x -nk 2", "")
    assert words == [program, "-nk", "2"]
    environment = program_environment(words, 2)
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment.items() >= ALONE.items()
    assert "PMI_RANK" not in environment


def test_an_absent_program_is_named_with_how_to_get_it() -> None:
    with pytest.raises(MissingDependency, match=r"cp2k_command: found no executable 'no\.x': get it, or set SPARC_FW_"):
        program_words("cp2k_command", "no.x", "get it")


@pytest.mark.parametrize("command", ["", "'code.x"])
def test_a_command_that_is_none_is_refused(command: str) -> None:
    with pytest.raises(InputError, match="pw_command: found"):
        program_words("pw_command", command, "")
