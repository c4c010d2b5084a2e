"""Every measure, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from explored import choose, exploration, fates, step
from pydantic import ValidationError

from sparc_fw.errors import InputError
from sparc_fw.selectors.measures import MeasureOptions, measured
from sparc_fw.selectors.pool import Pool
from sparc_fw.trajectories import Exploration, Uncertainty

# Two frames of O and two H; three members.
SAID = Uncertainty(
    force_deviation=np.array([[0.4, 0.2, 0.3], [0.1, 0.5, 0.0]], dtype=np.float32),
    mean_force=np.array([[3.9, 0.1, 0.2], [0.0, 9.9, 0.0]], dtype=np.float32),
    energies=np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.3]]),
)


def explored(said: Uncertainty | None = SAID, numbers: tuple[int, ...] = (8, 1, 1), replica: int = 0) -> Exploration:
    run = exploration([0.4, 0.5], replica=replica)
    positions = np.zeros((2, 3, 3))
    positions[:, :, 0] = np.arange(3)
    part = replace(run.trajectories[0], numbers=np.array(numbers), positions=positions)
    return replace(run, trajectories=[part], uncertainty=[] if said is None else [said])


def values(**options: Any) -> list[float]:
    made = MeasureOptions(kind="window", **options)
    found: list[float] = measured(Pool([explored()]), made).tolist()
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.4, 0.5]),
        ({"measure": "force_mean"}, [0.3, 0.2]),
        # Linear between the middle value and the largest.
        ({"measure": "force_quantile", "quantile": 0.75}, [0.35, 0.3]),
        ({"measure": "force_quantile"}, [0.38, 0.42]),
        ({"measure": "force_quantile", "quantile": 1.0}, [0.4, 0.5]),
        # 0.4 / 4.0, 0.2 / 0.2, 0.3 / 0.3; then 0.1 / 0.1, 0.5 / 10.
        ({"measure": "force_normalised"}, [1.0, 1.0]),
        ({"measure": "force_normalised", "epsilon_eV_per_A": 1.0}, [0.3 / 1.2, 0.1]),
        ({"measure": "energy"}, [np.sqrt(14 / 3), np.sqrt(0.02)]),
        ({"measure": "energy_per_atom"}, [np.sqrt(14 / 3) / 3, np.sqrt(0.02) / 3]),
        ({"elements": ["H"]}, [0.3, 0.5]),
        ({"elements": ["O", "N"]}, [0.4, 0.1]),
        ({"atoms": [2]}, [0.3, 0.0]),
        ({"atoms": [0, 1], "measure": "force_mean"}, [0.3, 0.3]),
        # Frames without any of these are judged by all their atoms.
        ({"elements": ["Fe"]}, [0.4, 0.5]),
        ({"atoms": [7]}, [0.4, 0.5]),
    ],
)
def test_known_values(options: dict[str, Any], expected: list[float]) -> None:
    assert values(**options) == pytest.approx(expected, rel=1e-6)


def test_the_window_goes_by_its_measure() -> None:
    window = {"kind": "window", "measure": "energy", "f_lo": 0.5, "f_hi": 3.0}
    choice = choose([explored()], [window])
    assert fates(choice) == ["pick", "accurate"]
    assert choice.thresholds == ("0.5 eV", "3 eV")
    assert [frame.deviation for frame in choice.frames] == pytest.approx([2.160247, 0.141421], rel=1e-5)
    assert choose([explored()], [window | {"measure": "force_normalised"}]).thresholds == ("0.5", "3")


def test_a_measure_that_is_not_finite_has_failed() -> None:
    energies = SAID.energies.copy()
    energies[1, 0] = np.inf
    window = {"kind": "window", "measure": "energy", "f_lo": 0.1, "f_hi": 3.0}
    assert fates(choose([explored(replace(SAID, energies=energies))], [window])) == ["failed", "pick"]


def test_what_was_not_kept_cannot_be_asked_for() -> None:
    runs = [explored(), explored(None, replica=1)]
    assert len(choose(runs, [{"kind": "window"}]).frames) == 4
    with pytest.raises(InputError, match=r"^select\[0\] \(window\): measure force_mean: of the explorations nothing"):
        choose(runs, [{"kind": "window", "measure": "force_mean", "f_lo": 0.1, "f_hi": 1.0}])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"quantile": 0.5}, "quantile: found it beside the measure force_max, expected it with force_quantile only"),
        ({"measure": "energy", "epsilon_eV_per_A": 0.2}, "epsilon_eV_per_A: found it beside the measure energy"),
        ({"measure": "energy", "elements": ["H"]}, "elements, atoms: found them beside energy"),
        ({"elements": ["H"], "atoms": [0]}, "elements, atoms: found both"),
        ({"elements": ["Hh"]}, "elements: found 'Hh', expected chemical symbols"),
        (
            {"measure": "energy", "f_lo": 0.1},
            "f_lo, f_hi: their defaults are for force_max, expected both beside energy",
        ),
    ],
)
def test_options_that_do_not_belong_together(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        step("window", **options)


def test_atoms_that_no_system_has_are_told_before_anything_runs() -> None:
    systems = {"water": Atoms("OH2"), "methane": Atoms("CH4")}
    step("window", elements=["C"]).check(systems)
    step("window", atoms=[4]).check(systems)
    with pytest.raises(InputError, match=r"elements: found 'N', expected of \['C', 'H', 'O'\]"):
        step("window", elements=["N"]).check(systems)
    with pytest.raises(InputError, match="atoms: found atom 5, expected 0 to 4"):
        step("window", atoms=[5]).check(systems)
