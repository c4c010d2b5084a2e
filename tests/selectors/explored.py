"""Explorations with known deviations, and selections of them by steps as a campaign file has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from sparc_fw.registry import backend_classes
from sparc_fw.selectors.base import Choice, Context, Step
from sparc_fw.selectors.pipeline import select
from sparc_fw.selectors.shares import Share
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Exploration, Trajectory

ANY_SEED = 7
ALL = 10**6
Steps = Sequence[Mapping[str, Any]]


def exploration(
    deviation: Sequence[float], bonds: Sequence[float] | None = None, replica: int = 0, system: str = "N2"
) -> Exploration:
    """N2 frames, 10 fs apart, of given bond lengths; by default all very different."""
    lengths = bonds if bonds is not None else [1.0 + 0.5 * number for number in range(len(deviation))]
    positions = np.zeros((len(lengths), 2, 3))
    positions[:, 1, 2] = lengths
    trajectory = Trajectory(
        numbers=np.array([7, 7]),
        positions=positions,
        cells=np.zeros((len(lengths), 3, 3)),
        times=10.0 * np.arange(len(lengths)),
        pbc=(False, False, False),
        info={"system": system, "charge": 0, "spin": 0},
        steps=20 * len(lengths),
    )
    return Exploration("test", 0, replica, "walk", [trajectory], np.array(deviation), planned_ps=1.0, seed=1)


def step(kind: str, **options: Any) -> Step[Any]:
    """A step as a campaign has it."""
    backend: Any = backend_classes("step")[kind]
    made: Step[Any] = backend(backend.Options(kind=kind, **options), Settings())
    return made


def choose(
    explorations: Sequence[Exploration],
    steps: Steps,
    labelled: Sequence[Atoms] = (),
    limit: int = ALL,
    seed: int = ANY_SEED,
    shares: Sequence[Share] = (),
    **more: Any,
) -> Choice:
    """What some steps pick; more of the context by name."""
    context = Context(labelled, limit, seed, shares, **more)
    return select(explorations, [step(**options) for options in steps], context)


def fates(choice: Choice, replica: int | None = None) -> list[str]:
    """What became of every frame, or of those of one replica."""
    return [frame.fate for frame in choice.frames if replica in (None, frame.replica)]
