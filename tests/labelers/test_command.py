"""A user's script: what it gets, what is taken from it, and every way in which it can go wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from sparc_fw.labelers.command import CommandLabeler, CommandOptions
from sparc_fw.loading import load_campaign
from sparc_fw.processes import lives
from sparc_fw.settings import Settings

EMT_SCRIPT = f"""#!{sys.executable}
import sys
from ase.calculators.emt import EMT
from ase.io import read, write
frame = read(sys.argv[1])
frame.calc = EMT()
frame.get_forces(), frame.get_potential_energy()
if frame.pbc.any():
    frame.get_stress()
write(sys.argv[2], frame)
"""
"""A real reference method in a script."""

PLAIN = 'Lattice="9 0 0 0 9 0 0 0 9" pbc="F F F" Properties=species:S:1:pos:R:3:forces:R:3'
GOOD = f"2\n{PLAIN} energy=-1.5\nH 0 0 0 0 0 1\nO 0 0 1 0 0 -1\n"
FRAME = Atoms("HO", [(0, 0, 0), (0, 0, 1)], info={"spin": 1})


def labeler(**options: Any) -> CommandLabeler:
    return CommandLabeler(CommandOptions.model_validate(options), Settings())


def printing(text: str, before: str = "") -> CommandLabeler:
    """A labeler whose script writes a text as its output."""
    return labeler(script=f"#!/bin/sh\n{before}\ncat > $2 <<'END'\n{text}END\n")


def test_a_script_computes_what_its_method_does() -> None:
    crystal = bulk("Cu") * (2, 1, 1)
    crystal.positions[0] += (0.1, 0, 0.05)
    label = labeler(script=EMT_SCRIPT).label(crystal)
    assert label.status == "ok", label.message
    crystal.calc = EMT()
    assert label.energy == pytest.approx(crystal.get_potential_energy(), abs=1e-7)
    assert label.forces == pytest.approx(crystal.get_forces(), abs=1e-7)
    assert label.stress == pytest.approx(crystal.get_stress(), abs=1e-7)


def test_the_script_gets_positions_charge_and_spin(tmp_path: Path) -> None:
    frame = molecule("OH")
    frame.info.update(charge=-1, spin=0, note="not for the script")
    keep = labeler(script=f"#!/bin/sh\ncp $1 {tmp_path}/seen\nfalse\n")
    assert keep.label(frame).reason == "crashed"
    text = (tmp_path / "seen").read_text()
    assert "charge=-1 spin=0" in text
    assert "note" not in text


def test_numbers_are_taken_as_they_stand() -> None:
    label = printing(GOOD).label(FRAME)
    assert (label.status, label.energy, label.stress) == ("ok", -1.5, None)
    assert label.forces is not None
    assert label.forces.tolist() == [[0, 0, 1], [0, 0, -1]]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (GOOD.replace("2\n", "1\n", 1).replace("O 0 0 1 0 0 -1\n", ""), "holds 1 atoms, expected 2"),
        (GOOD.replace("H 0 0 0", "O 0 0 0").replace("O 0 0 1 ", "H 0 0 1 "), "expected the input's order"),
        (GOOD.replace("O 0 0 1", "O 0 0 1.001"), "holds atom 1 0.001000 Å away from where it was"),
        (GOOD.replace("O 0 0 1", "O 0 0 nan"), "holds atom 1 nan Å away"),
        (GOOD.replace(" energy=-1.5", ""), "holds no energy"),
        (GOOD.replace(":forces:R:3", ":shifts:R:3"), "holds no forces"),
        (GOOD + GOOD, "holds 2 frames, expected one"),
        ("two atoms\n", "is no extended XYZ"),
    ],
)
def test_output_that_is_not_the_frames_is_a_failed_label(output: str, message: str) -> None:
    label = printing(output, before="echo I did my best").label(FRAME)
    assert (label.status, label.reason, label.energy) == ("failed", "crashed", None)
    assert message in label.message
    assert label.message.endswith("the command's last words: I did my best")


def test_no_output_at_all() -> None:
    label = labeler(script="#!/bin/sh\necho nothing to say\n").label(FRAME)
    assert label.reason == "crashed"
    assert label.message == "the command left no output.extxyz; the command's last words: nothing to say"


def test_exit_status_counts_even_with_output() -> None:
    label = labeler(script=f"#!/bin/sh\ncat > $2 <<'END'\n{GOOD}END\necho broken >&2\nexit 7\n").label(FRAME)
    assert label.message == "the command ended with status 7; its last words: broken"


def test_forces_that_are_no_numbers() -> None:
    assert printing(GOOD.replace("0 0 -1", "0 0 nan")).label(FRAME).reason == "nan"


def test_a_script_that_hangs_is_ended_with_its_last_words() -> None:
    label = labeler(script="#!/bin/sh\necho waiting\nexec sleep 60\n", timeout_seconds=0.5).label(FRAME)
    assert label.reason == "timeout"
    assert "ran longer than 0.5 s" in label.message
    assert label.message.endswith("waiting")


def test_what_a_script_that_hangs_started_is_ended_with_it(tmp_path: Path) -> None:
    escape = f"(setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 60' &) &"
    label = labeler(script=f"#!/bin/sh\n{escape}\nsleep 60\n", timeout_seconds=2).label(FRAME)
    assert label.reason == "timeout"
    assert not lives(int((tmp_path / "pid").read_text()))


def test_a_crystal_needs_its_stress_unless_nobody_does() -> None:
    crystal = Atoms("HO", FRAME.positions, cell=np.eye(3) * 9, pbc=True)
    script = f"#!/bin/sh\ncat > $2 <<'END'\n{GOOD.replace('F F F', 'T T T')}END\n"
    assert "holds no stress" in labeler(script=script).label(crystal).message
    assert labeler(script=script, stress=False).label(crystal).status == "ok"


def test_a_command_without_a_script() -> None:
    program = labeler(command="cp /dev/null {output}")
    assert program.missing() == []
    assert "no extended XYZ" in program.label(FRAME).message or "holds" in program.label(FRAME).message
    assert labeler(command="no_such_program {input}").missing() == [
        "command needs the program 'no_such_program', which is not on PATH"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "without a script, expected {script} in the command exactly where"),
        ({"command": "run {input}", "script": "#!/bin/sh\n"}, "with a script"),
        ({"command": "run {frame}"}, "expected no placeholders but"),
        ({"command": " "}, "expected a command"),
    ],
)
def test_commands_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CommandOptions.model_validate(options)


def test_a_script_without_an_interpreter_is_refused() -> None:
    with pytest.raises(Exception, match="found 'echo hello' as its first line, expected '#!' and an interpreter"):
        labeler(script="echo hello\n").check(FRAME)
    labeler(command="/bin/sh {script} {input} {output}", script="echo hello\n").check(FRAME)


def test_a_changed_script_file_is_another_labeler(tmp_path: Path) -> None:
    molecule("H2O").write(tmp_path / "water.xyz")
    campaign = {
        "name": "script",
        "systems": [{"name": "water", "structure": "water.xyz"}],
        "start": [{"kind": "displacements", "amplitude_A": 0.1, "frames": 2}],
        "labeler": {"kind": "command", "script_file": "label.py"},
        "potential": {"kind": "deepmd"},
        "explorer": {"kind": "lammps", "duration_ps": [1.0], "temperature_K": [300.0]},
        "select": [
            {"kind": "overlap"},
            {"kind": "window", "keep": "all"},
            {"kind": "random"},
            {"kind": "difference"},
            {"kind": "budget", "cap": 2},
        ],
    }
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(campaign))
    keys = []
    for text in (EMT_SCRIPT, EMT_SCRIPT + "# changed\n"):
        (tmp_path / "label.py").write_text(text)
        options: Any = load_campaign(tmp_path / "campaign.yaml").campaign.labeler
        assert (options.script, options.script_file) == (text, None)
        keys.append(CommandLabeler(options, Settings()).key(molecule("H2O")))
    assert keys[0] != keys[1]
