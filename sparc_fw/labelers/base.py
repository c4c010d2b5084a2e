"""The labeler interface."""

from __future__ import annotations

import socket
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from sparc_fw.backend import Backend, Options
from sparc_fw.documents import Label, Reason, frame_hash, json_hash


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
            energy, forces, stress, attempts = self.calculate(frame)
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

    def label_all(self, frames: Sequence[Atoms], done: Callable[[int], None] | None = None) -> Iterator[Label]:
        """Label frames one after the other, yielding each as soon as it is there."""
        for count, frame in enumerate(frames, start=1):
            yield self.label(frame)
            if done is not None:
                done(count)
