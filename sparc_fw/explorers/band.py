"""ASE's nudged elastic band, evaluated in batches; apart from its options, since ASE's part is slow to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.mep import NEB

from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.searches import evaluation

if TYPE_CHECKING:
    from sparc_fw.explorers.neb import NEBOptions


def first_images(initial: Atoms, final: Atoms, options: NEBOptions) -> list[Atoms]:
    """Both ends and the images that are interpolated between them."""
    images = [initial.copy(), *(initial.copy() for _ in range(options.images)), final.copy()]
    for image in images:
        image.set_constraint(FixAtoms(options.fixed_atoms) if options.fixed_atoms else None)
    guess = NEB(images, method=options.method)
    guess.interpolate(options.interpolation, mic=bool(initial.pbc.any()), apply_constraint=False)
    return images


class Band(NEB):
    """A band whose images are evaluated in one batch, once for each of its positions."""

    def __init__(self, images: list[Atoms], options: NEBOptions, replica: Replica) -> None:
        super().__init__(images, k=options.spring_eV_A2, climb=options.climb, method=options.method)
        self._evaluate = evaluation(replica)
        self._known: tuple[np.ndarray, np.ndarray] | None = None

    def get_forces(self) -> np.ndarray:
        """Forces of the band on its inner images, eV/Å, shape (n_images n_atoms, 3)."""
        # The ends do not move: they are evaluated once.
        images = self.images if self._known is None else self.images[1:-1]
        places = np.array([image.positions for image in self.images])
        if self._known is None or not np.array_equal(self._known[0], places):
            found = self._evaluate(np.array([image.positions for image in images]))
            for image, energy, forces in zip(images, *found, strict=True):
                image.calc = SinglePointCalculator(image, energy=energy, forces=forces)
            self._known = places, np.array(super().get_forces())
        return self._known[1]
