"""Surfaces whose saddles and minima are known, and a committee that lends them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from known_potential import Known
from sparc_fw.explorers.base import Replica
from sparc_fw.geometry.normal_modes import rigid_motions
from sparc_fw.potentials.base import Evaluator
from trained_models import ignore_progress


class Surface(Calculator):
    """A calculator that counts how often it is asked."""

    implemented_properties = ["energy", "forces"]

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def energy_and_forces(self, positions: np.ndarray) -> tuple[float, np.ndarray]:
        raise NotImplementedError

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        energy, forces = self.energy_and_forces(self.atoms.positions)
        self.results = {"energy": energy, "forces": forces}


class MuellerBrown(Surface):
    """K. Müller and L. D. Brown, Theor. Chim. Acta 53 (1979) 75, for x and y of the first atom, a hundredth as high.

    Along z the atom is held by a spring. Published: minima at (-0.558, 1.442), (0.623, 0.028) and (-0.050, 0.467) with
    energies -146.70, -108.17 and -80.77, saddles at (-0.822, 0.624) and (0.212, 0.293) with -40.66 and -72.25.
    """

    def __init__(self, scale: float = 0.01) -> None:
        super().__init__()
        self.scale = scale

    def energy_and_forces(self, positions: np.ndarray) -> tuple[float, np.ndarray]:
        x, y, z = positions[0]
        dx, dy = x - np.array([1, 0, -0.5, -1]), y - np.array([0, 0.5, 1.5, 1])
        a, b, c = np.array([-1, -1, -6.5, 0.7]), np.array([0, 0, 11, 0.6]), np.array([-10, -10, -6.5, 0.7])
        terms = np.array([-200, -100, -170, 15]) * np.exp(a * dx**2 + b * dx * dy + c * dy**2)
        slope = [(terms * (2 * a * dx + b * dy)).sum(), (terms * (b * dx + 2 * c * dy)).sum(), 4000.0 * z]
        forces = np.zeros_like(positions)
        forces[0] = -self.scale * np.array(slope)
        return self.scale * (terms.sum() + 2000.0 * z**2), forces


class Counted(Surface):
    """Another calculator, counted."""

    def __init__(self, calculator: Calculator) -> None:
        super().__init__()
        self.calculator = calculator

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        Calculator.calculate(self, atoms, properties, system_changes)
        self.calls += 1
        self.results = {name: self.calculator.get_property(name, self.atoms) for name in ("energy", "forces")}


class Springs(Surface):
    """Exactly harmonic about a structure, free to move and, for small displacements, to turn.

    Every other direction has a stiffness of its own, between `least` and three times that, eV/Å^2.
    """

    def __init__(self, structure: Atoms, least: float = 10.0) -> None:
        super().__init__()
        self.places = structure.positions.copy()
        rigid = rigid_motions(self.places, np.ones(len(structure)), turns=True).reshape(-1, self.places.size)
        inner = np.linalg.svd(rigid)[2][len(rigid) :]
        self.softest = least
        self.matrix = inner.T @ np.diag(np.linspace(least, 3 * least, len(inner))) @ inner

    def energy_and_forces(self, positions: np.ndarray) -> tuple[float, np.ndarray]:
        moved = (positions - self.places).ravel()
        forces = -self.matrix @ moved
        return float(-0.5 * moved @ forces), forces.reshape(-1, 3)


class _Batch(Evaluator):
    def __init__(self, calculator: Calculator) -> None:
        self.calculator = calculator

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        energies, forces = [], []
        for number, places in enumerate(positions):
            atoms = Atoms(numbers, places, cell=None if cells is None else cells[number], pbc=cells is not None)
            atoms.calc = self.calculator
            energies.append(atoms.get_potential_energy())
            forces.append(atoms.get_forces())
        return np.array(energies), np.array(forces)


class Lent(Known):
    """A committee of known calculators; the model ``Path("k")`` is the k-th of them."""

    def __init__(self, members: Sequence[Calculator]) -> None:
        super().__init__()
        self.members = members

    def calculator(self, model: Path) -> Calculator:
        return self.members[int(model.name)]

    def load(self, model: Path) -> Evaluator:
        return _Batch(self.calculator(model))


def replica(start: Atoms, *members: Calculator, seed: int = 5) -> Replica:
    """A replica that explores with some calculators as its committee."""
    models = [Path(str(number)) for number in range(len(members))]
    return Replica(start, Lent(members), models, 0, 0, seed, Path(), ignore_progress)


def at(*position: float) -> Atoms:
    """An atom somewhere."""
    return Atoms("H", [position], info={"system": "h", "charge": 0, "spin": 0})
