"""What the pictures of a campaign show, besides being pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from sparc_fw import figures
from sparc_fw.documents import FrameVerdict, Selection
from sparc_fw.store import Store


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    kept: list[Figure] = []
    save = figures.save_figure

    def keep(figure: Figure, path: Path) -> Path:
        kept.append(figure)
        return save(figure, path)

    monkeypatch.setattr(figures, "save_figure", keep)
    return kept


def selection(
    iteration: int, fates: list[str], deviations: list[float], window: tuple[float, float] = (0.2, 1.0)
) -> Selection:
    frames = [
        FrameVerdict(0, index, deviation, "candidate", fate)
        for index, (fate, deviation) in enumerate(zip(fates, deviations, strict=True))
    ]
    return Selection("one", iteration, frames, [], {}, {}, {}, window, "continue", "", go_on=True)


def test_deviations_are_all_seen_or_counted(store: Store, tmp_path: Path, drawn: list[Figure]) -> None:
    store.save_selection(selection(0, ["pick", "accurate", "nan", "pick"], [0.5, 0.1, np.nan, 0.9]))
    store.save_selection(selection(1, ["accurate", "pick", "failed"], [0.1, 0.3, np.inf]))
    rows = [{"iteration": 0, "labels": 20, "picks": 2}, {"iteration": 1, "labels": 22, "picks": 0}]
    figures.draw_deviation(store, "one", rows, tmp_path / "deviation.png")
    (axes,) = drawn[0].axes
    circles = [np.asarray(line.get_xydata()).tolist() for line in axes.lines if line.get_marker() == "o"]
    # What the last iteration picked was never labelled.
    assert circles == [[[0.0, 0.5], [3.0, 0.9]], []]
    (legend,) = drawn[0].legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told[-1] == "2 frames not drawn: deviation NaN, infinite or 0"
    box = legend.get_window_extent()
    assert not box.overlaps(axes.get_window_extent())
    assert drawn[0].bbox.contains(*box.min)
    assert drawn[0].bbox.contains(*box.max)


def test_errors_stand_above_the_labels_paid_until_the_training(tmp_path: Path, drawn: list[Figure]) -> None:
    errors: dict[str, Any] = {"test": {"force_rmse": 0.3}}
    row = errors | {"members": [errors, errors], "labels": 20, "labels_failed": 1, "labels_paid": 30}
    figures.draw_errors([row | {"labels_paid_to_train": 25}], tmp_path / "errors.png")
    (axes,) = drawn[0].axes
    drawn_at = [np.asarray(line.get_xdata()).tolist() for line in axes.lines]
    assert [counts for counts in drawn_at if counts] == [[25, 25], [25]]


def test_every_iteration_has_its_own_window(store: Store, tmp_path: Path, drawn: list[Figure]) -> None:
    store.save_selection(selection(0, ["pick"] * 4, [0.5, 0.1, 0.3, 0.9]))
    store.save_selection(selection(1, ["pick"] * 3, [0.5, 0.1, 0.3], (0.0, 0.4)))
    rows = [{"iteration": 0, "labels": 20, "picks": 4}, {"iteration": 1, "labels": 24, "picks": 3}]
    figures.draw_deviation(store, "one", rows, tmp_path / "deviation.png")
    (axes,) = drawn[0].axes
    corners = [band.get_paths()[0].get_extents() for band in axes.collections[:2]]
    assert [(box.x0, box.x1, box.y0, box.y1) for box in corners] == [(0, 4, 0.2, 1.0), (4, 7, 0.0, 0.4)]
    # A lower threshold of 0 is no place on a logarithmic axis.
    assert axes.get_ylim()[0] > 0.01
    (legend,) = drawn[0].legends
    assert "trust window, the last one 0 to 0.4 eV/Å" in [text.get_text() for text in legend.get_texts()]
