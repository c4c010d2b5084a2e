"""What the molecular-dynamics explorers share: ensemble, bounds, seeds, numbers of steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from pydantic import Field, model_validator

from sparc_fw.explorers.base import Replica, TimedOptions, by_place
from sparc_fw.explorers.bias import AdaptiveForce, Bias, Metadynamics, Steered, Umbrella, held, pulling_ps
from sparc_fw.explorers.endings import Disagreement, DistanceBound
from sparc_fw.explorers.ends import check_same_atoms
from sparc_fw.explorers.variables import UNITS, away, value_of
from sparc_fw.explorers.windows import Windows, described, in_window, window_problem, window_summary
from sparc_fw.geometry.confinement import Confinement
from sparc_fw.geometry.files import Files
from sparc_fw.section import Positive

RELAXED = 0.05
"""A start is relaxed when no force is larger, eV/Å."""
RELAX_STEPS = 500
"""Most steps of a relaxation: where a potential has a hole, it would never end."""


class MDOptions(TimedOptions):
    """Options of plain molecular dynamics."""

    ensemble: str = "langevin"
    friction_per_ps: Positive = 10.0
    """Coupling to the heat bath, 1/ps: Langevin's friction, or the inverse relaxation time of the others."""
    max_force: Positive = 100.0
    """A force component beyond this ends the run, eV/Å: the potential is lost there, and so would be the rest."""
    within_A: Positive | None = None
    """An atom farther than this from its nearest neighbour ends the run: it evaporated, Å; where unset, none does."""
    distances: list[DistanceBound] = []
    """Bounds on distances; a frame that breaks one ends the run."""
    energy_window_eV: Positive | None = None
    """A frame whose potential energy lies more than this above the first one's ends the run, eV; where unset, none."""
    stop: Disagreement | None = None
    """When a run ends because the committee disagrees; where unset, it is asked only afterwards, which costs less."""
    confine: Confinement | None = None
    """A sphere that holds all atoms together, so that fragments meet again; where unset, none."""
    bias: list[Bias] = []
    """What drives collective variables: metadynamics, umbrella, steered, walls, abf; any number of them together."""
    continue_bias: bool = False
    """Whether what a replica's bias learned in the iteration before (hills of metadynamics, mean forces of abf, what
    PLUMED's own text writes to files) acts from the beginning; otherwise every run begins with none. A run that was cut
    off in LAMMPS leaves nothing."""
    windows: Windows | None = None
    """Windows of umbrella sampling: every run of an iteration is one of them, and the report has the free energy that
    they give together; where unset, all runs have the same bias."""
    relax: bool = False
    """Whether the potential relaxes the start before anything moves, to at most 0.05 eV/Å."""
    equilibrate_ps: float = Field(0.0, ge=0)
    """Time that a run takes before it begins to count, restraints at rest, ps."""
    pressure_GPa: list[float] = Field([0.0], min_length=1)
    """Pressure where the ensemble has one, by replica, GPa; the last one repeats."""
    pressure_relaxation_ps: Positive = 1.0
    """Relaxation time of the barostat, ps."""

    @model_validator(mode="after")
    def _check_times(self) -> MDOptions:
        if self.frame_every_fs < self.timestep_fs:
            raise ValueError(f"frame_every_fs: found {self.frame_every_fs}, expected at least {self.timestep_fs} fs")
        if min(self.duration_ps) * 1000 < self.frame_every_fs:
            raise ValueError(f"duration_ps: found {min(self.duration_ps)}, expected at least {self.frame_every_fs} fs")
        for index, bias in enumerate(self.bias):
            if isinstance(bias, Steered):
                longest = max(pulling_ps(bias, replica) for replica in range(len(bias.per_ps)))
                if longest > min(self.duration_ps) * (1 + 1e-9):
                    raise ValueError(
                        f"duration_ps: found {min(self.duration_ps)}, expected at least {longest:g}: so long does "
                        f"bias[{index}] pull"
                    )
        return self

    @model_validator(mode="after")
    def _check_windows(self) -> MDOptions:
        problem = window_problem(self.bias, self.windows)
        if problem is not None:
            raise ValueError(problem)
        if self.windows is None:
            return self
        if self.ensemble == "nve":
            raise ValueError("windows: found ensemble nve, expected one with a temperature: free energies need one")
        for key in ("temperature_K", "pressure_GPa"):
            if len(set(getattr(self, key))) > 1:
                raise ValueError(
                    f"windows: found {key} {getattr(self, key)}, expected one value: the windows of a free energy "
                    "share it; another explorer beside this one can have another"
                )
        return self

    @model_validator(mode="after")
    def _bias_can_go_on(self) -> MDOptions:
        if not self.continue_bias:
            return self
        if any(isinstance(bias, Steered) for bias in self.bias):
            raise ValueError("continue_bias: found a steered bias, which begins anew in every run; expected none")
        texts = [f"{engine}{end}" for engine in ("plumed", "colvars") for end in ("", "_file")]
        learners = any(isinstance(bias, Metadynamics | AdaptiveForce) for bias in self.bias)
        if not learners and not any(getattr(self, text, None) for text in texts):
            raise ValueError(
                "continue_bias: found no bias that learns, expected one of kind metadynamics or abf, or text of PLUMED "
                "or COLVARS"
            )
        for number, changes in self.schedule.items():
            for key in ("bias", *texts):
                if key in changes:
                    raise ValueError(
                        f"schedule[{number}]: found {key!r} beside continue_bias, expected the same bias in all "
                        "iterations: what one learned does not fit another"
                    )
        return self

    @property
    def goes_on(self) -> bool:
        """Whether a replica's bias begins with what it learned in the iteration before."""
        return self.continue_bias

    @property
    def runs(self) -> int:
        """Runs per system and iteration."""
        return self.replicas * (1 if self.windows is None else len(self.windows.places()))

    @property
    def restrained(self) -> bool:
        """Whether restraints hold something where a run begins."""
        return any(isinstance(bias, Umbrella | Steered) for bias in self.bias)

    def biases(self, number: int) -> list[Bias]:
        """The biases of the run of that number, every umbrella with its centre."""
        return in_window(self.bias, self.windows, number)

    def restraint_energy(self, frame: Atoms, number: int) -> float:
        """Energy of a frame in the umbrellas of a run, eV; moving restraints are where they begin."""
        energy = 0.0
        for bias in held(self.biases(number)):
            if isinstance(bias, Umbrella) and bias.centre is not None:
                energy += 0.5 * bias.stiffness * float(away(bias.cv, value_of(bias.cv, frame), bias.centre)) ** 2
        return energy

    def start_file(self, number: int) -> str | None:
        """The file of the window that a run of that number has."""
        files = None if self.windows is None else self.windows.starts
        return None if files is None else files[number % len(files)]

    def place(self, number: int) -> str:
        """The centres of the window that a run of that number has."""
        if self.windows is None:
            return ""
        places = self.windows.places()
        return f"window {described(places[number % len(places)])}"

    @property
    def summary(self) -> str:
        """What it is called, its windows, and the velocities of what it pulls."""
        words = []
        if self.windows is not None:
            words.append(window_summary(self.bias, self.windows, self.temperature_K[0]))
        for bias in self.bias:
            if isinstance(bias, Steered):
                used = sorted({bias.velocity(number) for number in range(self.runs)})
                speeds = ", ".join(f"{speed:g}" for speed in used)
                words.append(f"pulled at {speeds} {UNITS[bias.cv.kind]}/ps")
        return f"{self.title} ({' and '.join(words)})" if words else self.title

    @property
    def paths(self) -> list[str]:
        """The files in which windows begin, as written."""
        files = None if self.windows is None else self.windows.starts
        return list(dict.fromkeys(files or []))


