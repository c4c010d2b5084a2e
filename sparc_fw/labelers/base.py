"""The labeler interface."""

from __future__ import annotations

import socket
import time
from abc import abstractmethod
from typing import Any, ClassVar, TypeVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from sparc_fw.backend import Backend, Options
from sparc_fw.documents import Label, Reason, frame_hash, json_hash
from sparc_fw.errors import InputError
from sparc_fw.geometry.overlap import describe_overlap


class LabelerOptions(Options):
    """Options that every labeler has."""


LabelerOptionsType = TypeVar("LabelerOptionsType", bound=LabelerOptions)


class LabelError(Exception):
    """Raised inside a labeler when a calculation gives no trustworthy number.

    Parameters
    ----------
    reason : str
        From the closed list `sparc_fw.documents.Reason`.
    message : str
        The code's own last words.
    attempts : int
        How many calculations were tried.
    """

    def __init__(self, reason: Reason, message: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.reason = reason
        self.attempts = attempts


def charge_and_spin(frame: Atoms) -> tuple[int, int]:
    """Total charge (e) and number of unpaired electrons of a frame, from its ``info``; 0 where it does not say."""
    return int(frame.info.get("charge", 0)), int(frame.info.get("spin", 0))


def check_electrons(frame: Atoms) -> int:
    """Check that the electrons of a frame can have its spin; returns the number of unpaired electrons.

    Closed cores (of pseudopotentials and of tight binding) hold even numbers of electrons, so that all electrons can
    be counted.

    Raises
    ------
    InputError
        If the parity is wrong or there are not so many electrons.
    """
    charge, spin = charge_and_spin(frame)
    electrons = int(frame.numbers.sum()) - charge
    if electrons < 1 or not 0 <= spin <= electrons or (electrons - spin) % 2:
        raise InputError(
            f"spin: found {spin} unpaired electrons for {frame.get_chemical_formula()} with charge {charge}, which has "
            f"{electrons} electrons; expected an {'odd' if electrons % 2 else 'even'} number up to "
            f"{max(electrons, 0)}: change 'spin' or 'charge' of the system"
        )
    return spin


class Labeler(Backend[LabelerOptionsType]):
    """Computes reference energies and forces.

    Subclasses implement `calculate`, which is pure: the numbers of a frame never depend on the frames before it.
    """

    code: ClassVar[str]
    """Distribution whose version is recorded with each label."""

    @property
    def settings_hash(self) -> str:
        """Hash of all options that decide the numbers."""
        return json_hash(self.options.model_dump(mode="json"))

    def key(self, frame: Atoms) -> str:
        """Content hash of what is labelled and how: a label with this key is computed once."""
        return json_hash([frame_hash(frame), self.settings_hash])

    @abstractmethod
    def check(self, frame: Atoms) -> None:
        """Raise `InputError` if a frame can never be labelled: unknown element, wrong electron count."""

    @abstractmethod
    def calculate(self, frame: Atoms) -> tuple[float, np.ndarray, np.ndarray | None, int]:
        """Energy (eV), forces (n_atoms, 3) (eV/Å), stress (6,) (eV/Å^3) or None, and the number of attempts.

        Raises
        ------
        LabelError
            If the calculation did not end in a number that can be trusted.
        """

    @abstractmethod
    def version(self) -> str:
        """Version of the code that computes."""

    def calculator(self, charge: int = 0, spin: int = 0) -> Calculator:
        """An ASE calculator with the same settings, to drive cheap dynamics.

        Raises
        ------
        NotImplementedError
            If the labeler has none.
        """
        raise NotImplementedError(f"the labeler '{self.options.kind}' cannot drive dynamics")

    def _calculate(self, frame: Atoms) -> tuple[float, np.ndarray, np.ndarray | None, int]:
        try:
            return self.calculate(frame)
        except (ArithmeticError, ValueError, RuntimeError) as error:
            # What a code raises when its numbers go astray; one such frame must not end the campaign.
            raise LabelError("crashed", f"{self.code}: {type(error).__name__}: {error}") from error

    def label(self, frame: Atoms) -> Label:
        """Label one frame; failures are labels too, with status ``failed``."""
        started = time.perf_counter()
        common: dict[str, Any] = {
            "frame": frame,
            "code": self.code,
            "version": self.version(),
            "host": socket.gethostname(),
            "key": self.key(frame),
        }
        try:
            self._refuse_broken(frame)
            energy, forces, stress, attempts = self._calculate(frame)
            if not (np.isfinite(energy) and np.isfinite(forces).all()):
                raise LabelError("nan", "energy or forces are not finite", attempts)
        except LabelError as error:
            return Label(
                status="failed",
                reason=error.reason,
                message=str(error),
                attempts=error.attempts,
                seconds=time.perf_counter() - started,
                **common,
            )
        return Label(
            status="ok",
            energy=float(energy),
            forces=np.asarray(forces, dtype=float),
            stress=stress,
            attempts=attempts,
            seconds=time.perf_counter() - started,
            **common,
        )

    @staticmethod
    def _refuse_broken(frame: Atoms) -> None:
        """Raise `LabelError` for a frame on which no code is worth starting."""
        if not np.isfinite(frame.positions).all():
            raise LabelError("bad_input", "positions are not finite", attempts=0)
        overlap = describe_overlap(frame)
        if overlap is not None:
            raise LabelError("overlap", overlap, attempts=0)
