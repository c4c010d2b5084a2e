"""Reaction paths between two structures, by the nudged elastic band."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.optimize import FIRE
from pydantic import Field, model_validator

from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.ends import SAME_A, aligned, check_ends, check_same_atoms, distance, path_coordinate
from sparc_fw.explorers.searches import (
    SearchOptions,
    as_trajectory,
    forces_of,
    longest,
    member_energies,
    relax,
    search,
    with_calculator,
)
from sparc_fw.geometry.files import read_structure
from sparc_fw.geometry.inline import InlineStructure
from sparc_fw.geometry.normal_modes import ModeSampling, normal_modes, thermal_displacements
from sparc_fw.trajectories import Trajectory


class NEBOptions(SearchOptions):
    """Options of the nudged elastic band."""

    structure_keys: ClassVar[tuple[str, ...]] = ("initial", "final")

    kind: Literal["neb"] = "neb"
    initial: str | InlineStructure | None = None
    """Where the path begins: a file (its last frame), relative to the campaign file, or a structure written inline;
    where unset, the replica's start."""
    final: str | InlineStructure
    """Where the path ends: a file or a structure written inline, of the same atoms in the same order."""
    mapping: Literal["checked", "as_given"] = "checked"
    """Whether ends are refused that would be nearer to each other if atoms of one element changed places."""
    relax_ends: bool = True
    """Whether both ends are relaxed first."""
    images: int = Field(7, ge=1)
    """Images between the two ends."""
    interpolation: Literal["idpp", "linear"] = "idpp"
    """First band: by an image-dependent pair potential, which keeps atoms apart, or straight."""
    method: Literal["improvedtangent", "aseneb"] = "improvedtangent"
    """How tangents and spring forces are made."""
    climb: bool = True
    """Whether the highest image climbs to the saddle."""
    spring_eV_A2: float = Field(0.1, gt=0)
    """Spring constant between images, eV/Å^2."""
    around_saddle: ModeSampling | None = None
    """Further frames, displaced along the normal modes of the highest image; where unset, none."""

    @model_validator(mode="after")
    def _no_two_alike(self) -> NEBOptions:
        if self.replicas > 1 and (self.initial is not None or "start_frames" not in self.starts):
            raise ValueError(
                f"replicas: found {self.replicas}, expected 1: bands between the same ends are the same; other starts "
                "are 'starts: [start_frames]' without 'initial'"
            )
        return self


@dataclass
class _Search:
    """What became of the searches so far."""

    frames: list[np.ndarray] = field(default_factory=list)
    steps: int = 0
    troubles: list[str] = field(default_factory=list)

    def note(self, what: str, steps: int, trouble: str | None) -> None:
        """Add the steps of a search, and its trouble if it had any."""
        self.steps += steps
        if trouble is not None:
            self.troubles.append(f"{what}: {trouble}")


