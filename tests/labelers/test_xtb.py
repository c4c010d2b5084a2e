"""Tblite: known energies, periodic systems, and charges that do not converge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from sparc_fw.errors import InputError
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings


def labeler(**options: Any) -> XTBLabeler:
    return XTBLabeler(XTBOptions(**options), Settings())


@pytest.mark.parametrize(("method", "energy"), [("GFN2-xTB", -137.96777594), ("GFN1-xTB", -156.96750577)])
def test_energy_of_water_as_tblite_documents_it(method: str, energy: float) -> None:
    assert labeler(method=method).label(molecule("H2O")).energy == pytest.approx(energy, abs=1e-5)


def test_charges_that_do_not_converge_are_a_failed_label() -> None:
    label = labeler(max_iterations=2, retries={}).label(molecule("H2O"))
    assert (label.status, label.reason, label.energy) == ("failed", "not_converged", None)
    assert label.message == "tblite: SCF not converged in 2 cycles"


def test_more_iterations_with_more_damping_are_tried_after_another_guess() -> None:
    label = labeler(max_iterations=4).label(molecule("H2O"))
    assert (label.status, label.attempts) == ("ok", 3)
    assert label.energy == pytest.approx(labeler().label(molecule("H2O")).energy, abs=1e-4)


def test_another_guess_starts_elsewhere_and_arrives_at_the_same_place() -> None:
    frame = molecule("CH3OH")
    usual, other = labeler().label(frame), labeler(guess="eeq").label(frame)
    assert other.energy != usual.energy
    assert other.energy == pytest.approx(usual.energy, abs=1e-4)
    assert other.key != usual.key


def test_calculator_agrees_with_the_labels() -> None:
    frame = molecule("CH3")
    frame.info["spin"] = 1
    label = labeler(method="GFN1-xTB").label(frame)
    frame.calc = labeler(method="GFN1-xTB").calculator(spin=1)
    assert frame.get_potential_energy() == pytest.approx(label.energy, abs=1e-6)
    assert frame.get_forces() == pytest.approx(label.forces, abs=1e-5)


def test_electronic_temperature_reaches_tblite() -> None:
    frame = molecule("O2")
    cold, hot = labeler().label(frame).energy, labeler(electronic_temperature_K=5000).label(frame).energy
    assert cold is not None
    assert hot is not None
    assert hot < cold - 0.01


def test_element_without_parameters_is_named() -> None:
    with pytest.raises(InputError, match="no parameters for element U"):
        labeler().check(Atoms("UH6", np.arange(21).reshape(7, 3)))


@pytest.mark.parametrize(("cell", "pbc"), [((0, 0, 0), True), ((4, 4, 0), (True, True, False))])
def test_a_periodic_frame_without_its_cell_is_bad_input(cell: Any, pbc: Any) -> None:
    frame = Atoms("H2", [(0, 0, 0), (0, 0, 0.8)], cell=cell, pbc=pbc)
    with pytest.raises(InputError, match=r"labeler xtb: found a periodic frame, .* expected three cell vectors"):
        labeler().check(frame)
    assert labeler().label(frame).reason == "bad_input"
