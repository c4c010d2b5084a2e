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
from sparc_fw.labelers.cp2k import CP2KLabeler, CP2KOptions
from sparc_fw.labelers.pyscf import PySCFLabeler, PySCFOptions
from sparc_fw.labelers.qe import QELabeler, QEOptions
from sparc_fw.labelers.vasp import VASPLabeler, VASPOptions
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings
from sparc_fw.suspicion import judge
from sparc_fw.testing import LOG, MorseLabeler, MorseOptions
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
    others = list(labeler.other_ways(frame))
    assert len(others) >= 2
    for other in others:
        assert other.settings_hash != labeler.settings_hash
        again = other.label(frame)
        assert judge(first, again, 0.0, options) == ("confirmed", "a second calculation gave the same numbers")
        assert again.energy == pytest.approx(first.energy, abs=options.tolerance_eV / 1000)
        assert np.abs(again.forces - first.forces).max() < options.tolerance_eV_per_A / 20  # type: ignore[operator]


def test_vasp_begins_elsewhere_and_goes_another_way(tmp_path: Path) -> None:
    pytest.importorskip("custodian", reason="custodian is not installed: pip install 'sparc_fw[vasp]'")
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


def test_vasp_goes_no_way_twice() -> None:
    def ways(incar: str) -> list[tuple[Any, Any]]:
        others = VASPLabeler(VASPOptions(incar=incar), Settings()).other_ways(molecule("H2O"))
        return [(other.options.algorithm, other.options.start) for other in others]

    both = [("All", "orbitals"), ("Normal", "atoms")]
    assert ways("ENCUT = 400\nALGO = Fast") == both
    assert ways("ENCUT = 400") == both[:1]
    assert ways("ENCUT = 400\nalgo = all ! the way\nICHARG = 0\nNCORE = 4") == both[1:]


SCF = {"SCF_GUESS": "restart", "EPS_SCF": 1e-4, "MAX_SCF": 30, "MIXING": {"ALPHA": 0.4, "NBUFFER": 9}}


def words_of_cp2k(labeler: CP2KLabeler) -> set[str]:
    return {line.strip() for line in labeler.input_text(hydrogen()).splitlines()}


def test_overrides_of_cp2k_do_not_make_a_second_calculation_the_first_one() -> None:
    labeler = CP2KLabeler(CP2KOptions(overrides={"Force_Eval": {"dft": {"SCF": SCF}}}), Settings())
    assert {"SCF_GUESS restart", "EPS_SCF 0.0001", "MAX_SCF 30", "ALPHA 0.4"} <= words_of_cp2k(labeler)
    core, random, _ = (words_of_cp2k(other) for other in labeler.other_ways(hydrogen()))
    assert {"SCF_GUESS CORE", "EPS_SCF 1e-07", "MAX_SCF 30", "ALPHA 0.4"} <= core
    assert {"SCF_GUESS RANDOM", "EPS_SCF 0.0001", "MAX_SCF 40", "MINIMIZER CG"} <= random
    assert not {"ALPHA 0.4", "SCF_GUESS restart"} & random
    rules = labeler.own_retries["not_converged"]
    mixed, turned = (CP2KLabeler(labeler.options.attempting(changes), Settings()) for changes in rules)
    assert {"ALPHA 0.1", "NBUFFER 9", "MAX_SCF 200", "SCF_GUESS restart"} <= words_of_cp2k(mixed)
    assert {"MAX_SCF 40", "MINIMIZER CG"} <= words_of_cp2k(turned)
    assert not {"ALPHA 0.4", "MAX_SCF 30"} & (words_of_cp2k(mixed) | words_of_cp2k(turned))


def test_cp2k_goes_no_way_twice() -> None:
    given: dict[str, Any] = {"guess": "core", "eps_scf": 1e-7}
    written = {"FORCE_EVAL": {"DFT": {"SCF": {"SCF_GUESS": "core", "EPS_SCF": "1.0E-7", "MAX_SCF": 99}}}}
    for options in (CP2KOptions(**given), CP2KOptions(overrides=written)):
        labeler = CP2KLabeler(options, Settings())
        assert [other.options.guess for other in labeler.other_ways(hydrogen())] == ["random", "random"]


def test_namelists_of_qe_do_not_make_a_second_calculation_the_first_one(tmp_path: Path) -> None:
    (tmp_path / "H.UPF").write_text("a pseudopotential")
    electrons = {"Mixing_Beta": 0.4, "startingwfc": "atomic", "electron_maxstep": 30, "mixing_ndim": 4}
    options = QEOptions(pseudopotentials={"H": "H.UPF"}, namelists={"electrons": electrons})
    labeler = QELabeler(options, Settings(pseudo_dir=tmp_path))

    def words(other: QELabeler) -> dict[str, Any]:
        return other._namelists(hydrogen())["electrons"]

    first = words(labeler)
    assert [first[key] for key in ("mixing_beta", "startingwfc", "electron_maxstep")] == [0.4, "atomic", 30]
    others = list(labeler.other_ways(hydrogen()))
    assert len(others) == 2
    for other in others:
        found = words(other)
        assert [found[key] for key in ("mixing_beta", "startingwfc", "conv_thr", "mixing_ndim")] == [
            0.3,
            "random",
            1e-10,
            4,
        ]
    again = QELabeler(options.attempting({"mixing_beta": 0.1, "electron_maxstep": 200}), labeler.settings)
    assert [words(again)[key] for key in ("mixing_beta", "electron_maxstep", "mixing_ndim")] == [0.1, 200, 4]
    # Whatever says it, from there no other way is known, and none is gone twice.
    electrons |= {"Mixing_Beta": 0.3, "startingwfc": "random", "conv_thr": 1e-10}
    by_words = {"namelists": {"electrons": electrons}, "starting_density": "ions"}
    alone = QELabeler(QEOptions.model_validate(options.model_dump() | by_words), labeler.settings)
    assert [other.options.starting_density for other in alone.other_ways(hydrogen())] == []


def test_xtb_begins_from_the_guess_that_was_not_the_first() -> None:
    def ways(**options: Any) -> list[tuple[str, float]]:
        others = XTBLabeler(XTBOptions(**options), Settings()).other_ways(molecule("H2O"))
        return [(other.options.guess, other.options.accuracy) for other in others]

    assert ways() == [("eeq", 0.1), ("eeq", 1.0)]
    assert ways(guess="eeq") == [("sad", 0.1), ("sad", 1.0)]
    assert ways(guess="eeq", accuracy=0.1) == [("sad", 0.1)]


def test_where_no_other_way_is_known_nothing_is_computed_and_nothing_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    labeler = MorseLabeler(MorseOptions(backwards=True), Settings())
    label = labeler.label(hydrogen())
    again = labeler.recheck(hydrogen())
    assert again is None
    assert len((tmp_path / "log").read_text().split()) == 1
    verdict, why = judge(label, again, 0.0, Suspects())
    assert verdict == "unchecked"
    assert "would do the first one over again" in why
