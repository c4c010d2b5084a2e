"""What a second calculation of a suspect label says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms

from sparc_fw.campaign import Suspects
from sparc_fw.documents import Label
from sparc_fw.potentials.base import Evaluator
from sparc_fw.suspicion import examined, find_suspects, judge
from sparc_fw.testing import morse

FRAME = Atoms("H2", [(0, 0, 0), (0, 0, 0.8)])


def label(energy: float | None, **values: Any) -> Label:
    if energy is None:
        return Label(FRAME, "failed", **values)
    return Label(FRAME, "ok", energy=energy, forces=np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("first", "again", "verdict"),
    [
        (label(-31.0), label(-31.0), "confirmed"),
        (label(-25.0), label(-31.0), "dropped"),
        # The second calculation is the one that went astray.
        (label(-31.0), label(-25.0), "confirmed"),
        (label(-25.0), label(None, reason="not_converged"), "dropped"),
        (label(-25.0), label(None, reason="timeout"), "undecided"),
        (label(-25.0), label(None, reason="crashed"), "undecided"),
    ],
)
def test_verdicts(first: Label, again: Label, verdict: str) -> None:
    assert judge(first, again, predicted_energy=-31.1, options=Suspects())[0] == verdict


class Exact(Evaluator):
    """A model that learned its labels without any error."""

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return morse(positions)


@pytest.mark.filterwarnings("error")
def test_among_residuals_without_spread_what_a_confirmation_would_allow_is_no_suspect() -> None:
    labels = []
    for number in range(40):
        frame = Atoms("H2", [(0, 0, 0), (0, 0, 0.8 + 0.02 * number)])
        energies, forces = morse(frame.positions[None])
        wrong = {3: 1e-9, 9: 0.04, 20: 0.2}.get(number, 0.0)
        energy = float(energies[0]) + wrong
        labels.append(Label(frame, "ok", energy=energy, forces=forces[0], key=str(number), code="morse"))
    found = find_suspects([Exact()], labels, Suspects(z_score=10.0, tolerance_eV=0.05, max_fraction=1.0))
    assert [suspect.label.key for suspect in found] == ["20"]
    assert found[0].z_energy == pytest.approx(0.2 / 0.05 * 10.0)
    assert found[0].z_force == pytest.approx(0.0)


def test_labels_of_another_charge_are_no_measure() -> None:
    # The model, which knows the neutral ones, believes all cations 1 eV too high; one neutral label is wrong.
    labels = []
    for number in range(64):
        frame = Atoms("H2", [(0, 0, 0), (0, 0, 0.8 + 0.01 * number)])
        frame.info.update(charge=number % 2, spin=number % 2)
        energies, forces = morse(frame.positions[None])
        energy = float(energies[0]) - (1.0 if number % 2 else 0.0) + (0.5 if number == 20 else 0.0)
        labels.append(Label(frame, "ok", energy=energy, forces=forces[0], key=str(number), code="morse"))
    found = find_suspects([Exact()], labels, Suspects(max_fraction=1.0))
    assert [suspect.label.key for suspect in found] == ["20"]
    assert found[0].z_energy == pytest.approx(0.5 / 0.05 * 5.0)


def test_new_labels_are_examined_and_of_the_others_as_many_as_find_room() -> None:
    labels = [Label(FRAME, "ok", key=str(number)) for number in range(50)]
    new = {str(number) for number in range(40, 50)}
    keys = [x.key for x in examined(labels, 30, new, seed=1)]
    assert keys == sorted(keys, key=int)
    assert len(keys) == 30
    assert new <= set(keys)
    assert set(keys) != {x.key for x in examined(labels, 30, new, seed=2)}
    assert {x.key for x in examined(labels, 5, new, seed=1)} <= new
    assert examined(labels, 50, new, seed=1) == labels
