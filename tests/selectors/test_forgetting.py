"""What later committees lost of fixed sets, and iterations that gained nothing."""

from __future__ import annotations

import pytest

from sparc_fw.documents import Report
from sparc_fw.selectors.forgetting import Memory, forgotten, memories, stalled


def report(iteration: int, test: list[float] | None, **held_out: list[float]) -> Report:
    """Of one iteration: mean absolute errors of its members, by set."""
    count = len(next(iter(held_out.values())))
    members = [
        {
            "test": None if test is None else {"force_mae": test[member]},
            "held_out": {name.removeprefix("of"): {"force_mae": found[member]} for name, found in held_out.items()},
        }
        for member in range(count)
    ]
    return Report("one", iteration, members, 0)


def test_each_set_is_followed_from_the_iteration_that_brought_it() -> None:
    reports = [
        report(0, [0.30, 0.32], of0=[0.10, 0.12]),
        report(1, [0.20, 0.22], of0=[0.14, 0.14], of1=[0.20, 0.24]),
        report(2, [0.18, 0.18], of0=[0.21, 0.23], of1=[0.11, 0.11], of2=[0.3, 0.3]),
    ]
    found = {memory.name: memory for memory in memories(reports)}
    assert list(found) == ["test", "0", "1", "2"]
    assert found["0"].mae == pytest.approx((0.11, 0.14, 0.22))
    assert found["0"].ratio == pytest.approx(1.0)
    # Half the distance of two members is the standard error of their mean.
    assert found["0"].noise == pytest.approx((0.01, 0.0, 0.01))
    assert found["1"].first == 1
    assert found["1"].mae == pytest.approx((0.22, 0.11))
    assert found["2"].ratio == 0.0
    assert forgotten(list(found.values()), 0.5) == (
        "forgetting: the mean force error on labels held out in iteration 0 rose from 0.110 to 0.220 eV/Å, by 100 % "
        "(limit 50 %)"
    )
    assert forgotten(list(found.values()), 1.5) == ""


def test_what_the_members_scatter_is_not_forgotten() -> None:
    memory = Memory("0", 0, (0.10, 0.20), (0.01, 0.06))
    assert memory.ratio == pytest.approx(1.0)
    assert forgotten([memory], 0.5) == ""
    assert forgotten([Memory("0", 0, (0.10, 0.20), (0.01, 0.04))], 0.5) != ""
    assert Memory("0", 0, (0.0, 0.0), (0.0, 0.0)).ratio == 0.0
    assert forgotten([Memory("0", 0, (0.0, 0.1), (0.0, 0.0))], 0.5).endswith("by inf % (limit 50 %)")


def test_a_set_that_lost_its_labels_is_not_followed() -> None:
    reports = [report(0, None, of0=[0.1]), Report("one", 1, [{"test": None, "held_out": {"1": {"force_mae": 0.2}}}], 0)]
    assert [memory.name for memory in memories(reports)] == ["1"]
    assert memories([]) == []


@pytest.mark.parametrize(
    ("mae", "unsure", "flat"),
    [
        ((0.20, 0.21, 0.20, 0.195), (0.3, 0.3, 0.29, 0.31), True),
        # One iteration that gained is enough, in either.
        ((0.20, 0.18, 0.20, 0.195), (0.3, 0.3, 0.29, 0.31), False),
        ((0.20, 0.21, 0.20, 0.195), (0.3, 0.3, 0.2, 0.31), False),
        # Two are not three.
        ((0.20, 0.21, 0.20), (0.3, 0.3, 0.29), False),
    ],
)
def test_iterations_without_gain_have_stalled(mae: tuple[float, ...], unsure: tuple[float, ...], flat: bool) -> None:
    told = stalled([Memory("test", 0, mae, (0.0,) * len(mae))], unsure, 3, 0.05)
    assert bool(told) == flat
    if flat:
        assert told.startswith(
            "3 iterations lowered neither the mean force error on the test set (0.200 eV/Å before, 0.195 since) nor "
            "the unsure fraction (30 % before, 29 % since) by 5 %"
        )


def test_without_a_set_that_all_share_nobody_can_tell() -> None:
    assert stalled([Memory("1", 1, (0.2,) * 5, (0.0,) * 5)], (0.3,) * 6, 3, 0.05) == ""
