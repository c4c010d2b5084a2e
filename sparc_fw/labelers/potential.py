"""Labels by a model: one that somebody pretrained, or one of our own; for distillation, and to try things cheaply."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import model_validator
from typing_extensions import Self

from sparc_fw.errors import InputError
from sparc_fw.labelers.ase_calculator import calculator_version, check_told
from sparc_fw.labelers.ase_child import evaluate, find_calculator
from sparc_fw.labelers.base import Numbers
from sparc_fw.labelers.contents import file_sha256, with_contents
from sparc_fw.labelers.in_process import InProcessLabeler, InProcessOptions


class PotentialLabelerOptions(InProcessOptions):
    """Options of the labeler ``potential``: an ASE calculator by import path, or a model of one of our potentials."""

    hashed_files: ClassVar[dict[str, str]] = {"model_file": "model_sha256"}

    kind: Literal["potential"] = "potential"
    calculator: str | None = None
    """module:Class, or module:function, that makes an ASE calculator: chgnet.model.dynamics:CHGNetCalculator, …"""
    arguments: dict[str, Any] = {}
    """Its arguments."""
    model_kind: str | None = None
    """Kind of one of our potentials (deepmd), for `model_file`."""
    model_file: str | None = None
    """A frozen model, relative to the campaign file; it does not travel, so that every worker must find it there."""
    model_sha256: str | None = None
    """SHA-256 of the model, by which labels of two models cannot mix; found out when the campaign is read."""
    stress: bool = True
    """Whether the stress of periodic frames is asked for."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.calculator is None) == (self.model_file is None):
            raise ValueError("expected one of calculator and model_file")
        if (self.model_kind is None) != (self.model_file is None):
            raise ValueError("expected model_kind (such as deepmd) exactly where there is a model_file")
        if self.arguments and self.calculator is None:
            raise ValueError("arguments: found some without a calculator")
        return self


class PotentialLabeler(InProcessLabeler[PotentialLabelerOptions]):
    """Evaluates a model that is loaded once; charge and spin are refused, for no model here knows them."""

    Options: ClassVar[type[PotentialLabelerOptions]] = PotentialLabelerOptions
    code: ClassVar[str] = "potential"
    suspected: ClassVar[bool] = False

    def missing(self) -> list[str]:
        """Say so where the calculator's package, or the model's framework, is not on this machine."""
        if self.options.calculator is None:
            return list(self._own().missing())
        try:
            find_calculator(self.options.calculator)
        except InputError as error:
            return [f"labeler potential: {error}"]
        return []

    @cached_property
    def like_atoms_alike(self) -> bool:
        """They are where the model is of a potential that says so; of a calculator nobody knows."""
        return self.options.calculator is None and bool(self._own().like_atoms_alike)

    def load(self) -> None:
        """Load the model."""
        _ = self._calculator

    def deciding(self) -> dict[str, Any]:
        """What decides the numbers: options, and what the model is, not where it lies."""
        values = super().deciding()
        values["arguments"] = with_contents(values["arguments"])
        if self.options.model_file is not None:
            values |= {"model_file": None, "model_sha256": self._sha256}
        return values

    def version(self) -> str:
        """Version of the packages that compute, or the model's own hash."""
        if self.options.calculator is not None:
            return calculator_version(self.options.calculator)
        return f"{self.options.model_kind} {self._sha256[:12]}"

    def check(self, frame: Atoms) -> None:
        """Raise `InputError` for charge or spin, and for elements that one of our own models does not know."""
        check_told(frame, unused=True)
        if self.options.model_file is not None:
            self._refuse_another_model()
            model = self._own().load(Path(self.options.model_file))
            known = getattr(model, "elements", frame.get_chemical_symbols())
            unknown = sorted(set(frame.get_chemical_symbols()) - set(known))
            if unknown:
                raise InputError(f"{self.options.model_file}: found the elements {unknown}, expected some of {known}")

    def calculate(self, frame: Atoms) -> Numbers:
        """Energy (eV), forces (eV/Å), stress (eV/Å^3) where periodic, and one attempt."""
        check_told(frame, unused=True)
        # No model remembers, but a calculator hands out its last results for a frame that hardly moved.
        self._calculator.reset()
        # Moments and charges that a frame may carry are in no key, so that they must decide no number.
        plain = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
        result = evaluate(plain, self._calculator, bool(frame.pbc.any()) and self.options.stress)
        stress = np.array(result["stress"]) if "stress" in result else None
        return result["energy"], np.array(result["forces"]), stress, 1

    def calculator(self, charge: int = 0, spin: int = 0) -> Calculator:
        """Give the model's calculator, to drive cheap dynamics."""
        if charge or spin:
            raise InputError(f"labeler potential: found charge {charge} and spin {spin}, expected 0 and 0")
        return self._make()

    @cached_property
    def _calculator(self) -> Calculator:
        return self._make()

    def _make(self) -> Calculator:
        if self.options.calculator is not None:
            return find_calculator(self.options.calculator)(**self.options.arguments)
        self._refuse_another_model()
        return self._own().calculator(Path(self.options.model_file or ""))

    def _own(self) -> Any:
        """The potential that made the model, with its default options."""
        from sparc_fw.registry import backend_classes

        known = backend_classes("potential")
        if self.options.model_kind not in known:
            raise InputError(
                f"labeler potential: model_kind: found {self.options.model_kind!r}, expected one of {sorted(known)}"
            )
        chosen = known[self.options.model_kind]
        return chosen(chosen.Options(kind=self.options.model_kind), self.settings)

    @cached_property
    def _sha256(self) -> str:
        given = self.options.model_sha256
        return given if given is not None else file_sha256(Path(self.options.model_file or ""))

    def _refuse_another_model(self) -> None:
        path = Path(self.options.model_file or "")
        found = file_sha256(path)
        if found != self._sha256:
            raise InputError(
                f"{path}: found a model with SHA-256 {found[:12]}…, expected {self._sha256[:12]}…, as when the "
                "campaign was read: put the model back, or start a new campaign"
            )
