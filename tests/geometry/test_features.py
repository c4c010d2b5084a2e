"""What describes whole frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from sparc_fw.errors import InputError
from sparc_fw.geometry import features
from sparc_fw.geometry.descriptor import frame_distances
from sparc_fw.geometry.features import DistanceOptions, SoapOptions, frame_features
from sparc_fw.local_cache import LocalCache

SMALL = SoapOptions(n_max=3, l_max=2)


def soap(frame: Atoms, elements: tuple[int, ...], options: SoapOptions = SMALL) -> np.ndarray:
    pytest.importorskip("dscribe")
    found = frame_features(
        options, elements, frame.numbers, frame.positions[None], frame.cell.array[None], tuple(frame.pbc)
    )
    assert found.dtype == np.float32
    return np.asarray(found[0])


def test_distances_are_the_sorted_ones() -> None:
    frame = molecule("CH3OH")
    found = frame_features(DistanceOptions(), (), frame.numbers, frame.positions[None])
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(frame_distances(frame), rel=1e-6)


def test_soap_is_the_same_turned_moved_and_reordered() -> None:
    frame = molecule("CH3CH2OH")
    turned = frame[np.random.default_rng(3).permutation(len(frame))]
    turned.rotate(37, (1, 2, 3))
    turned.translate((5, 0, -2))
    assert soap(turned, (1, 6, 8)) == pytest.approx(soap(frame, (1, 6, 8)), rel=1e-4, abs=1e-5)


def test_soap_compares_compositions_and_sizes() -> None:
    # The average over atoms: two molecules that do not see each other are described as one of them.
    one = molecule("H2O")
    two = one + one
    two.positions[3:] += (50, 0, 0)
    elements = (1, 6, 8)
    assert soap(two, elements) == pytest.approx(soap(one, elements), rel=1e-4, abs=1e-5)
    assert soap(molecule("CH4"), elements).shape == soap(one, elements).shape
    assert np.abs(soap(molecule("CH4"), elements) - soap(one, elements)).max() > 0.1


def test_soap_of_a_supercell_is_that_of_its_cell() -> None:
    cell = bulk("NaCl", "rocksalt", a=5.6)
    cell.positions[0] += 0.2
    assert soap(cell * (2, 1, 1), (11, 17)) == pytest.approx(soap(cell, (11, 17)), rel=1e-4, abs=1e-5)
    molecule_of_it = cell.copy()
    molecule_of_it.pbc = False
    # Without its neighbours in the next cells.
    assert np.abs(soap(molecule_of_it, (11, 17)) - soap(cell, (11, 17))).max() > 0.5


def test_soap_of_a_chain_needs_no_volume() -> None:
    chain = Atoms("H", [[0, 0, 0]], cell=[1.5, 0, 0], pbc=(True, False, False))
    assert soap(chain * (3, 1, 1), (1,)) == pytest.approx(soap(chain, (1,)), rel=1e-4, abs=1e-5)


def test_blocks_are_put_together_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = molecule("H2O")
    places = frame.positions * np.linspace(0.9, 1.2, 5)[:, None, None]
    expected = [soap(Atoms(frame.numbers, place), (1, 8)) for place in places]
    monkeypatch.setattr(features, "FRAMES_AT_ONCE", 2)
    assert frame_features(SMALL, (1, 8), frame.numbers, places) == pytest.approx(np.array(expected), rel=1e-6)


def test_elements_that_were_not_named_are() -> None:
    with pytest.raises(InputError, match="found frames with C, expected only H, O"):
        frame_features(SMALL, (1, 8), np.array([6, 1]), np.zeros((1, 2, 3)))


def test_cache_is_read_where_the_content_is_the_same(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path / "cache", limit=1e6)
    frame = molecule("H2O")
    places = frame.positions[None]

    def found(places: np.ndarray, box: float, pbc: tuple[bool, bool, bool] = (False, False, False)) -> np.ndarray:
        cells = np.eye(3)[None] * box
        return frame_features(DistanceOptions(), (), frame.numbers, places, cells, pbc, cache=cache)

    first = found(places, 10)
    (file,) = cache.folder.iterdir()
    np.save(file, first + 1)
    # The box of a molecule does not count.
    assert found(places, 20).tolist() == (first + 1).tolist()
    assert found(places, 1.5, (True, True, True)).tolist() != first.tolist()
    found(places + 1e-9 * np.arange(9).reshape(1, 3, 3), 10)
    assert len(list(cache.folder.iterdir())) == 3
