"""A labeler that drives dynamics by the calculator that it offers."""

from __future__ import annotations

from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

from sparc_fw.errors import InputError, MissingDependency
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


def check_driver(options: LabelerOptions, settings: Settings, frame: Atoms, where: str) -> None:
    """Raise `InputError`, told where, for a driver that lacks something here, refuses a frame, or drives nothing."""
    driver = make_driver(options, settings)
    missing = driver.missing()
    if missing:
        raise MissingDependency(f"{where}: {missing[0]}")
    try:
        driver.check(frame)
        driver.calculator(*charge_and_spin(frame))
    except InputError as error:
        # The same error class, so that a missing package stays one.
        raise type(error)(f"{where}: {error}") from error
    except NotImplementedError as error:
        raise InputError(f"{where}: {error}; expected one that can, such as 'kind: xtb'") from error
