"""Barriers from work profiles that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import units

from sparc_fw.work_profiles import Pull, barriers

CENTRE = np.linspace(1.5, 3.5, 101)


def pull(work: np.ndarray, per_ps: float = 1.0, ended: str = "completed", kelvin: float = 300.0) -> Pull:
    return Pull(per_ps, kelvin, CENTRE, work, ended)


def hill(height: float) -> np.ndarray:
    """Work over a barrier at 2.5 Å and down to half of it."""
    return np.asarray(height * np.where(CENTRE < 2.5, np.sin(np.pi * (CENTRE - 1.5) / 2) ** 2, 1 - (CENTRE - 2.5) / 2))


def test_the_barrier_is_the_highest_point_velocity_by_velocity() -> None:
    slow, fast = barriers([pull(hill(1.4), 2.0), pull(hill(1.0)), pull(hill(1.2))])
    assert (slow.per_ps, slow.runs, fast.per_ps, fast.runs) == (1.0, 2, 2.0, 1)
    assert slow.height == pytest.approx(1.1)
    assert slow.spread == pytest.approx(np.std([1.0, 1.2], ddof=1))
    # 1 % below the top of a squared sine.
    assert slow.place == pytest.approx(2.5 - 2 / np.pi * 0.1, abs=0.02)
    assert not slow.rising
    assert fast.height == pytest.approx(1.4)
    assert (fast.spread, fast.jarzynski) == (None, None)


def test_work_that_still_rises_is_told() -> None:
    [steep] = barriers([pull(CENTRE - 1.5)])
    [plateau] = barriers([pull(np.minimum(CENTRE - 1.5, 1.0))])
    assert steep.rising
    assert not plateau.rising


def test_runs_that_ended_early_do_not_count_beside_others() -> None:
    cut = Pull(1.0, 300.0, CENTRE[:10], hill(9.0)[:10], "it blew up")
    [found] = barriers([pull(hill(1.0)), cut])
    assert (found.runs, found.broken) == (1, ["it blew up"])
    assert found.height == pytest.approx(1.0)
    [alone] = barriers([cut])
    assert alone.height == hill(9.0)[9]


def test_the_published_stretch_of_hexane(test_data: Path) -> None:
    """Jung et al., Digit. Discov. 3, 514 (2024): 6.34 eV to break a chain at 1 Å/ps."""
    table = np.loadtxt(test_data / "hexane_al_asmr" / "smd_reference_dftb3.dat")
    # LAMMPS' fix smd counts work that is done on the atoms as negative.
    [found] = barriers([Pull(1.0, 10.0, table[:, 4], -table[:, 6], "completed")])
    assert found.height == pytest.approx(6.34, abs=0.005)
    assert found.place == pytest.approx(8.85, abs=0.1)
    assert not found.rising


def test_jarzynskis_average_of_gaussian_work_is_the_free_energy() -> None:
    """Work with variance 2 kT w has the mean F + w."""
    kelvin, lost = 1000.0, 0.02
    rng = np.random.default_rng(1)
    spread = np.sqrt(2 * units.kB * kelvin * lost)
    free = hill(0.5)
    way = np.linspace(0, 1, len(CENTRE))
    pulls = [pull(free + lost * way + spread * np.sqrt(way) * rng.normal(), kelvin=kelvin) for _ in range(400)]
    [found] = barriers(pulls)
    assert found.free_energy is not None
    assert found.error is not None
    assert found.mean[-1] == pytest.approx(free[-1] + lost, abs=4 * spread / 20)
    assert np.abs(found.free_energy - free)[1:].max() < 3.5 * found.error.max()
    assert found.error[-1] == pytest.approx(spread / 20, rel=0.3)
    assert found.jarzynski is not None
    assert found.jarzynski[0] == pytest.approx(0.5, abs=0.012)
