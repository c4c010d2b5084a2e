"""The labeler interface."""

from __future__ import annotations

import json
import socket
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from typing_extensions import Self

from sparc_fw.backend import Backend
from sparc_fw.documents import Label, Reason, json_hash
from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.labelers.electrons import charge_and_spin as charge_and_spin
from sparc_fw.labelers.electrons import check_electrons as check_electrons
from sparc_fw.labelers.options import LabelerOptions as LabelerOptions
from sparc_fw.same_frames import frame_hash

Numbers = tuple[float, np.ndarray, np.ndarray | None, int]
"""Energy (eV), forces (n_atoms, 3) (eV/Å), stress (6,) (eV/Å^3) or None, and the number of attempts."""

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
    """Distribution or program whose version is recorded with each label."""
    own_retries: ClassVar[dict[Reason, list[dict[str, Any]]]] = {}
    """What is tried again where the campaign names no rules of its own."""
    rechecks: ClassVar[list[dict[str, Any]]] = []
    """Options to change, one set after the other, to find out whether a number was that of a wrong electronic state:
    another guess first, stricter settings after; the same numbers must come out where it was not. Labelers that know
    nothing of how their numbers come about (``ase``, ``command``) have none; their suspects stay ``unchecked``."""
    suspected: ClassVar[bool] = True
    """Whether a number can be that of a wrong state: not where it solves no equations (``potential``)."""

    directory: Path | None = None
    """Where calculations may leave files while the labeler is open."""

    @property
    def cores(self) -> int:
        """Processor cores that a calculation uses here."""
        return self.settings.threads

    @contextmanager
    def open(self, directory: Path) -> Iterator[None]:
        """Hold what is worth keeping between frames (a running process, files in `directory`) while the context lasts.

        A labeler that is not open works all the same, each frame on its own.
        """
        self.directory = directory
        try:
            yield
        finally:
            self.directory = None
            self.close()

    def close(self) -> None:
        """End what `open` let live on."""

    @cached_property
    def settings_hash(self) -> str:
        """Hash of all that decides the numbers; labels of one hash belong together."""
        return json_hash(self.deciding())

    @cached_property
    def effort_hash(self) -> str:
        """Hash of how much is tried for a number."""
        return json_hash([self.effort(), self.own_retries if self.options.retries is None else None])

    def deciding(self) -> dict[str, Any]:
        """What decides the numbers, as plain values: options, and the content of files that they name."""
        return self.options.deciding()

    def effort(self) -> dict[str, Any]:
        """How much is tried for a number, as plain values."""
        return self.options.model_dump(mode="json", include=set(self.options.effort) - {"key_with_version"})

    @cached_property
    def like_atoms_alike(self) -> bool:
        """Whether atoms of one element are one to it, so that frames in which they are exchanged share a label.

        Their numbers may differ by no more than the noise of a calculation. A labeler that cannot know (``ase``,
        ``command``), or whose options name atoms by their numbers, says no, and every order is calculated.
        """
        return False

    def potentials_of(self, frame: Atoms) -> list[str]:
        """Hashes of what decides the numbers of a frame beside the settings, such as its elements' potentials."""
        return []

    def key(self, frame: Atoms) -> str:
        """Content hash of what is labelled and how: a label with this key is computed once."""
        version = [self.keyed_version()] if self.options.key_with_version else []
        content = frame_hash(frame, self.like_atoms_alike)
        return json_hash([content, self.settings_hash, *self.potentials_of(frame), *version])

    def keyed_version(self) -> str:
        """The version for keys, which are made before anything is computed.

        Raises
        ------
        InputError
            If it is not known by then.
        """
        version = self.version()
        if version in ("unknown", "not installed"):
            raise InputError(
                f"labeler {self.options.kind}: key_with_version: found the version of {self.code} {version}, expected "
                "one to make keys with: see that it runs here, or leave key_with_version out"
            )
        return version

    def way(self, frame: Atoms) -> str:
        """Hash of the way on which a code looks for a frame's numbers: on the same way it finds the same ones."""
        return self.settings_hash

    def other_ways(self, frame: Atoms) -> Iterator[Self]:
        """Labelers that look for a frame's numbers from another guess, after `rechecks`, none twice."""
        given, known = self.options.model_dump(), {self.way(frame)}
        for changes in self.rechecks:
            guess = changes.keys() & self.options.steering
            if guess and all(given[key] == changes[key] for key in guess):
                # Stricter, but from the guess that may have led astray.
                continue
            other = type(self)(self.options.changed(changes), self.settings)
            if other.way(frame) not in known:
                known.add(other.way(frame))
                yield other

    def recheck(self, frame: Atoms) -> Label | None:
        """Label a frame again on the first other way that gives a number; None where no other one is known.

        The rules for a further attempt hold here, too: a label that only they made converge is no worse for it.
        """
        label: Label | None = None
        for other in self.other_ways(frame):
            other.directory = self.directory
            try:
                label = other.label(frame)
            finally:
                other.close()
            if label.status == "ok":
                break
        return label

    @abstractmethod
    def check(self, frame: Atoms) -> None:
        """Raise `InputError` if a frame can never be labelled: unknown element, wrong electron count."""

    @abstractmethod
    def calculate(self, frame: Atoms) -> Numbers:
        """Energy (eV), forces (n_atoms, 3) (eV/Å), stress (6,) (eV/Å^3) or None, and the number of attempts.

        Raises
        ------
        LabelError
            If the calculation did not end in a number that can be trusted.
        """

    def limited(self, frame: Atoms) -> Numbers:
        """Calculate, within the limit of time where `calculate` cannot hold it by itself; raises as that does."""
        return self.calculate(frame)

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
        """Label one frame, with further attempts where rules ask for them; failures are labels, too."""
        started = time.perf_counter()
        common: dict[str, Any] = {
            "frame": frame,
            "code": self.code,
            "host": socket.gethostname(),
            "cores": self.cores,
            "settings_hash": self.settings_hash,
            "effort_hash": self.effort_hash,
            "key": self.key(frame),
        }
        try:
            self._refuse_broken(frame)
            energy, forces, stress, attempts = self._attempt(frame)
        except LabelError as error:
            return Label(
                status="failed",
                reason=error.reason,
                message=str(error),
                attempts=error.attempts,
                seconds=time.perf_counter() - started,
                version=self.version(),
                **common,
            )
        return Label(
            status="ok",
            energy=float(energy),
            forces=np.asarray(forces, dtype=float),
            stress=stress,
            attempts=attempts,
            seconds=time.perf_counter() - started,
            # Last: some programs tell it in their output alone.
            version=self.version(),
            **common,
        )

    def _attempt(self, frame: Atoms) -> Numbers:
        """Calculate, and again with changed options for as long as the rules for the last failure offer any."""
        rules = self.own_retries if self.options.retries is None else self.options.retries
        left = {reason: list(changes) for reason, changes in rules.items()}
        labeler, attempts, told = self, 0, ""
        while True:
            try:
                energy, forces, stress, made = labeler._calculate(frame)
                return energy, forces, stress, attempts + made
            except LabelError as error:
                attempts += error.attempts
                told += f"{error}"
                if not left.get(error.reason):
                    raise LabelError(error.reason, told, attempts) from error
                changes = left[error.reason].pop(0)
            finally:
                if labeler is not self:
                    labeler.close()
            told += f"\nagain with {json.dumps(changes)}: "
            labeler = type(self)(self.options.attempting(changes), self.settings)
            labeler.directory = self.directory

    def _calculate(self, frame: Atoms) -> Numbers:
        """One calculation whose numbers can be taken, or a `LabelError`."""
        try:
            energy, forces, stress, attempts = self.limited(frame)
        except MissingDependency:
            raise
        except InputError as error:
            # Of a frame that came up on the way: those that a campaign begins with are checked before.
            raise LabelError("bad_input", str(error), attempts=0) from error
        except (ArithmeticError, ValueError, RuntimeError) as error:
            # What a code raises when its numbers go astray; one such frame must not end the campaign.
            raise LabelError("crashed", f"{self.code}: {type(error).__name__}: {error}") from error
        found: dict[str, Any] = {"energy": energy, "forces": forces, "stress": 0.0 if stress is None else stress}
        astray = [name for name, numbers in found.items() if not np.isfinite(numbers).all()]
        if astray:
            raise LabelError("nan", f"not finite: {', '.join(astray)}", attempts)
        longest = float(np.linalg.norm(forces, axis=1).max(initial=0.0))
        if self.options.force_cap is not None and longest > self.options.force_cap:
            raise LabelError(
                "force_cap",
                f"a force of {longest:.4g} eV/Å is above force_cap, {self.options.force_cap:g} eV/Å",
                attempts,
            )
        return energy, forces, stress, attempts

    @staticmethod
    def _refuse_broken(frame: Atoms) -> None:
        """Raise `LabelError` for a frame on which no code is worth starting."""
        if not np.isfinite(frame.positions).all():
            raise LabelError("bad_input", "positions are not finite", attempts=0)
        overlap = describe_overlap(frame)
        if overlap is not None:
            raise LabelError("overlap", overlap, attempts=0)
