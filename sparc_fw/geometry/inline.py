"""Structures written into the campaign itself, by the user or when a file is read in."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.section import Section

Vector = tuple[float, float, float]


class InlineStructure(Section):
    """A structure written into the campaign itself; a molecule where it has no cell."""

    symbols: list[str] = Field(min_length=1)
    """Chemical symbols, atom by atom."""
    positions_A: list[Vector] = Field(min_length=1)
    """Positions, Å."""
    cell_A: tuple[Vector, Vector, Vector] | None = None
    """Three cell vectors of a periodic system, Å."""
    periodic: tuple[bool, bool, bool] | None = None
    """Along which cell vectors it repeats; where unset, along all of a cell."""

    @model_validator(mode="after")
    def _check(self) -> InlineStructure:
        if len(self.symbols) != len(self.positions_A):
            raise ValueError(
                f"found {len(self.symbols)} symbols and {len(self.positions_A)} positions, expected as many"
            )
        unknown = [symbol for symbol in self.symbols if symbol not in atomic_numbers or symbol == "X"]
        if unknown:
            raise ValueError(f"symbols: found {unknown[0]!r}, expected chemical symbols")
        if self.periodic is not None and any(self.periodic) and self.cell_A is None:
            raise ValueError(f"periodic: found {list(self.periodic)} without 'cell_A', expected a cell that repeats")
        return self

    @classmethod
    def from_atoms(cls, atoms: Atoms) -> Self:
        """Write a structure down: species, positions, cell and periodicity, nothing else."""
        return cls.model_validate(
            {
                "symbols": atoms.get_chemical_symbols(),
                "positions_A": atoms.positions.tolist(),
                "cell_A": atoms.cell.array.tolist() if np.any(atoms.cell.array) else None,
                "periodic": [bool(flag) for flag in atoms.pbc],
            }
        )

    def atoms(self) -> Atoms:
        """The structure as Atoms."""
        periodic = self.periodic if self.periodic is not None else self.cell_A is not None
        return Atoms(self.symbols, self.positions_A, cell=self.cell_A, pbc=periodic)
