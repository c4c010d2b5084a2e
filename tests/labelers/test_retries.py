"""Rules for a further attempt, the force cap, and folders of external programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from ase import Atoms
from pydantic import Field, ValidationError

from sparc_fw.labelers.base import Labeler, LabelerOptions, LabelError, Numbers
from sparc_fw.labelers.external import calculation_folder, run_program
from sparc_fw.settings import Settings


class PickyOptions(LabelerOptions):
    kind: Literal["picky"] = "picky"
    mixing: float = Field(0.5, gt=0)
    force: float = 1.0
    astray: Literal["forces", "stress"] | None = None


class Picky(Labeler[PickyOptions]):
    """Converges with a mixing below 0.2 only."""

    Options = PickyOptions
    code = "numpy"
    own_retries: ClassVar[Any] = {"not_converged": [{"mixing": 0.3}, {"mixing": 0.1}]}

    def check(self, frame: Atoms) -> None:
        """Any frame will do."""

    def version(self) -> str:
        return "1"

    def calculate(self, frame: Atoms) -> Numbers:
        if self.options.mixing > 0.2:
            raise LabelError("not_converged", f"mixing {self.options.mixing:g} oscillates")
        forces = np.full((len(frame), 3), self.options.force)
        if self.options.astray is None:
            return -1.0, forces, None, 1
        numbers = {"forces": forces, "stress": np.zeros(6)}
        numbers[self.options.astray].flat[-1] = np.nan
        return -1.0, numbers["forces"], numbers["stress"], 1


FRAME = Atoms("H2", [(0, 0, 0), (0, 0, 0.8)])


def label(**options: Any) -> Any:
    return Picky(PickyOptions.model_validate(options), Settings()).label(FRAME)


def test_the_labelers_own_rules_are_tried_in_order() -> None:
    found = label()
    assert (found.status, found.attempts, found.energy) == ("ok", 3, -1.0)


def test_a_campaign_can_set_its_own_rules() -> None:
    found = label(retries={"not_converged": [{"mixing": 0.4}]})
    assert (found.status, found.reason, found.attempts) == ("failed", "not_converged", 2)
    assert found.message == 'mixing 0.5 oscillates\nagain with {"mixing": 0.4}: mixing 0.4 oscillates'
    assert label(retries={}).attempts == 1


@pytest.mark.parametrize("changes", [{"mixign": 0.1}, {"mixing": -1}])
def test_rules_that_are_no_options_are_bad_input(changes: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=r"retries\.not_converged: mixi"):
        PickyOptions.model_validate({"retries": {"not_converged": [changes]}})


def test_a_force_beyond_the_cap_fails_the_label() -> None:
    found = label(mixing=0.1, force=30.0)
    assert (found.status, found.reason, found.energy) == ("failed", "force_cap", None)
    assert "a force of 51.96 eV/Å is above force_cap, 30 eV/Å" in found.message
    assert label(mixing=0.1, force=30.0, force_cap=None).status == "ok"


@pytest.mark.parametrize("astray", ["forces", "stress"])
def test_numbers_that_are_not_finite_fail_the_label(astray: str) -> None:
    found = label(mixing=0.1, astray=astray)
    assert (found.status, found.reason, found.message) == ("failed", "nan", f"not finite: {astray}")


def test_rules_that_change_numbers_and_the_cap_are_part_of_the_key() -> None:
    variants: list[dict[str, Any]] = [{}, {"force_cap": 20.0}, {"retries": {"not_converged": [{"force": 2.0}]}}]
    keys = {label(**options).key for options in variants}
    assert len(keys) == 3
    assert label(retries={}).key == label().key


def test_a_folder_stays_where_a_calculation_failed(tmp_path: Path) -> None:
    labeler = Picky(PickyOptions(), Settings())
    with labeler.open(tmp_path):
        with calculation_folder(labeler, FRAME) as good:
            assert good.parent == tmp_path
        assert not good.exists()
        with pytest.raises(LabelError), calculation_folder(labeler, FRAME) as bad:
            _fail_in(bad)
        with calculation_folder(labeler, FRAME) as third:
            assert third != bad
    assert (bad / "output").read_text() == "last words"


def _fail_in(folder: Path) -> None:
    (folder / "output").write_text("last words")
    raise LabelError("crashed", "it crashed")


def test_a_program_that_runs_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"sleep ran longer than 0\.2 s") as caught:
        run_program(["/bin/sleep", "60"], tmp_path, {}, tmp_path / "log", 0.2)
    assert caught.value.reason == "timeout"
    assert run_program(["/bin/false"], tmp_path, {}, tmp_path / "log", 10.0) == 1
