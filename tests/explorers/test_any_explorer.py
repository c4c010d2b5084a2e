"""What explorers of any kind promise, those included whose frames follow each other in no time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from model_surfaces import Springs, replica
from sparc_fw.explorers.base import Explorer, ExplorerOptions, Replica
from sparc_fw.geometry.inline import InlineStructure
from sparc_fw.registry import backend_classes
from sparc_fw.settings import Settings
from trained_models import ammonia_borane, small_potential


def stretched() -> Atoms:
    frame = ammonia_borane()
    frame.positions[[1, 5, 6, 7], 2] += 0.3
    return frame


CASES: dict[str, dict[str, Any]] = {
    "ase_md": {"duration_ps": [0.02], "frame_every_fs": 5.0},
    "uncertainty": {"duration_ps": [0.02], "frame_every_fs": 5.0},
    "on_the_fly": {"duration_ps": [0.02], "frame_every_fs": 5.0},
    "neb": {"final": InlineStructure.from_atoms(stretched()), "max_steps": 5, "images": 3, "relax_ends": False},
    "saddle": {"max_steps": 5, "around": {"frames": 2}},
    "normal_modes": {"max_steps": 5, "frames": 3},
}
IN_TIME = ("ase_md", "uncertainty", "on_the_fly")


def explorer(kind: str) -> Explorer[Any]:
    found = backend_classes("explorer")[kind]
    made = found(found.Options.model_validate({"kind": kind} | CASES[kind]), Settings())
    assert isinstance(made, Explorer)
    made.check(ammonia_borane())
    return made


def check(kind: str, at: Replica, planned: float) -> None:
    [found] = explorer(kind).explore(at)
    start = ammonia_borane()
    assert (found.numbers == start.numbers).all()
    assert found.frame(0).info == {"system": "nh3bh3", "charge": 0, "spin": 0}
    assert not found.frame(0).pbc.any()
    # The start is among what is judged.
    assert np.abs(found.positions - start.positions).max(axis=(1, 2)).min() < 1e-12
    assert np.isfinite(found.positions).all()
    assert len(found.times) == len(found.cells) == len(found) >= 2
    assert np.isnan(found.times).all() if kind not in IN_TIME else (np.diff(found.times) == 5.0).all()
    assert (planned > 0) == (kind in IN_TIME)
    assert found.ended == "completed" or "convergence" in found.ended
    assert found.seconds > 0


@pytest.mark.parametrize("kind", CASES)
def test_frames_of_any_explorer(kind: str) -> None:
    options: ExplorerOptions = explorer(kind).options
    committee = [Springs(ammonia_borane(), least) for least in (8.0, 10.0)]
    check(kind, replica(ammonia_borane(), *committee), options.planned_ps(0))
    runs: Sequence[Any] = [
        explorer(kind).explore(replica(ammonia_borane(), *committee, seed=seed))[0].positions for seed in (5, 5, 6)
    ]
    assert np.array_equal(runs[0], runs[1])
    # A band draws nothing at random.
    assert (kind == "neb") == np.array_equal(runs[0], runs[2])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in CASES if kind not in ("ase_md", "on_the_fly")])
def test_explorers_on_a_trained_committee(kind: str, models: list[Path]) -> None:
    here = replica(ammonia_borane())
    check(kind, replace(here, potential=small_potential(), models=models), explorer(kind).options.planned_ps(0))
