"""Further frames to label around each pick, so that a potential learns slopes there and not only values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from ase import Atoms
from pydantic import Field

from sparc_fw.documents import AUGMENTED
from sparc_fw.geometry.normal_modes import ForcesOf, ModeSampling, normal_modes, thermal_displacements
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.geometry.sources import DisplacementSource
from sparc_fw.same_frames import frame_hash
from sparc_fw.section import Positive, Section
from sparc_fw.seeds import derive_seed
from sparc_fw.selectors.shares import Share


class Copies(Section):
    """Common to all ways to copy picks."""

    copies: int = Field(2, ge=1)
    """Copies of each pick. They cost labels beside the picks: a cap on picks does not count them, `budget.labels` and
    `label_share` do. Where less is left, the best picks have theirs, and no pick is given up for a copy."""


class NoisyCopies(Copies):
    """Copies of each pick with uniform noise on every coordinate.

    Source: G. S. Jung et al., Digital Discovery 3 (2024) 514, section 2.3.4, whose numbers are the defaults.
    """

    kind: Literal["noisy_copies"] = "noisy_copies"
    amplitude_A: Positive = 0.05
    """Largest displacement of an atom along each axis, Å."""


class ModeCopies(Copies):
    """Copies of each pick displaced along its normal modes, on the surface of the committee's first member.

    See `geometry.normal_modes` for sources; a pick is no minimum, and modes of negative curvature are displaced as if
    it were positive.
    """

    kind: Literal["normal_modes"] = "normal_modes"
    temperature_K: Positive = 300.0
    """Temperature of the amplitudes, K."""
    mode_limit_A: Positive = 0.3
    """Soft modes have their amplitudes lowered such that one standard deviation of a mode moves no atom farther, Å."""


Augmentation = Annotated[NoisyCopies | ModeCopies, Field(discriminator="kind")]
SurfaceOf = Callable[[Atoms], ForcesOf]
"""Forces of the atoms of a frame at other positions."""


@dataclass
class Augmented:
    """Copies of picks.

    Attributes
    ----------
    frames : list of Atoms
        Those to label, in the order of the picks; their ``origin`` is ``augmented``.
    dropped : dict of str to int
        How many were left out: ``overlap``, ``over_budget``, ``nan`` (the potential gave no finite force).
    """

    frames: list[Atoms]
    dropped: dict[str, int]


def augmented(
    picks: Sequence[Atoms],
    options: NoisyCopies | ModeCopies,
    limit: int,
    shares: Sequence[Share],
    seed: int,
    surface_of: SurfaceOf,
) -> Augmented:
    """Copies of all picks, as far as the budget goes.

    Parameters
    ----------
    picks : sequence of Atoms
        Best first; ``info`` names the system.
    limit : int
        Labels that are left of the budget, for picks and copies together.
    shares : sequence of Share
        What the systems may have, as for the picks.
    seed : int
        The same seed makes the same copies of a pick, whatever the other picks are.
    surface_of : callable
        Only called for copies along normal modes.
    """
    places = {name: number for number, share in enumerate(shares) for name in share.systems}
    left = [share.left for share in shares] or [limit]
    for frame in picks:
        left[places.get(frame.info["system"], 0)] -= 1
    room = limit - len(picks)
    frames: list[Atoms] = []
    dropped: Counter[str] = Counter()
    for pick in picks:
        place = places.get(pick.info["system"], 0)
        if min(room, left[place]) < 1:
            dropped["over_budget"] += options.copies
            continue
        for copy in _copies(pick, options, derive_seed(seed, frame_hash(pick)), surface_of):
            reason = _flaw(copy) or ("over_budget" if min(room, left[place]) < 1 else "")
            if reason:
                dropped[reason] += 1
                continue
            copy.info["origin"] = AUGMENTED
            frames.append(copy)
            room -= 1
            left[place] -= 1
    return Augmented(frames, dict(sorted(dropped.items())))


def _copies(pick: Atoms, options: NoisyCopies | ModeCopies, seed: int, surface_of: SurfaceOf) -> list[Atoms]:
    from sparc_fw.geometry.displacements import displaced_frames

    random = np.random.default_rng(seed)
    if isinstance(options, NoisyCopies):
        source = DisplacementSource(
            kind="displacements", amplitude_A=options.amplitude_A, frames=options.copies, distribution="uniform"
        )
        return displaced_frames(pick, source, random)
    sampling = ModeSampling(
        frames=options.copies, temperature_K=options.temperature_K, mode_limit_A=options.mode_limit_A
    )
    forces_of = surface_of(pick)
    if not np.isfinite(forces_of(pick.positions[None])).all():
        displacements = np.full((options.copies, len(pick), 3), np.nan)
    else:
        modes = normal_modes(pick, forces_of, sampling.difference_A)
        displacements = thermal_displacements(modes, sampling, random)
    frames = []
    for displacement in displacements:
        frame = pick.copy()
        frame.positions += displacement
        frames.append(frame)
    return frames


def _flaw(copy: Atoms) -> str:
    """Why no label of a copy is worth having; empty where one is."""
    if not np.isfinite(copy.positions).all():
        return "nan"
    return "overlap" if describe_overlap(copy) is not None else ""
