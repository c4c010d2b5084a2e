"""What is exported and read again is what it was."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sparc_fw.documents import Label
from sparc_fw.formats.reading import read_labels
from sparc_fw.formats.writing import ENDINGS, write_labels

NUMBERS = st.floats(-1e3, 1e3, allow_nan=False, width=64)
TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=20)
COMPOSITIONS = (("O", "H", "H"), ("H", "O", "H"), ("B", "N", "H", "H"), ("He",), ("C", "Cl", "Na"))


@st.composite
def labels(draw: st.DrawFn) -> Label:
    symbols = draw(st.sampled_from(COMPOSITIONS))
    count = len(symbols)
    triples = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=count, max_size=count)
    pbc = draw(st.sampled_from([(False, False, False), (True, True, True), (True, True, False)]))
    cell = np.diag(draw(st.tuples(*[st.floats(3.0, 30.0)] * 3)))
    cell[1, 0], cell[2, 1] = draw(st.tuples(st.floats(-2, 2), st.floats(-2, 2)))
    if not any(pbc) and draw(st.booleans()):
        cell = np.zeros((3, 3))
    info = {"charge": draw(st.integers(-2, 2)), "spin": draw(st.integers(0, 3)), "system": "s-1.a", "origin": "pick"}
    frame = Atoms(symbols, np.array(draw(triples)), cell=cell, pbc=pbc, info=info)
    stress = draw(st.tuples(*[NUMBERS] * 6)) if any(pbc) and draw(st.booleans()) else None
    return Label(
        frame=frame,
        status="ok",
        energy=draw(st.floats(-1e5, 1e5, allow_nan=False)),
        forces=np.array(draw(triples)),
        stress=None if stress is None else np.array(stress),
        seconds=draw(st.floats(0, 1e6)),
        attempts=draw(st.integers(0, 3)),
        cores=draw(st.integers(1, 64)),
        message=draw(TEXT),
        code="pyscf",
        version="2.9",
        host=draw(st.sampled_from(["", "node-1"])),
        settings_hash=draw(st.sampled_from(["", "a" * 64])),
        key=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
    )


def assert_same(found: Label, expected: Label, kind: str) -> None:
    arrays = {"forces", "stress", "frame", "energy"}
    for name in vars(expected).keys() - arrays:
        assert getattr(found, name) == getattr(expected, name), name
    assert found.frame.info == expected.frame.info
    assert found.frame.get_chemical_symbols() == expected.frame.get_chemical_symbols()
    assert found.frame.pbc.tolist() == expected.frame.pbc.tolist()
    assert found.frame.positions.tolist() == expected.frame.positions.tolist()
    assert found.frame.cell.array.tolist() == expected.frame.cell.array.tolist()
    converted = kind == "ani"
    assert found.energy == (pytest.approx(expected.energy, rel=1e-14) if converted else expected.energy)
    assert found.forces is not None
    assert expected.forces is not None
    if converted:
        assert found.forces == pytest.approx(expected.forces, rel=1e-14, abs=1e-300)
    else:
        assert found.forces.tolist() == expected.forces.tolist()
    assert (found.stress is None) == (expected.stress is None)
    if expected.stress is not None:
        assert found.stress == pytest.approx(expected.stress, rel=1e-14, abs=1e-300)
        if kind in ("extxyz", "traj", "ase-db"):
            assert found.stress is not None
            assert found.stress.tolist() == expected.stress.tolist()


@pytest.mark.parametrize("kind", ENDINGS)
@settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, phases=[Phase.generate]
)
@given(made=st.lists(labels(), min_size=1, max_size=6))
def test_import_after_export_is_the_identity(kind: str, made: list[Label]) -> None:
    if kind == "ani":
        pytest.importorskip("h5py", reason="h5py is not installed: pip install 'sparc_fw[formats]'")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{ENDINGS[kind]}"
        write_labels(made, kind, path)
        readings = read_labels(path)
    assert [reading.reason for reading in readings] == [""] * len(made)
    for reading, label in zip(readings, made, strict=True):
        assert reading.label is not None
        assert_same(reading.label, label, kind)
