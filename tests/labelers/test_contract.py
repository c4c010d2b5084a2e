"""What every labeler promises."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from sparc_fw.errors import InputError
from sparc_fw.labelers.ase_calculator import ASELabeler, ASEOptions
from sparc_fw.labelers.base import Labeler
from sparc_fw.labelers.pyscf import PySCFLabeler, PySCFOptions
from sparc_fw.labelers.vasp import VASPLabeler, VASPOptions
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings
from vasp_setup import vasp_settings

Make = Callable[[], Labeler[Any]]


def make_pyscf() -> PySCFLabeler:
    return PySCFLabeler(PySCFOptions(), Settings())


def make_xtb() -> XTBLabeler:
    return XTBLabeler(XTBOptions(), Settings())


def bent_water() -> Atoms:
    """Water away from its minimum, without symmetry."""
    frame = molecule("H2O")
    frame.positions[1] += (0.05, 0.1, -0.08)
    return frame


def make_vasp() -> VASPLabeler:
    pytest.importorskip("custodian", reason="custodian is not installed")
    return VASPLabeler(VASPOptions(incar="ENCUT = 400"), vasp_settings(Path("vasp").absolute()))


def make_mopac() -> ASELabeler:
    if shutil.which("mopac") is None:
        pytest.skip("mopac is not installed")
    arguments = {"method": "PM7", "task": "1SCF GRADIENTS"}
    return ASELabeler(ASEOptions(calculator="mopac", electrons="initial", arguments=arguments), Settings())


@pytest.fixture(params=[make_pyscf, make_xtb, make_vasp, make_mopac], ids=["pyscf", "xtb", "vasp", "mopac"])
def labeler(request: pytest.FixtureRequest) -> Labeler[Any]:
    make: Make = request.param
    return make()


def test_forces_are_minus_the_slope_of_the_energy(labeler: Labeler[Any]) -> None:
    frame, step = bent_water(), 2e-3
    forces = labeler.label(frame).forces
    assert forces is not None
    for atom, axis in ((0, 2), (1, 0), (2, 1)):
        energies = []
        for sign in (1, -1):
            moved = frame.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(labeler.calculate(moved)[0])
        assert forces[atom, axis] == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=2e-3)


def test_a_label_says_how_it_came_about(labeler: Labeler[Any]) -> None:
    label = labeler.label(bent_water())
    assert (label.status, label.reason, label.attempts) == ("ok", None, 1)
    assert label.code == labeler.code
    assert label.version == labeler.version() != "not installed"
    assert label.key == labeler.key(bent_water())
    assert label.seconds > 0


def test_repeats_to_the_bit_whatever_was_labelled_before(labeler: Labeler[Any]) -> None:
    first = labeler.label(bent_water())
    labeler.label(molecule("NH3"))
    again = labeler.label(bent_water())
    assert first.energy == again.energy
    assert first.forces is not None
    assert again.forces is not None
    assert first.forces.tobytes() == again.forces.tobytes()


def test_overlapping_atoms_fail_without_a_calculation(labeler: Labeler[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labeler, "calculate", lambda frame: pytest.fail("the code was started"))
    frame = bent_water()
    frame.positions[1] = frame.positions[0] + (0.2, 0, 0)
    label = labeler.label(frame)
    assert (label.status, label.reason, label.energy, label.attempts) == ("failed", "overlap", None, 0)
    assert "atoms 0 (O) and 1 (H) are 0.200 Å apart" in label.message


def test_positions_that_are_not_finite_fail(labeler: Labeler[Any]) -> None:
    frame = bent_water()
    frame.positions[2, 0] = np.nan
    assert labeler.label(frame).reason == "bad_input"


def test_odd_number_of_electrons_with_spin_0_is_refused(labeler: Labeler[Any]) -> None:
    with pytest.raises(InputError, match="found 0 unpaired electrons for CH3 with charge 0, which has 9 electrons"):
        labeler.check(molecule("CH3"))


@pytest.mark.parametrize(("charge", "spin"), [(0, 1), (1, 0), (0, 12), (-1, 3)])
def test_charge_and_spin(labeler: Labeler[Any], charge: int, spin: int) -> None:
    frame = bent_water()
    frame.info.update(charge=charge, spin=spin)
    if (charge, spin) == (-1, 3):
        labeler.check(frame)
        return
    with pytest.raises(InputError, match="'spin' or 'charge' of the system"):
        labeler.check(frame)


def test_charge_and_spin_decide_numbers_and_key(labeler: Labeler[Any]) -> None:
    neutral, cation = bent_water(), bent_water()
    cation.info.update(charge=1, spin=1)
    neutral_label, cation_label = labeler.label(neutral), labeler.label(cation)
    assert neutral_label.energy is not None
    assert cation_label.energy is not None
    # The vertical ionisation energy of water is 12.6 eV; xTB puts it some eV higher.
    assert 11 < cation_label.energy - neutral_label.energy < 19
    assert neutral_label.key != cation_label.key


def test_key_stays_under_a_change_of_nothing(labeler: Labeler[Any]) -> None:
    frame = bent_water()
    shifted = bent_water()
    shifted.positions += 1e-9
    shifted.info["note"] = "not physics"
    assert labeler.key(shifted) == labeler.key(frame)
    shifted.positions[0, 0] += 1e-4
    assert labeler.key(shifted) != labeler.key(frame)
