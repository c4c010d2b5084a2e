"""Fixtures: real labels of NH3BH3, and two small Deep Potentials trained on them once per session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from sparc_fw.documents import Dataset, Label, TrainedModel
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.settings import Settings


def ammonia_borane() -> Atoms:
    """Staggered NH3BH3."""
    positions = [(0.0, 0.0, 0.0), (0.0, 0.0, 1.66)]
    for turn, angle, radius, base, sign in ((0.0, 104.9, 1.216, 0.0, 1), (np.pi / 3, 111.0, 1.021, 1.66, -1)):
        sine, cosine = radius * np.sin(np.deg2rad(angle)), radius * np.cos(np.deg2rad(angle))
        for k in range(3):
            phi = 2 * np.pi * k / 3 + turn
            positions.append((sine * np.cos(phi), sine * np.sin(phi), base + sign * cosine))
    return Atoms("BNH6", positions, info={"system": "nh3bh3", "charge": 0, "spin": 0})


def displaced(count: int, seed: int = 0, width: float = 0.08) -> list[Atoms]:
    """Frames whose every coordinate is displaced at random by `width`, Å."""
    rng = np.random.default_rng(seed)
    frames = [ammonia_borane() for _ in range(count)]
    for frame in frames:
        frame.positions += rng.normal(0, width, frame.positions.shape)
    return frames


def small_potential(**options: object) -> DeepMDPotential:
    """A potential that trains in a few seconds."""
    small: dict[str, object] = {"steps": 300, "descriptor_neurons": [8, 16], "axis_neurons": 4}
    small |= {"fitting_neurons": [24, 24], "learning_rate": 5e-3}
    return DeepMDPotential(DeepMDOptions.model_validate(small | options), Settings())


def ignore_progress(done: int, total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="session")
def xtb_labels() -> list[Label]:
    """60 displaced molecules labelled with GFN1-xTB."""
    labeler = XTBLabeler(XTBOptions(method="GFN1-xTB", force_cap=None), Settings())
    return [labeler.label(frame) for frame in displaced(60)]


@pytest.fixture(scope="session")
def members(xtb_labels: list[Label], tmp_path_factory: pytest.TempPathFactory) -> list[tuple[TrainedModel, Path]]:
    """Two members trained on the same labels with different seeds, and their files."""
    result = []
    for seed in (1, 2):
        directory = tmp_path_factory.mktemp(f"member{seed}")
        model = small_potential().train(Dataset(xtb_labels[:50], xtb_labels[50:]), seed, directory, ignore_progress)
        path = directory / f"model{model.suffix}"
        path.write_bytes(model.file)
        result.append((model, path))
    return result


@pytest.fixture(scope="session")
def models(members: list[tuple[TrainedModel, Path]]) -> list[Path]:
    """The two members' files."""
    return [path for _, path in members]
