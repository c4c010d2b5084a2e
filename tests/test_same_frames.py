"""A frame is one whatever the order of its atoms, and a label comes in the order of who asked for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from fireworks import LaunchPad
from hypothesis import given
from hypothesis import strategies as st

from sparc_fw.dataset import dataset, reference_labels, training_labels
from sparc_fw.documents import Label, file_key
from sparc_fw.firetasks.base import make_backend
from sparc_fw.firetasks.stored_labels import StoredLabels
from sparc_fw.firetasks.teacher import StoredTeacher
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.loading import LoadedCampaign
from sparc_fw.same_frames import canonical_order, frame_hash, same_atoms
from sparc_fw.settings import Settings
from sparc_fw.store import Store
from sparc_fw.submission import submit

Loader = Callable[..., LoadedCampaign]
Work = Callable[..., None]
EXCHANGED = [0, 2, 1]


def water() -> Atoms:
    """Without symmetry; the first hydrogen comes last in the canonical order."""
    frame = molecule("H2O")
    frame.positions[1] += (0.05, 0.1, -0.08)
    frame.info = {"system": "water", "charge": 0, "spin": 0, "origin": "scan"}
    return frame


@given(st.permutations(range(8)), st.integers(0, 2**32 - 1))
def test_any_order_of_the_atoms_is_one_frame(order: list[int], seed: int) -> None:
    frame = Atoms("H3OCO2N", positions=np.random.default_rng(seed).normal(size=(8, 3)))
    mixed = frame[order]
    assert frame_hash(mixed) == frame_hash(frame)
    found = same_atoms(frame, mixed)
    assert found.tolist() == order
    assert np.array_equal(frame[found].positions, mixed.positions)
    moved = mixed.copy()
    moved.positions[3, 1] += 1e-5
    assert frame_hash(moved) != frame_hash(frame)
    with pytest.raises(ValueError, match=r"found the atoms of another frame, .* at the same places within 1e-6 Å"):
        same_atoms(frame, moved)


def test_atoms_side_by_side_are_sorted_by_their_next_coordinate() -> None:
    # Equal x, as in a crystal, but for the last bit and the sign of zero.
    frame = bulk("Cu", cubic=True)
    frame.positions[1:3, 0] = (1e-17, -0.0)
    assert [frame_hash(frame[order]) for order in ([3, 2, 1, 0], [2, 0, 3, 1])] == [frame_hash(frame)] * 2
    assert canonical_order(frame).tolist() == [0, 2, 1, 3]
    assert canonical_order(frame[[3, 2, 1, 0]]).tolist() == [3, 1, 2, 0]


def test_exchanged_elements_are_another_frame() -> None:
    carbon_monoxide, turned = Atoms("CO", [(0, 0, 0), (0, 0, 1.1)]), Atoms("OC", [(0, 0, 0), (0, 0, 1.1)])
    assert frame_hash(carbon_monoxide) != frame_hash(turned)


def test_a_label_is_handed_out_in_the_order_that_was_asked_for() -> None:
    frame = water()
    asked = frame[EXCHANGED]
    asked.info["origin"] = "pick"
    label = Label(frame, "ok", energy=-1.0, forces=np.arange(9.0).reshape(3, 3), key="of water")
    found = label.for_frame(asked)
    assert found.forces is not None
    assert found.forces.tolist() == [[0, 1, 2], [6, 7, 8], [3, 4, 5]]
    assert np.array_equal(found.frame.positions, asked.positions)
    assert found.frame.info["origin"] == "pick"
    assert label.frame.info["origin"] == "scan"
    assert file_key(asked, -1.0, found.forces) == file_key(frame, -1.0, label.forces)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"label of water…: found the atoms of another frame"):
        label.for_frame(molecule("H2O"))
    broken = water()
    broken.positions[2, 0] = np.nan
    failed = Label(broken, "failed", reason="bad_input").for_frame(broken[EXCHANGED])
    assert failed.forces is None
    assert np.isnan(failed.frame.positions[1, 0])


def stored_labels(store: Store, labeler: Any, folder: Path) -> StoredLabels:
    return StoredLabels(store, labeler, ("water", 0, 1), None, folder, lambda done: None)


def test_water_with_its_hydrogens_exchanged_is_a_hit_with_its_forces_exchanged(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("tblite", reason="tblite is not installed: pip install 'sparc_fw[xtb]'")
    labeler, frame = XTBLabeler(XTBOptions(), Settings()), water()
    first = stored_labels(store, labeler, tmp_path)
    with first.open():
        label, at_once = first.label(frame), first.label(frame[EXCHANGED])
    second = stored_labels(store, labeler, tmp_path)
    teacher = StoredTeacher(1, second, None, [], None, 0, tmp_path)  # type: ignore[arg-type]
    with second.open():
        later = teacher.label(frame[EXCHANGED])
    assert (first.computed, second.computed, store.labels.count_documents({})) == (1, 0, 1)
    again = labeler.label(frame[EXCHANGED])
    assert label.forces is not None
    for found in (at_once, later):
        assert found.forces is not None
        assert np.array_equal(found.forces, label.forces[EXCHANGED])
        assert found.forces == pytest.approx(again.forces, abs=1e-6)
    assert np.abs(label.forces[1] - label.forces[2]).max() > 0.1, "the test would see nothing else"


def consistent(labels: list[Label], labeler: Any) -> bool:
    """Whether the forces are those of the frames that they come with."""
    return all(np.allclose(label.forces, labeler.calculate(label.frame)[1], atol=1e-9) for label in labels)  # type: ignore[arg-type]


def test_a_campaign_that_asks_for_another_order_pays_nothing_and_trains_in_its_own(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    campaigns = []
    for name in ("one", "two"):
        loaded = load(name=name)
        labeler = make_backend("labeler", loaded.campaign.labeler, Settings())
        submit(store, launchpad, loaded)
        launchpad.set_priority(launchpad.fireworks.find_one({"spec.campaign_id": name})["fw_id"], 10**9)
        work(1)
        campaigns.append(loaded.campaign)
    for role in ("train", "test", "scan"):
        record = store.frameset("two", 0, role)
        assert record is not None
        frames = [frame[EXCHANGED] for frame in store.frames(record)]
        assert [labeler.key(frame) for frame in frames] == record["keys"]
        store.framesets.delete_one({"_id": record["_id"]})
        store.add_frames("two", 0, role, frames, record["keys"])
    for name in ("one", "two"):
        query = {"spec.campaign_id": name, "spec.stage": "label"}
        labelling = list(launchpad.fireworks.find(query))
        for firework in labelling:
            launchpad.set_priority(firework["fw_id"], 10**9)
        work(len(labelling))
        said = [launchpad.launches.find_one({"fw_id": one["fw_id"]})["action"]["stored_data"] for one in labelling]
        computed, hits = (sum(one[word] for one in said) for word in ("computed", "hits"))
        # The scan has a frame of the start, too.
        assert (computed, hits) == ((34, 1) if name == "one" else (0, 35))
    [part] = training_labels(store, "two", 0)
    for role, found in [("train", part), *((role, reference_labels(store, "two", role)) for role in ("test", "scan"))]:
        asked = np.array([frame.positions for frame in store.frames(store.frameset("two", 0, role) or {})])
        assert np.array([label.frame.positions for label in found]) == pytest.approx(asked, abs=1e-6)
        assert consistent(found, labeler)
    trained = dataset(store, campaigns[1], 0)
    assert consistent([*trained.train, *trained.validation], labeler)
