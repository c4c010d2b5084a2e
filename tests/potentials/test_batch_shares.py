"""How often each kind of frame gives a training batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from ase import Atoms

from sparc_fw.documents import Label
from sparc_fw.potentials.deepmd_data import batch_shares


def label(symbols: str, origin: str) -> Label:
    frame = Atoms(symbols, positions=np.zeros((len(symbols), 3)), info={"origin": origin})
    return Label(frame, "ok", energy=0.0, forces=np.zeros((len(symbols), 3)))


LABELS = [label("HF", "scan")] * 2 + [label("HF", "pick")] * 6 + [label("NH", "pick")] * 2


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({}, [0.2, 0.6, 0.2]),
        ({"scan": 0.5}, [0.5, 0.375, 0.125]),
        ({"pick": 0.4}, [0.6, 0.3, 0.1]),
        ({"scan": 0.5, "dynamics": 0.3}, [0.5, 0.375, 0.125]),
        ({"scan": 0.2, "pick": 0.2}, [0.5, 0.375, 0.125]),
    ],
)
def test_shares(shares: Mapping[str, float], expected: list[float]) -> None:
    assert batch_shares(LABELS, shares) == pytest.approx(expected)
