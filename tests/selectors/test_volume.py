"""D-optimality, k-DPP and CUR against what their definitions say, written out."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from sparc_fw.selectors.volume import cur, d_optimal, k_dpp, leverages

FEATURES = np.random.default_rng(5).normal(size=(12, 4)) * [3.0, 2.0, 1.0, 0.5]
WEIGHTS = np.random.default_rng(6).uniform(0.2, 1, 12)
KNOWN = np.random.default_rng(7).normal(size=(2, 4))
RIDGE = 0.05


def noise(features: np.ndarray) -> float:
    return float(RIDGE * np.mean(np.sum(features**2, axis=1)))


def test_d_optimal_is_the_greedy_most_likely_set() -> None:
    """Of the kernel 1 + X X^T / r, by determinants of its submatrices, with the known rows in every set."""
    rows = np.vstack([FEATURES * WEIGHTS[:, None], KNOWN])
    kernel = np.eye(14) + rows @ rows.T / noise(FEATURES)
    expected: list[int] = []
    while len(expected) < 8:
        sets = {row: [12, 13, *expected, row] for row in range(12) if row not in expected}
        expected.append(max(sets, key=lambda row: float(np.linalg.slogdet(kernel[np.ix_(sets[row], sets[row])])[1])))
    assert d_optimal(FEATURES, 8, KNOWN, WEIGHTS, RIDGE) == expected


def test_d_optimal_goes_on_beyond_the_number_of_features() -> None:
    assert sorted(d_optimal(FEATURES, 99)) == list(range(12))
    axes = np.diag([1.0, 3.0, 2.0])
    assert d_optimal(np.vstack([axes, axes[1:2]]), 3) == [1, 2, 0]


def test_leverage_is_what_a_row_adds_to_the_determinant() -> None:
    information = noise(KNOWN) * np.eye(4) + KNOWN.T @ KNOWN
    grown = [np.linalg.det(information + np.outer(row, row)) / np.linalg.det(information) for row in FEATURES]
    assert leverages(FEATURES, KNOWN, RIDGE) == pytest.approx(np.array(grown) - 1)
    assert leverages(KNOWN, KNOWN, RIDGE).max() < 1


@pytest.mark.parametrize("known", [None, KNOWN])
def test_k_dpp_draws_sets_by_their_determinant(known: np.ndarray | None) -> None:
    features, weights = FEATURES[:5], WEIGHTS[:5]
    inner = np.eye(4) if known is None else np.linalg.inv(np.eye(4) + known.T @ known / noise(features))
    rows = features * weights[:, None]
    kernel = rows @ inner @ rows.T
    sets = list(combinations(range(5), 2))
    chances = np.array([np.linalg.det(kernel[np.ix_(pair, pair)]) for pair in sets])
    draws = Counter(tuple(sorted(k_dpp(features, 2, seed, known, weights, RIDGE))) for seed in range(1200))
    found = np.array([draws[pair] for pair in sets]) / 1200
    # Three standard deviations of the largest share are 0.043.
    assert found == pytest.approx(chances / chances.sum(), abs=0.045)


def test_k_dpp_never_draws_copies_while_there_is_volume() -> None:
    copies = np.repeat(np.eye(3), 4, axis=0)
    for seed in range(50):
        assert {row // 4 for row in k_dpp(copies, 3, seed)} == {0, 1, 2}
    # Three directions only: further rounds.
    assert sorted(k_dpp(copies, 12, 0)) == list(range(12))
    assert k_dpp(np.zeros((3, 2)), 2, 0) == [0, 1]
    assert k_dpp(FEATURES, 3, 8) == k_dpp(FEATURES, 3, 8)


def test_k_dpp_of_hundreds_neither_overflows_nor_underflows() -> None:
    random = np.random.default_rng(9)
    features = (random.normal(size=(600, 300)) * np.geomspace(1, 1e-4, 300)).astype(np.float32)
    assert len(set(k_dpp(features, 250, 0))) == 250


def test_cur_is_the_leading_singular_vector_row_by_row() -> None:
    rest = FEATURES * WEIGHTS[:, None]
    expected: list[int] = []
    for _ in range(4):
        left = np.linalg.svd(rest)[0][:, 0]
        expected.append(int(np.argmax(np.abs(left))))
        unit = rest[expected[-1]] / np.linalg.norm(rest[expected[-1]])
        rest = rest - np.outer(rest @ unit, unit)
    assert cur(FEATURES, 4, weights=WEIGHTS) == expected


def test_cur_leaves_copies_and_what_is_known() -> None:
    rows = np.vstack([np.diag([3.0, 2.0, 1.0]), [[2.9, 0.0, 0.0]]])
    assert cur(rows, 3) == [0, 1, 2]
    assert cur(rows, 4) == [0, 1, 2, 3]
    # 100 rows along the first axis: nothing is left of it.
    assert cur(rows, 2, known=np.tile([[5.0, 0.0, 0.0]], (100, 1))) == [1, 2]
    assert cur(np.zeros((3, 2)), 2) == [0, 1]


def test_greedy_choices_do_not_depend_on_the_order() -> None:
    order = np.random.default_rng(1).permutation(12)
    assert [order[row] for row in d_optimal(FEATURES[order], 6)] == d_optimal(FEATURES, 6)
    assert [order[row] for row in cur(FEATURES[order], 4)] == cur(FEATURES, 4)


def test_frames_without_features_come_by_index() -> None:
    empty = np.zeros((3, 0), dtype=np.float32)
    assert d_optimal(empty, 2) == [0, 1]
    assert cur(empty, 2) == k_dpp(empty, 2, 0) == [0, 1]