class NEBExplorer(Explorer[NEBOptions]):
    """Finds the path of least energy between two structures on the surface of the committee's first member.

    The trajectory has the frames of the ends' relaxation, the inner images of every `SearchOptions.keep_every`-th step,
    the final band with its ends, and the frames `NEBOptions.around_saddle`, in this order. Its series, along the
    final band: ``path_coordinate_A``; ``band_energy_eV`` of the first member above the initial end and the
    standard deviation of this energy over the members, ``band_energy_spread_eV``; and by member ``barrier_eV`` and
    ``reverse_barrier_eV``, from either end to the image that the member finds highest.

    Notes
    -----
    G. Henkelman and H. Jónsson, J. Chem. Phys. 113 (2000) 9978 (improved tangent); G. Henkelman, B. P. Uberuaga and
    H. Jónsson, ibid. 9901 (climbing image); S. Smidstrup et al., J. Chem. Phys. 140 (2014) 214106 (first band).

    There is no such search by LAMMPS' ``fix neb``: with a process for each image, all of which load the potential, it
    takes longer than one batch of all images does (``scripts/benchmarks/neb_engines.py``).
    """

    Options: ClassVar[type[NEBOptions]] = NEBOptions

    def check(self, structure: Atoms) -> None:
        """Raise `InputError` where the ends do not fit each other or the system."""
        self.options.check_fixed(len(structure))
        check_ends(*self._ends(structure), like_atoms=self.options.mapping == "checked")

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Relax the ends, span the band, let it relax and climb, and ask every member about it."""
        started = time.perf_counter()
        done = _Search()
        initial, final = self._ends(replica.start)
        if self.options.relax_ends:
            initial = self._relaxed("initial end", initial, replica, done)
            final = self._aligned(initial, self._relaxed("final end", final, replica, done))
        series: dict[str, np.ndarray] = {}
        band = [initial.positions.copy(), final.positions.copy()]
        if not np.isfinite(band).all():
            done.troubles.append("no band was made")
        elif distance(initial, final) < SAME_A:
            done.troubles.append("both ends are the same structure")
        else:
            band = self._band(initial, final, replica, done)
            series = _along(band, replica)
        done.frames += band
        around = self.options.around_saddle
        if around is not None and series and np.isfinite(series["band_energy_eV"]).all():
            series |= self._around(band[int(np.argmax(series["band_energy_eV"]))], around, replica, done)
        trouble = "; ".join(done.troubles) or None
        return [as_trajectory(replica, done.frames, done.steps, trouble, time.perf_counter() - started, series)]

    def _ends(self, start: Atoms) -> tuple[Atoms, Atoms]:
        """Both ends, of the same atoms, the final one turned onto the initial one."""
        given = self.options.initial
        initial = start if given is None else _structure(given)
        if given is not None:
            check_same_atoms(start, initial, "initial", "the system's structure")
        final = _structure(self.options.final)
        # A start frame may be anything: that it leads nowhere is for the search to find out.
        check_same_atoms(initial, final, "final", "the initial end")
        return initial, self._aligned(initial, final)

    def _aligned(self, initial: Atoms, final: Atoms) -> Atoms:
        return final if self.options.fixed_atoms else aligned(initial, final)

    def _relaxed(self, name: str, end: Atoms, replica: Replica, done: _Search) -> Atoms:
        atoms = with_calculator(end, replica, self.options.fixed_atoms)
        frames, steps, trouble = relax(atoms, self.options, replica)
        done.frames += frames
        done.note(name, steps, trouble)
        return atoms

    def _band(self, initial: Atoms, final: Atoms, replica: Replica, done: _Search) -> list[np.ndarray]:
        """Positions of all images, Å, the ends included, after the search."""
        options = self.options
        from sparc_fw.explorers.band import Band, first_images

        images = first_images(initial, final, options)
        band = Band(images, options, replica)

        def look(step: int) -> float:
            if step % options.keep_every == 0:
                done.frames += [image.positions.copy() for image in images[1:-1]]
            return longest(band.get_forces())

        done.note("band", *search(FIRE(band, logfile=None), options, look, replica.progress))
        return [image.positions.copy() for image in images]

    def _around(
        self, saddle: np.ndarray, sampling: ModeSampling, replica: Replica, done: _Search
    ) -> dict[str, np.ndarray]:
        """Add frames along the normal modes of the highest image; returns the modes' wavenumbers, 1/cm."""
        frame = replica.start.copy()
        frame.positions = saddle
        modes = normal_modes(frame, forces_of(replica), sampling.difference_A, self.options.fixed_atoms)
        done.frames += list(saddle + thermal_displacements(modes, sampling, np.random.default_rng(replica.seed)))
        return {"wavenumber_per_cm": modes.wavenumbers}


def _along(band: list[np.ndarray], replica: Replica) -> dict[str, np.ndarray]:
    """What the members think of the band."""
    energies = member_energies(replica, np.array(band))
    above = energies - energies[:, :1]
    return {
        "path_coordinate_A": path_coordinate(band, replica.start),
        "band_energy_eV": above[0],
        "band_energy_spread_eV": above.std(axis=0),
        "barrier_eV": above.max(axis=1),
        "reverse_barrier_eV": above.max(axis=1) - above[:, -1],
    }


def _structure(given: str | InlineStructure) -> Atoms:
    """The structure that an option holds; a file where the options come from no campaign file."""
    return (given if isinstance(given, InlineStructure) else read_structure(given, Path())).atoms()