def check_starts(options: MDOptions, structure: Atoms, files: Files) -> None:
    """Raise `InputError` where the file of a window holds other atoms than the system's structure."""
    for number, path in enumerate((options.windows.starts if options.windows is not None else None) or []):
        key = f"windows.starts[{number}] ({path})"
        check_same_atoms(structure, files.frames(path, "-1")[0], key, "the system's structure")


@dataclass(frozen=True)
class Plan:
    """The numbers of one run.

    Attributes
    ----------
    steps, every : int
        Steps of the run, and between kept frames.
    equilibrate : int
        Steps before it.
    temperature : float
        K.
    pressure : float
        GPa.
    """

    steps: int
    every: int
    temperature: float
    equilibrate: int = 0
    pressure: float = 0.0


def plan(options: MDOptions, replica: Replica) -> Plan:
    """Steps, steps between frames and temperature of a run."""
    every = max(1, round(options.frame_every_fs / options.timestep_fs))
    steps = round(options.planned_ps(replica.iteration) * 1000 / options.timestep_fs)
    return Plan(
        steps,
        every,
        by_place(options.temperature_K, replica.number),
        round(options.equilibrate_ps * 1000 / options.timestep_fs),
        by_place(options.pressure_GPa, replica.number),
    )


def engine_seeds(seed: int, count: int) -> list[int]:
    """Independent seeds in the range that LAMMPS takes, from a seed of any size."""
    return [int(value) for value in np.random.default_rng(seed).integers(1, 900_000_000, count)]
