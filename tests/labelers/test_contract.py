"""What every labeler promises."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from external_codes import cp2k, hydrogen, qe
from sparc_fw.errors import InputError
from sparc_fw.labelers.ase_calculator import ASELabeler, ASEOptions
from sparc_fw.labelers.base import Labeler
from sparc_fw.labelers.cp2k import CP2KLabeler
from sparc_fw.labelers.pyscf import PySCFLabeler, PySCFOptions
from sparc_fw.labelers.qe import QELabeler
from sparc_fw.labelers.vasp import VASPLabeler, VASPOptions
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings
from vasp_setup import vasp_settings

Make = Callable[..., Labeler[Any]]


def make_pyscf(**options: Any) -> PySCFLabeler:
    return PySCFLabeler(PySCFOptions.model_validate(options), Settings())


def make_xtb(**options: Any) -> XTBLabeler:
    return XTBLabeler(XTBOptions.model_validate(options), Settings())


def make_cp2k(**options: Any) -> CP2KLabeler:
    return cp2k(**options)


def make_qe(**options: Any) -> QELabeler:
    return qe(**options)


PYSCF = pytest.param(make_pyscf, id="pyscf")
XTB = pytest.param(make_xtb, id="xtb")
CP2K = pytest.param(make_cp2k, id="cp2k", marks=pytest.mark.slow)
QE = pytest.param(make_qe, id="qe", marks=pytest.mark.slow)
TOO_FEW_STEPS: dict[str, dict[str, Any]] = {
    "pyscf": {"max_cycle": 1, "second_order": False, "retries": {}},
    "xtb": {"max_iterations": 2, "retries": {}},
    "cp2k": {"max_scf": 2, "retries": {}},
    "qe": {"electron_maxstep": 2, "retries": {}},
}
UNKNOWN_KEYWORD: dict[str, dict[str, Any]] = {
    "cp2k": {"overrides": {"FORCE_EVAL": {"DFT": {"NONSENSE": 1}}}},
    "qe": {"namelists": {"system": {"nonsense": 1}}},
}


def bent_water() -> Atoms:
    """Water away from its minimum, without symmetry."""
    frame = molecule("H2O")
    frame.positions[1] += (0.05, 0.1, -0.08)
    return frame


def crystal(kind: str) -> Atoms:
    """A cheap distorted crystal; plane waves converge faster for silicon than for hydrogen."""
    if kind == "cp2k":
        frame = hydrogen()
        frame.set_cell([3.2, 3.0, 3.4])
        frame.pbc = True
        return frame
    frame = bulk("Si")
    frame.positions[1] += (0.05, 0.02, -0.03)
    return frame


def make_vasp(**options: Any) -> VASPLabeler:
    pytest.importorskip("custodian", reason="custodian is not installed: pip install 'sparc_fw[vasp]'")
    return VASPLabeler(VASPOptions(incar="ENCUT = 400"), vasp_settings(Path("vasp").absolute()))


def make_mopac(**options: Any) -> ASELabeler:
    if shutil.which("mopac") is None:
        pytest.skip("mopac is not installed")
    arguments = {"method": "PM7", "task": "1SCF GRADIENTS"}
    return ASELabeler(ASEOptions(calculator="mopac", electrons="initial", arguments=arguments), Settings())


VASP = pytest.param(make_vasp, id="vasp")
MOPAC = pytest.param(make_mopac, id="mopac")


@pytest.fixture(params=[PYSCF, XTB, CP2K, QE])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture(params=[PYSCF, XTB, CP2K, QE, VASP, MOPAC])
def labeler(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Labeler[Any]]:
    """Open, as it is in a campaign."""
    made: Make = request.param
    labeler = made()
    with labeler.open(tmp_path / "label"):
        yield labeler


def test_forces_are_minus_the_slope_of_the_energy(labeler: Labeler[Any]) -> None:
    frame, step = bent_water(), 2e-3
    forces = labeler.label(frame).forces
    assert forces is not None
    for atom, axis in ((0, 2), (1, 0)):
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
    assert label.stress is None, "a molecule has none"


def test_repeats_to_the_bit_whatever_was_labelled_before(labeler: Labeler[Any]) -> None:
    first = labeler.label(bent_water())
    labeler.label(molecule("H2"))
    again = labeler.label(bent_water())
    assert first.energy == again.energy
    assert first.forces is not None
    assert again.forces is not None
    assert first.forces.tobytes() == again.forces.tobytes()


def test_forces_are_in_the_order_of_the_atoms(labeler: Labeler[Any]) -> None:
    frame = bent_water()
    order = [1, 0, 2]
    forces, mixed = labeler.label(frame).forces, labeler.label(frame[order]).forces
    assert forces is not None
    assert frame[order].get_chemical_symbols() == ["H", "O", "H"]
    assert mixed == pytest.approx(forces[order], abs=1e-3)


@pytest.mark.parametrize("make", [XTB, CP2K, QE])
def test_stress_is_the_slope_of_the_energy_with_strain(make: Make, tmp_path: Path) -> None:
    labeler = make()
    frame = crystal(labeler.options.kind)
    with labeler.open(tmp_path / "label"):
        stress = labeler.label(frame).stress
        assert stress is not None
        for component, (row, column) in ((0, (0, 0)), (3, (1, 2))):
            slope = slope_with_strain(labeler, frame, row, column)
            assert stress[component] == pytest.approx(slope, abs=2e-4)


def slope_with_strain(labeler: Labeler[Any], frame: Atoms, row: int, column: int) -> float:
    """Derivative of the energy by a symmetric strain, per volume, eV/Å^3, by central differences."""
    step, energies = 1e-3, []
    for sign in (1, -1):
        strain = np.eye(3)
        strain[row, column] += sign * step / 2
        strain[column, row] += sign * step / 2
        strained = frame.copy()
        strained.set_cell(frame.cell.array @ strain, scale_atoms=True)
        energies.append(labeler.calculate(strained)[0])
    return float((energies[0] - energies[1]) / (2 * step) / frame.get_volume())


def test_unconverged_is_a_failed_label(make: Make) -> None:
    kind = make().options.kind
    label = make(**TOO_FEW_STEPS[kind]).label(bent_water())
    assert (label.status, label.reason, label.energy, label.forces) == ("failed", "not_converged", None, None)
    assert "onverge" in label.message


@pytest.mark.parametrize("make", [CP2K, QE])
def test_a_calculation_that_takes_too_long_is_ended(make: Make, tmp_path: Path) -> None:
    labeler = make(timeout_seconds=0.3)
    with labeler.open(tmp_path / "label"):
        label = labeler.label(bent_water())
        assert (label.status, label.reason, label.energy) == ("failed", "timeout", None)
        assert processes_in(tmp_path) == []
    assert "longer than" in label.message


@pytest.mark.parametrize("make", [CP2K, QE])
def test_a_crash_is_told_in_the_words_of_the_code(make: Make, tmp_path: Path) -> None:
    kind = make().options.kind
    labeler = make(**UNKNOWN_KEYWORD[kind])
    with labeler.open(tmp_path / "label"):
        label = labeler.label(bent_water())
        assert (label.status, label.reason, label.energy) == ("failed", "crashed", None)
        assert "nonsense" in label.message.lower()
        assert len(list((tmp_path / "label").glob("*-0/*.in*"))) == 1, "the input stays for its user"


def processes_in(folder: Path) -> list[str]:
    """Processes that work in a folder or below."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve(strict=True).is_relative_to(folder) and process.name != str(os.getpid()):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


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
