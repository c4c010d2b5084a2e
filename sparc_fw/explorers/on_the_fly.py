"""Dynamics that stop where the committee does not know the way, ask for a label, learn it, and go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.encoding import frame_info
from sparc_fw.explorers.ase_md import ASEExplorer, ASEOptions
from sparc_fw.explorers.base import Replica
from sparc_fw.potentials.committee import spread
from sparc_fw.section import Positive
from sparc_fw.trajectories import Trajectory


class OnTheFlyOptions(ASEOptions):
    """Options of dynamics that learn on the fly."""

    kind: Literal["on_the_fly"] = "on_the_fly"  # type: ignore[assignment]
    limit_eV_per_A: Positive = 0.3
    """A frame with a larger force deviation is labelled and learned before the run goes on, eV/Å."""
    look_every_fs: Positive = 5.0
    """Time between two looks at all members, fs."""
    max_labels: int = Field(10, ge=1)
    """Most labels of a run, which ends where it would need another one; the campaign's budget may allow fewer."""
    refit_steps: int = Field(500, ge=1)
    """Training steps by which every member learns a label before the run goes on. The next iteration trains anew."""

    @model_validator(mode="after")
    def _follows_the_committee(self) -> Self:
        if self.driver is not None:
            raise ValueError("driver: found one, expected none: the committee itself is what learns here")
        if self.stop is not None:
            raise ValueError(
                "stop: found it, expected none: this explorer asks for a label where the committee disagrees"
            )
        if self.windows is not None:
            raise ValueError("windows: found them, expected none: the surface would change while they measure it")
        return self

    @property
    def most_labels(self) -> int:
        """Labels that a replica may ask for while it runs."""
        return self.max_labels


class OnTheFlyExplorer(ASEExplorer):
    """Runs ASE's dynamics on the first member, which changes along the way; positions and velocities go on as they are.

    Further series: ``labelled_step``, the steps at which a label was asked for. Where nobody teaches (`Replica`), the
    run is that of `ASEExplorer`.

    Notes
    -----
    The loop is that of FLARE: J. Vandermause et al., npj Comput. Mater. 6 (2020) 20, with a committee for its Gaussian
    process.
    """

    Options: ClassVar[type[OnTheFlyOptions]] = OnTheFlyOptions
    options: OnTheFlyOptions

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Run one replica, with as many labels as it may ask for."""
        [trajectory] = super().explore(replica)
        asked = np.array(self._pupil.asked, dtype=float)
        return [replace(trajectory, series=trajectory.series | {"labelled_step": asked})]

    def _calculator(self, replica: Replica) -> Calculator:
        self._pupil = Pupil(self.options, replica)
        return self._pupil.calculator

    def _watch(self, replica: Replica) -> Pupil:
        return self._pupil


class Exchangeable(Calculator):
    """A calculator behind which another one can take the place of the first, unnoticed by what stands before it."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, inner: Calculator) -> None:
        super().__init__()
        self._inner = inner

    def exchange(self, inner: Calculator, atoms: Atoms) -> None:
        """Let another calculator answer from now on, about the atoms as they are, too.

        What stands before this one may have added to its answer and keep the sum, as PLUMED's calculator does. The sum
        changes by what the answer changes: PLUMED itself must not be asked twice about one step, or it would deposit
        two hills and count time twice.
        """
        before = dict(self.results)
        self._inner = inner
        self.reset()
        outer = atoms.calc
        if outer is self:
            return
        for name, value in before.items():
            if name in outer.results:
                outer.results[name] = outer.results[name] + self.get_property(name, atoms) - value

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Ask the inner calculator."""
        super().calculate(atoms, properties, system_changes)
        for name in dict.fromkeys(("energy", "forces", *properties)):
            self.results[name] = self._inner.get_property(name, self.atoms)


class Pupil:
    """The committee of a run: notices where it does not know the way, and learns it.

    Attributes
    ----------
    calculator : Exchangeable
        The first member as it is now.
    asked : list of int
        The steps at which it asked for a label.
    """

    def __init__(self, options: OnTheFlyOptions, replica: Replica) -> None:
        self._options = options
        self._potential = replica.potential
        self._teacher = replica.teacher
        self._info = frame_info(replica.start)
        self._every = max(1, round(options.look_every_fs / options.timestep_fs))
        self.calculator = Exchangeable(self._potential.calculator(replica.models[0]))
        self._members = [self._potential.load(model) for model in replica.models] if self._teacher else []
        self.asked: list[int] = []

    def disagrees(self, step: int, atoms: Atoms) -> str | None:
        """Why the run ends, or None: where nothing was to be learned, and where it was learned."""
        if self._teacher is None or step % self._every:
            return None
        deviation = self._deviation(atoms)
        limit = self._options.limit_eV_per_A
        if deviation <= limit:
            return None
        found = f"the force deviation was {deviation:.3g} eV/Å (limit {limit:g} eV/Å) at step {step}"
        if len(self.asked) >= self._teacher.allowed:
            return f"{found}, after the {self._teacher.allowed} label(s) that it could ask for"
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=dict(self._info))
        label = self._teacher.label(frame)
        self.asked.append(step)
        if label.status == "failed":
            return f"{found}, and its label failed: {label.reason}"
        models = self._teacher.learn(self._options.refit_steps)
        self.calculator.exchange(self._potential.calculator(models[0]), atoms)
        self._members = [self._potential.load(model) for model in models]
        return None

    def _deviation(self, atoms: Atoms) -> float:
        cells = atoms.cell.array[None] if atoms.pbc.any() else None
        forces = (member.evaluate(atoms.numbers, atoms.positions[None], cells)[1] for member in self._members)
        return float(spread(forces)[0])
