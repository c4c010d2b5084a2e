"""A labeler that drives dynamics, by the calculator that it offers or by its labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from sparc_fw.documents import Label
from sparc_fw.encoding import frame_info
from sparc_fw.errors import InputError, MissingDependency, named
from sparc_fw.labelers.base import Labeler, LabelerOptions, charge_and_spin
from sparc_fw.registry import backend_classes
from sparc_fw.settings import Settings


def make_driver(options: LabelerOptions, settings: Settings) -> Labeler[Any]:
    """The labeler of a driver's options."""
    driver = backend_classes("labeler")[options.kind](options, settings)
    assert isinstance(driver, Labeler)
    return driver


def driving_calculator(options: LabelerOptions, settings: Settings, frame: Atoms) -> Calculator:
    """The calculator of a driver for the charge and spin of a frame.

    Raises
    ------
    NotImplementedError
        If the labeler offers none.
    """
    return make_driver(options, settings).calculator(*charge_and_spin(frame))


class LabellingCalculator(Calculator):
    """Drives by labels: whatever it is asked for is labelled as every other frame is.

    So any labeler can drive, each step is worth as much as a label of that frame, and whoever hands in `label` can keep
    it, or know it already.

    Parameters
    ----------
    label : callable
        Gives the label of a frame.
    frame : Atoms
        Whose ``info`` (system, charge, spin) the frames have.
    """

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, label: Callable[[Atoms], Label], frame: Atoms) -> None:
        super().__init__()
        self._label = label
        self._info = frame_info(frame)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Label the frame; raises `CalculationFailed` where it has no good label."""
        super().calculate(atoms, properties, system_changes)
        here = self.atoms
        label = self._label(Atoms(here.numbers, here.positions, cell=here.cell, pbc=here.pbc, info=dict(self._info)))
        if label.status == "failed":
            raise CalculationFailed(f"{label.reason}: {label.message}")
        self.results = {"energy": label.energy, "forces": label.forces}
        if label.stress is not None:
            self.results["stress"] = label.stress


def check_driver(options: LabelerOptions, settings: Settings, frame: Atoms, where: str) -> None:
    """Raise `InputError`, told where, for a driver that lacks something here, refuses a frame, or drives nothing."""
    driver = make_driver(options, settings)
    missing = driver.missing()
    with named(where):
        if missing:
            raise MissingDependency(missing[0])
        driver.check(frame)
        try:
            driver.calculator(*charge_and_spin(frame))
        except NotImplementedError as error:
            raise InputError(f"{error}; expected one that can, such as 'kind: xtb'") from error
