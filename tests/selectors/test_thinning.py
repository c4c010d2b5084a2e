"""Thinning, against runs in which it is known which frames tell something new."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from explored import choose, exploration, fates, step

from sparc_fw.errors import InputError
from sparc_fw.trajectories import Exploration, Uncertainty

WINDOW: dict[str, Any] = {"kind": "window"}
OUT = "not_worst_of_window"


def test_the_worst_of_each_window_in_time_stays() -> None:
    # 0 to 70 fs: [0, 30), [30, 60), [60, 90); another replica has windows of its own.
    runs = [exploration([0.3, 0.9, 0.4, 0.5, 0.2, 0.6, 0.7, 0.8]), exploration([0.4, 0.3], [6.0, 7.0], replica=1)]
    choice = choose(runs, [WINDOW, {"kind": "time_windows", "window_fs": 30.0}])
    assert choice.picks == [(0, 1), (0, 7), (0, 5), (1, 0)]
    assert fates(choice, 0) == [OUT, "pick", OUT, OUT, OUT, "pick", OUT, "pick"]


def test_a_window_without_candidates_gives_none_and_the_first_of_equals_stays() -> None:
    choice = choose([exploration([0.01, 0.02, 0.5, 0.5])], [WINDOW, {"kind": "time_windows", "window_fs": 20.0}])
    assert fates(choice) == ["accurate", "accurate", "pick", OUT]


def test_frames_that_follow_no_time_have_no_windows() -> None:
    run = exploration([0.5, 0.5])
    run.trajectories[0].times = np.full(2, np.nan)
    assert fates(choose([run], [WINDOW, {"kind": "time_windows", "window_fs": 1000.0}])) == ["pick", "pick"]


def pulled(bonds: list[float], energies: list[float]) -> Exploration:
    """A bond that is pulled, with the mean energies of two members."""
    run = exploration([0.5] * len(bonds), bonds)
    members = np.array([energies, energies]) + np.array([[0.1], [-0.1]])
    by_atom = np.zeros((len(bonds), 2), dtype=np.float32)
    return replace(run, uncertainty=[Uncertainty(by_atom, by_atom, members)])


ALONG: dict[str, Any] = {"kind": "reaction_step", "cv": {"kind": "distance", "atoms": [0, 1]}}


def test_kept_frames_differ_in_energy_and_along_the_reaction() -> None:
    bonds = [1.10, 1.105, 1.15, 1.20, 1.25, 1.101]
    energies = [0.00, 0.50, 0.04, 0.05, 0.10, 0.30]
    # Too near in length; too near in energy; far enough from the first; from both; and near the first again.
    expected = ["pick", "too_similar", "too_similar", "pick", "pick", "too_similar"]
    assert fates(choose([pulled(bonds, energies)], [WINDOW, ALONG])) == expected


def test_no_more_than_so_many_of_a_run() -> None:
    run = pulled([1.1, 1.2, 1.201, 1.3, 1.4], [0.0, 0.1, 0.2, 0.3, 0.4])
    choice = choose([run, replace(run, replica=1)], [WINDOW, ALONG | {"most": 2}])
    assert fates(choice, 0) == fates(choice, 1) == ["pick", "pick", "too_similar", *["over_number_of_run"] * 2]


def test_only_candidates_are_compared() -> None:
    run = replace(pulled([1.1, 1.1, 1.3], [0.0, 0.0, 0.1]), deviation=np.array([0.01, 0.5, 0.5]))
    assert fates(choose([run], [WINDOW, ALONG])) == ["accurate", "pick", "pick"]


def test_limits_are_those_of_the_paper() -> None:
    options = step(**ALONG).options
    # 1 kcal/mol and 0.01 Å.
    assert (options.min_energy_eV, options.min_step) == (0.0434, 0.01)


def test_atoms_of_the_variable_must_exist() -> None:
    with pytest.raises(InputError, match="cv: found atom 3, expected 0 to 2"):
        step("reaction_step", cv={"kind": "distance", "atoms": [0, 3]}).check({"water": Atoms("OH2")})
