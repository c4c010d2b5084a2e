"""What the picture of a calibration shows, besides being one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparc_fw.calibration_figure import draw_calibration
from sparc_fw.figures import save_figure
from sparc_fw.selectors.calibration import calibrate
from sparc_fw.selectors.calibration_records import Calibration, Pairs

WIDE = (0.05, 2.0)


def labels(count: int, failed: int) -> Pairs:
    """Labels of which every third was drawn at random, and the last ones failed."""
    rng = np.random.default_rng(1)
    sigma = np.sort(rng.lognormal(-1.5, 0.6, count))
    error = 2 * (sigma + 0.05) * rng.lognormal(0, 0.3, count)
    error[count - failed :] = np.nan
    force = np.where(np.isfinite(error), 3.0, np.nan)
    return Pairs(sigma, error, force, np.arange(count) % 3 == 0, np.ones(count))


def calibrated(pairs: Pairs, earlier: Calibration | None = None) -> Calibration:
    return calibrate("nh3bh3", pairs, pairs.sigma, 0.5, 0.8, WIDE, earlier, pairs)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were saved."""
    kept: list[Any] = []

    def keep(figure: Any, path: Path) -> Path:
        kept.append(figure)
        return save_figure(figure, path)

    monkeypatch.setattr("sparc_fw.calibration_figure.save_figure", keep)
    return kept


def told(figure: Any) -> list[str]:
    [legend] = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_all_labels_and_what_was_made_of_them_are_seen(tmp_path: Path, drawn: list[Any]) -> None:
    pairs = labels(90, failed=6)
    found = calibrated(pairs, calibrated(pairs))
    path = draw_calibration(found, pairs, tmp_path / "calibration.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    left, right = drawn[0].axes
    lines = {line.get_label(): line for line in left.lines}
    good = pairs.good
    assert lines["random (28 labels)"].get_xdata().tolist() == good.sigma[good.random].tolist()
    assert lines["picks (56 labels)"].get_ydata().tolist() == good.error[~good.random].tolist()
    assert lines["80 % bound, random frames"].get_ydata()[0] == pytest.approx(
        found.explored.at(pairs.sigma[:1])[0] if found.explored is not None else None
    )
    assert {"failed (6 labels)", "target 0.5 eV/Å", f"f_lo {found.f_lo:.3g} to f_hi {found.f_hi:.3g} eV/Å"} <= set(
        told(drawn[0])
    )
    shown = [text.get_text() for text in right.get_legend().get_texts()]
    assert sorted(shown) == [
        "picks, held out (56)",
        "picks, new labels (56)",
        "random, held out (28)",
        "random, new labels (28)",
        "± 5 points",
    ]
    box = drawn[0].legends[0].get_window_extent()
    assert not box.overlaps(left.get_window_extent())
    assert drawn[0].bbox.contains(*box.min)
    assert drawn[0].bbox.contains(*box.max)


def test_too_few_labels_are_drawn_without_bounds(tmp_path: Path, drawn: list[Any]) -> None:
    for pairs in (labels(2, failed=1), labels(3, failed=3), labels(90, failed=0).part(np.zeros(90, dtype=bool))):
        draw_calibration(calibrated(pairs), pairs, tmp_path / "calibration.png")
        assert "f_lo 0.05 to f_hi 2 eV/Å, wide: too few labels" in told(drawn[-1])
        assert not [name for name in told(drawn[-1]) if "bound" in name]


def test_a_deviation_of_zero_is_no_reason_to_fail(tmp_path: Path, drawn: list[Any]) -> None:
    pairs = labels(60, failed=0)
    pairs = replace(pairs, sigma=np.where(pairs.sigma == pairs.sigma.min(), 0.0, pairs.sigma))
    draw_calibration(calibrated(pairs), pairs, tmp_path / "calibration.png")
    assert len(drawn) == 1
