"""Dynamics that seek what the committee does not agree about, at bounded energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.explorers.ase_md import ASEExplorer, ASEOptions
from sparc_fw.explorers.base import Replica
from sparc_fw.trajectories import Trajectory


class UncertaintyOptions(ASEOptions):
    """Options of uncertainty-driven dynamics; the bias acts on top of the committee's mean energy."""

    kind: Literal["uncertainty"] = "uncertainty"  # type: ignore[assignment]
    depth_eV: float = Field(1.0, gt=0)
    """A: energy that the bias gains where the committee disagrees completely, eV."""
    width_eV: float = Field(0.02, gt=0)
    """B: standard deviation of the energy over the members, divided by the root of the number of atoms, at which the
    bias has gained 63 % of `depth_eV`, eV."""
    bound_eV_per_atom: float = Field(0.2, gt=0)
    """Mean energy above the start at which nothing is left of the bias, eV per atom."""

    @model_validator(mode="after")
    def _no_windows(self) -> Self:
        if self.windows is not None:
            raise ValueError(
                "windows: found them, expected none: what pushes this explorer would be in the free energy"
            )
        return self

    @model_validator(mode="after")
    def _no_driver(self) -> Self:
        if self.driver is not None:
            raise ValueError("driver: found one, expected none: the committee itself is what this explorer follows")
        return self


class UncertaintyExplorer(ASEExplorer):
    """Runs ASE's dynamics on the committee's mean energy and a bias that falls where its members disagree.

    A run of n steps computes the forces of every member n + 1 times. The energies of `ASEExplorer`'s series contain
    the bias; further series: ``mean_energy_eV``, ``energy_spread_eV`` (standard deviation over the members) and
    ``bias_eV``.
    """

    Options: ClassVar[type[UncertaintyOptions]] = UncertaintyOptions
    options: UncertaintyOptions

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Run one replica with every model of the committee."""
        [trajectory] = super().explore(replica)
        # One evaluation for each step, and one before the first; what came before them relaxed and equilibrated.
        rows = np.rint(trajectory.times / self.options.timestep_fs).astype(int)
        columns = np.array(self._committee.seen[-(trajectory.steps + 1) :])[rows].T
        names = ("mean_energy_eV", "energy_spread_eV", "bias_eV")
        return [replace(trajectory, series=trajectory.series | dict(zip(names, columns, strict=True)))]

    def _calculator(self, replica: Replica) -> Calculator:
        members = [replica.potential.calculator(model) for model in replica.models]
        self._committee = BiasedCommittee(members, self.options)
        return self._committee


class BiasedCommittee(Calculator):
    r"""Mean of a committee, pushed to where its members disagree about the energy, as long as that is bearable.

    The bias is :math:`A\,[\exp(-\sigma^2 / (N_M N_A B^2)) - 1]\,S`, where :math:`\sigma^2 = \sum_i (E_i - \bar E)^2`
    over the :math:`N_M` members and :math:`N_A` is the number of atoms. Its forces need no more than the members':
    :math:`\nabla\sigma^2 = -2 \sum_i (E_i - \bar E) F_i`. The factor :math:`S = 1 - 3 t^2 + 2 t^3` falls from 1 at the
    mean energy of the first frame to 0 at the bound above it (:math:`t` from 0 to 1): what the bias has dug comes to an
    end there and throws the walk back with up to :math:`A`; beyond, dynamics are those of the mean.

    Attributes
    ----------
    seen : list of (float, float, float)
        Mean energy, standard deviation of the energy over the members, and bias of every evaluation, eV.

    Notes
    -----
    Uncertainty-driven dynamics: M. Kulichenko et al., Nat. Comput. Sci. 3 (2023) 230. The bound is added here; related
    is hyperactive learning, C. van der Oord et al., npj Comput. Mater. 9 (2023) 168, which tilts the energy by the
    standard deviation itself.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, members: Sequence[Calculator], options: UncertaintyOptions) -> None:
        super().__init__()
        self.members = members
        self.options = options
        self.seen: list[tuple[float, float, float]] = []

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Evaluate every member once."""
        super().calculate(atoms, properties, system_changes)
        energies = np.array([member.get_property("energy", self.atoms) for member in self.members])
        forces = np.array([member.get_property("forces", self.atoms) for member in self.members])
        # A bias of slope b' in the variance pushes by -b' grad(variance).
        mean, differences = energies.mean(), energies - energies.mean()
        first = self.seen[0][0] if self.seen else mean
        size = len(self.atoms)
        height = size * self.options.bound_eV_per_atom
        t = np.clip((mean - first) / height, 0.0, 1.0)
        share, share_slope = 1 - 3 * t**2 + 2 * t**3, -6 * t * (1 - t) / height
        scale = len(energies) * size * self.options.width_eV**2
        decay = np.exp(-(differences**2).sum() / scale)
        bias = self.options.depth_eV * (decay - 1)
        push = -2 * self.options.depth_eV * decay / scale * np.einsum("m,max->ax", differences, forces)
        self.results = {
            "energy": float(mean + share * bias),
            "forces": forces.mean(axis=0) * (1 + share_slope * bias) + share * push,
        }
        self.seen.append((float(mean), float(energies.std()), float(share * bias)))
