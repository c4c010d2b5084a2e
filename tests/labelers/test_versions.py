"""Keys that hold the version of the code: known before anything is computed, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ase.build import molecule

from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.labelers.ase_calculator import ASELabeler, ASEOptions
from sparc_fw.labelers.command import CommandLabeler, CommandOptions
from sparc_fw.labelers.cp2k import CP2KLabeler, CP2KOptions
from sparc_fw.labelers.qe import QELabeler, QEOptions
from sparc_fw.labelers.vasp import VASPLabeler, VASPOptions
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings
from vasp_setup import vasp_settings

WATER = molecule("H2O")


def program(path: Path, says: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("labeler", "options", "setting", "says"),
    [
        (CP2KLabeler, CP2KOptions, "cp2k_command", " CP2K version {}"),
        (QELabeler, QEOptions, "pw_command", "     Program PWSCF v.{} starts on"),
    ],
)
def test_programs_are_asked_for_their_version(
    labeler: Any, options: Any, setting: str, says: str, tmp_path: Path
) -> None:
    keys = []
    for place, version in (("here", "2.1"), ("there", "2.1"), ("elsewhere", "2.2")):
        settings = Settings.model_validate({setting: program(tmp_path / place / "code", says.format(version))})
        keys.append(labeler(options(key_with_version=True), settings).key(WATER))
        assert labeler(options(), settings).key(WATER) not in keys
    assert keys[0] == keys[1] != keys[2]
    silent = Settings.model_validate({setting: program(tmp_path / "silent" / "code", "hello")})
    with pytest.raises(InputError, match=r"key_with_version: found the version of .* unknown, expected"):
        labeler(options(key_with_version=True), silent).key(WATER)


def test_packages_know_their_version(monkeypatch: pytest.MonkeyPatch) -> None:
    labeler = XTBLabeler(XTBOptions(key_with_version=True), Settings())
    here = labeler.key(WATER)
    assert labeler.label(WATER).key == here
    monkeypatch.setattr(labeler, "version", lambda: "99")
    assert labeler.key(WATER) != here


def test_what_runs_a_program_must_be_told_its_version() -> None:
    def key(**options: Any) -> str:
        return ASELabeler(ASEOptions(key_with_version=True, **options), Settings()).key(WATER)

    with pytest.raises(InputError, match="expected the version of the program that 'mopac' runs"):
        key(calculator="mopac")
    assert key(calculator="mopac", code_version="22") != key(calculator="mopac", code_version="23")
    assert key(calculator="emt") == key(calculator="emt")
    with pytest.raises(ValueError, match="key_with_version: found it without code_version"):
        CommandOptions(command="label {input} {output}", key_with_version=True)
    commands = [
        CommandOptions(command="label", key_with_version=True, code_version=version) for version in ("1", "1", "2")
    ]
    keys = [CommandLabeler(options, Settings()).key(WATER) for options in commands]
    assert keys[0] == keys[1] != keys[2]


def test_vasp_computes_with_the_version_that_keys_hold(tmp_path: Path) -> None:
    pytest.importorskip("custodian", reason="custodian is not installed: pip install 'sparc_fw[vasp]'")
    with pytest.raises(
        ValueError, match="key_with_version: found it without code_version, expected the version of VASP"
    ):
        VASPOptions(input_set="MPStaticSet", key_with_version=True)

    def labeler(version: str) -> VASPLabeler:
        options = VASPOptions(incar="ENCUT = 400", key_with_version=True, code_version=version)
        return VASPLabeler(options, settings)

    settings = vasp_settings(tmp_path)
    right, other = labeler("0.0.1"), labeler("0.0")
    frames = [WATER, WATER.copy()]
    frames[1].positions[1, 1] += 0.1
    before = [right.key(frame) for frame in frames]
    labels = [right.label(frame) for frame in frames]
    assert [(label.status, label.version, label.key) for label in labels] == [("ok", "0.0.1", key) for key in before]
    assert [right.key(frame) for frame in frames] == before
    assert other.key(WATER) != before[0]
    other._refuse_other_version()  # 0.0.1 is a 0.0
    with pytest.raises(
        MissingDependency, match=r"code_version: found VASP 0\.0\.1, .* expected 6\.4\.2: set vasp_command"
    ):
        labeler("6.4.2").label(WATER)
