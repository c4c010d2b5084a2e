"""Who looks on while ASE's dynamics go on, and may end them."""

from __future__ import annotations

from typing import Protocol

from ase import Atoms

from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.endings import Disagreement, Patience
from sparc_fw.potentials.committee import spread


class Watch(Protocol):
    """Somebody who looks on while a run goes on."""

    def disagrees(self, step: int, atoms: Atoms) -> str | None:
        """Why the run ends, or None."""


class CommitteeWatch:
    """Asks all members along the way, where a run shall end when they disagree."""

    def __init__(self, stop: Disagreement | None, timestep_fs: float, replica: Replica) -> None:
        self._timestep = timestep_fs
        self._patience = None if stop is None else Patience(stop)
        self._every = 1 if stop is None else max(1, round(stop.every_fs / timestep_fs))
        self._members = [] if stop is None else [replica.potential.load(model) for model in replica.models]

    def disagrees(self, step: int, atoms: Atoms) -> str | None:
        """Why the run ends, or None."""
        if self._patience is None or step % self._every:
            return None
        cells = atoms.cell.array[None] if atoms.pbc.any() else None
        forces = (member.evaluate(atoms.numbers, atoms.positions[None], cells)[1] for member in self._members)
        time = step * self._timestep
        return self._patience.limit.sentence(time) if self._patience.ends(time, float(spread(forces)[0])) else None
