"""Other ways to a number: where the label was right, all of them lead to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from external_codes import cp2k, hydrogen, qe
from sparc_fw.campaign import Suspects
from sparc_fw.labelers.base import Labeler
from sparc_fw.labelers.pyscf import PySCFLabeler, PySCFOptions
from sparc_fw.labelers.vasp import VASPLabeler, VASPOptions
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings
from sparc_fw.suspicion import judge
from vasp_setup import vasp_settings


def oxygen() -> Atoms:
    frame = molecule("O2")
    frame.info["spin"] = 2
    return frame


@pytest.mark.parametrize(
    ("make", "frame"),
    [
        pytest.param(lambda: PySCFLabeler(PySCFOptions(basis="sto-3g"), Settings()), molecule("H2O"), id="pyscf"),
        pytest.param(lambda: XTBLabeler(XTBOptions(), Settings()), molecule("H2O"), id="xtb"),
        pytest.param(cp2k, hydrogen(), id="cp2k", marks=pytest.mark.slow),
        pytest.param(qe, molecule("H2O"), id="qe", marks=pytest.mark.slow),
    ],
)
def test_where_the_label_is_right_every_recheck_finds_its_numbers(
    make: Callable[[], Labeler[Any]], frame: Atoms
) -> None:
    labeler, options = make(), Suspects()
    first = labeler.label(frame)
    assert first.status == "ok", first.message
    assert len(labeler.rechecks) >= 2
    for changes in labeler.rechecks:
        given = labeler.options.model_dump()
        other = type(labeler)(type(labeler.options).model_validate({**given, **changes}), Settings())
        assert other.settings_hash != labeler.settings_hash
        again = other.label(frame)
        assert judge(first, again, 0.0, options) == ("confirmed", "a second calculation gave the same numbers")
        assert again.energy == pytest.approx(first.energy, abs=options.tolerance_eV / 1000)
        assert np.abs(again.forces - first.forces).max() < options.tolerance_eV_per_A / 20  # type: ignore[operator]


def test_vasp_begins_elsewhere_and_goes_another_way(tmp_path: Path) -> None:
    pytest.importorskip("custodian", reason="custodian is not installed")
    options = VASPOptions(input_set="MPStaticSet", user_incar_settings={"ENCUT": 450, "IALGO": 38})
    labeler = VASPLabeler(options, vasp_settings(tmp_path))
    first = labeler.input(oxygen()).incar
    for changes, tags in zip(
        labeler.rechecks,
        [{"ALGO": "All", "ICHARG": 0}, {"ALGO": "Normal", "ICHARG": 2}],
        strict=True,
    ):
        incar = VASPLabeler(options.model_copy(update=changes), labeler.settings).input(oxygen()).incar
        assert {tag: incar[tag] for tag in tags} == tags
        assert (incar["ISTART"], incar["MAGMOM"], incar["NUPDOWN"]) == (0, [1.5, 1.5], 2)
        technical = {"ALGO", "IALGO", "ICHARG", "ISTART", "MAGMOM"}
        assert {tag: incar[tag] for tag in incar if tag not in technical} == {
            tag: first[tag] for tag in first if tag not in technical
        }
    label = labeler.label(oxygen())
    assert judge(label, labeler.recheck(oxygen()), 0.0, Suspects())[0] == "confirmed"
