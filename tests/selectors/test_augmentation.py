"""Copies of picks: where their atoms are, and that they keep to the budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms, units

from sparc_fw.geometry.normal_modes import ForcesOf
from sparc_fw.geometry.overlap import overlapping
from sparc_fw.selectors.augmentation import Augmented, ModeCopies, NoisyCopies, augmented
from sparc_fw.selectors.shares import Share

LENGTH, STIFFNESS = 1.1, 20.0
"""Of a harmonic bond, Å and eV/Å^2."""


def nitrogen(system: str = "N2", length: float = LENGTH) -> Atoms:
    info = {"system": system, "charge": 0, "spin": 0, "origin": "pick"}
    return Atoms("N2", [[0, 0, 0], [0, 0, length]], info=info)


def harmonic(frame: Atoms) -> ForcesOf:
    def forces(positions: np.ndarray) -> np.ndarray:
        bonds = positions[:, 1] - positions[:, 0]
        lengths = np.linalg.norm(bonds, axis=1, keepdims=True)
        pull = STIFFNESS * (lengths - LENGTH) * bonds / lengths
        return np.stack([pull, -pull], axis=1)

    return forces


def copies_of(picks: list[Atoms], limit: int = 10**6, shares: tuple[Share, ...] = (), **options: Any) -> Augmented:
    kind = ModeCopies if options.get("kind") == "normal_modes" else NoisyCopies
    return augmented(picks, kind(**options), limit, shares, 3, harmonic)


def test_noise_is_uniform_on_every_axis_of_every_atom() -> None:
    pick = nitrogen()
    found = copies_of([pick], copies=4000, amplitude_A=0.05)
    noise = np.array([frame.positions for frame in found.frames]) - pick.positions
    assert np.abs(noise).max() <= 0.05
    assert noise.std(axis=0) == pytest.approx(np.full((2, 3), 0.05 / np.sqrt(3)), rel=0.04)
    assert np.corrcoef(noise.reshape(4000, 6).T) == pytest.approx(np.eye(6), abs=0.06)
    assert {frame.info["origin"] for frame in found.frames} == {"augmented"}
    assert (pick.info["origin"], found.frames[0].info["system"]) == ("pick", "N2")


def test_a_pick_has_the_same_copies_whatever_the_others_are() -> None:
    one, other = nitrogen(), nitrogen(length=1.5)
    both = copies_of([one, other], copies=2).frames
    assert [frame.positions.tolist() for frame in copies_of([other], copies=2).frames] == [
        frame.positions.tolist() for frame in both[2:]
    ]
    assert not np.allclose(both[0].positions, both[1].positions)


def test_copies_along_modes_have_boltzmanns_width_and_nothing_else() -> None:
    found = copies_of([nitrogen()], kind="normal_modes", copies=4000, temperature_K=500.0)
    positions = np.array([frame.positions for frame in found.frames])
    lengths = positions[:, 1, 2] - positions[:, 0, 2]
    assert lengths.std() == pytest.approx(np.sqrt(units.kB * 500.0 / STIFFNESS), rel=0.04)
    assert positions.mean(axis=1) == pytest.approx(np.tile([0, 0, LENGTH / 2], (4000, 1)), abs=1e-6)
    assert np.abs(positions[:, :, :2]).max() < 1e-6


def test_no_pick_is_given_up_for_a_copy() -> None:
    picks = [nitrogen(length=1.1 + 0.1 * number) for number in range(3)]
    found = copies_of(picks, limit=5)
    assert (len(found.frames), found.dropped) == (2, {"over_budget": 4})
    # The best pick has its copies first.
    assert np.abs(found.frames[1].positions - picks[0].positions).max() <= 0.05
    assert copies_of(picks, limit=6).dropped == {"over_budget": 3}
    assert copies_of(picks, limit=3).frames == []
    assert copies_of([], limit=3) == Augmented([], {})


def test_shares_of_the_budget_hold() -> None:
    picks = [nitrogen("a"), nitrogen("b"), nitrogen("a", 1.3)]
    shares = (Share(frozenset("a"), 0.5, 3), Share(frozenset("b"), 0.5, 9))
    found = copies_of(picks, limit=12, shares=shares)
    assert [frame.info["system"] for frame in found.frames] == ["a", "b", "b"]
    assert found.dropped == {"over_budget": 3}


def test_copies_whose_atoms_overlap_are_left_out_and_counted() -> None:
    found = copies_of([nitrogen()], copies=300, amplitude_A=0.6)
    assert found.dropped["overlap"] > 10
    assert len(found.frames) + found.dropped["overlap"] == 300
    positions = np.array([frame.positions for frame in found.frames])
    assert not overlapping(np.array([7, 7]), positions).any()


def test_where_the_potential_gives_no_number_there_are_no_modes() -> None:
    def broken(frame: Atoms) -> ForcesOf:
        return lambda positions: np.full(positions.shape, np.nan)

    found = augmented([nitrogen()], ModeCopies(), 9, (), 1, broken)
    assert (found.frames, found.dropped) == ([], {"nan": 2})
