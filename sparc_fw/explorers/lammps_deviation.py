"""The committee's deviations that ``pair_style deepmd`` writes while LAMMPS runs."""

from __future__ import annotations

from pathlib import Path

from sparc_fw.explorers.endings import Disagreement, Patience

_COLUMN = 4
"""max_devi_f: the largest force deviation of an atom, eV/Å."""


class DeviationLog:
    """Follows the file while it grows; only what is new is read, since a long run has many looks.

    Parameters
    ----------
    path : Path
        Need not exist yet.
    stop : Disagreement or None
        When the run ends; None for never.
    timestep_fs : float
        fs.

    Attributes
    ----------
    moment : float or None
        Time at which the committee had disagreed for too long, fs, as far as the file was read; None if it had not.
    """

    def __init__(self, path: Path, stop: Disagreement | None, timestep_fs: float) -> None:
        self.moment: float | None = None
        self._path = path
        self._timestep = timestep_fs
        self._patience = None if stop is None else Patience(stop)
        self._offset = 0
        self._step = -1

    def read(self) -> None:
        """Read what LAMMPS has written since the last time."""
        if self._patience is None or not self._path.exists():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            # The last line may be half written.
            whole = stream.read().rpartition(b"\n")[0]
        self._offset += len(whole) + 1 if whole else 0
        for line in whole.splitlines():
            if line.strip() and not line.startswith(b"#"):
                row = line.split()
                self._note(int(row[0]), float(row[_COLUMN]), self._patience)

    def _note(self, step: int, deviation: float, patience: Patience) -> None:
        if step <= self._step:
            # An equilibration counts its own steps; what it saw ended nothing.
            self.moment = patience.since = None
        self._step = step
        time = step * self._timestep
        if patience.ends(time, deviation) and self.moment is None:
            self.moment = time
