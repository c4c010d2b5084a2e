"""Training data that are kept on the machine: the same whatever was kept, and never out of date."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from fireworks import LaunchPad
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparc_fw.campaign import Campaign, Labeling
from sparc_fw.dataset import dataset, surface, training_labels
from sparc_fw.documents import FROM_FILE, IMPORT, Dataset, Label
from sparc_fw.errors import StageFailed
from sparc_fw.firetasks.train import TrainTask
from sparc_fw.key_arrays import in_common, key_array
from sparc_fw.label_arrays import LabelBlock, content_hash
from sparc_fw.loading import LoadedCampaign
from sparc_fw.local_cache import LocalCache
from sparc_fw.seeds import derive_seed
from sparc_fw.store import Store
from trained_models import small_potential

Loader = Callable[..., LoadedCampaign]
LAST = 10**6


ENDINGS = st.sets(st.text("ab", min_size=3, max_size=3))


@given(ENDINGS, st.lists(ENDINGS, max_size=3))
def test_common_keys_are_found_whatever_they_begin_with(wanted: set[str], others: list[set[str]]) -> None:
    # Hashes hardly ever share their first 8 bytes; these do.
    def keys(endings: set[str]) -> list[str]:
        return [f"samesame{end}" for end in endings]

    found = in_common(key_array(keys(wanted)), [key_array(keys(other)) for other in others])
    assert found == [sorted(keys(wanted & other)) for other in others]


class History:
    """A campaign whose labels come, fail, are mended, dropped and imported, as a list of numbers says."""

    def __init__(self, store: Store, campaign: Campaign, tag: str) -> None:
        self.store = store
        self.campaign = campaign
        self.tag = tag
        self.iteration = -1
        self.labels: dict[str, Label] = {}
        self.waiting: list[Label] = []
        self.begin(5)

    def make(self, number: int) -> Label:
        rng = np.random.default_rng(number)
        symbols = "H3" if number % 3 else "H2O"
        frame = Atoms(symbols, positions=np.eye(3) + 0.2 * rng.normal(size=(3, 3)))
        frame.info = {"system": "h3", "charge": 0, "spin": 1, "origin": "pick" if number % 2 else "scan"}
        status: Any = "failed" if number % 5 == 0 else "ok"
        label = Label(frame, status, key=f"{self.tag}{number:04d}", code="numpy", settings_hash="same")
        if status == "failed":
            return replace(label, reason="timeout")
        return replace(label, energy=float(rng.normal()), forces=rng.normal(size=(3, 3)))

    def made(self, seed: int, count: int) -> list[Label]:
        # From a small range, so that frame sets ask for the same labels now and then.
        numbers = np.random.default_rng(seed).choice(60, size=count, replace=False)
        return [self.make(int(number)) for number in numbers]

    def save(self, labels: list[Label]) -> None:
        self.store.save_labels(labels, self.campaign.name, max(self.iteration, 0), None)

    def begin(self, seed: int) -> None:
        self.iteration += 1
        labels = self.made(seed, 6)
        frames, keys = [label.frame for label in labels], [label.key for label in labels]
        self.store.add_frames(self.campaign.name, self.iteration, "train", frames, keys)
        # The last one is labelled later where nothing follows at once.
        self.save(labels[:-1])
        self.waiting = labels[-1:]

    def arrive(self, seed: int) -> None:
        self.save(self.waiting)
        self.waiting = []

    def bring(self, seed: int) -> None:
        labels = [replace(x, code=FROM_FILE, settings_hash="") for x in self.made(seed, 4) if x.status == "ok"]
        if labels:
            self.save(labels)
            frames, keys = [label.frame for label in labels], [label.key for label in labels]
            self.store.add_import(self.campaign.name, frames, keys, ["file"])

    def chosen(self, status: str, seed: int) -> Label | None:
        query = {"_id": {"$regex": f"^{self.tag}"}, "status": status}
        keys = sorted(record["_id"] for record in self.store.labels.find(query, {"_id": 1}))
        return self.store.labels_by_key([keys[seed % len(keys)]])[keys[seed % len(keys)]] if keys else None

    def mend(self, seed: int) -> None:
        label = self.chosen("failed", seed)
        if label is not None:
            numbers = np.random.default_rng(seed).normal(size=(3, 3))
            self.save([replace(label, status="ok", reason=None, energy=float(seed), forces=numbers)])

    def drop(self, seed: int) -> None:
        label = self.chosen("ok", seed)
        if label is not None and self.store.flag_suspect(label.key, self.campaign.name, 0, "h3", {}):
            self.store.judge_suspect(label.key, "dropped" if seed % 4 else "confirmed", "chosen", label)

    def prepare(self, seed: int) -> None:
        dataset(self.store, self.campaign, self.iteration - seed % 2)

    def forget(self, seed: int) -> None:
        files = sorted(self.store.label_cache.folder.glob("*"))
        if files:
            files[seed % len(files)].unlink()


STEPS = ("begin", "begin", "arrive", "bring", "mend", "drop", "prepare", "prepare", "prepare", "forget")


def written(data: Dataset, directory: Path) -> dict[str, bytes]:
    """All that DeePMD-kit would read, by file; nothing where no label is left to train on."""
    if not data.train:
        return {}
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    small_potential().prepare(data, 1, directory)
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def by_definition(store: Store, campaign: Campaign) -> tuple[list[str], list[str]]:
    """Keys to train on and held out: frame set by frame set, with every label read."""
    train: list[str] = []
    held_out: list[str] = []
    seen: set[str] = set()
    framesets = store.training_framesets(campaign.name, LAST)
    for frameset, labels in zip(framesets, training_labels(store, campaign.name, LAST), strict=True):
        place = frameset["_id"] if frameset["role"] == IMPORT else frameset["iteration"]
        keys = [key for key in dict.fromkeys(frameset["keys"]) if key not in seen]
        seen.update(keys)
        ranked = sorted(keys, key=lambda key: derive_seed(campaign.seed, place, "validation", key))
        chosen = set(ranked[: round(campaign.validation.fraction * len(keys))])
        for label in labels:
            (held_out if label.key in chosen else train).append(label.key)
    return train, held_out


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1000)), min_size=3, max_size=25))
def test_what_was_kept_changes_nothing(
    store: Store, load: Loader, tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    number = store.framesets.count_documents({})
    history = History(store, load(name=f"history-{number}").campaign, f"{number}-")
    for name, seed in steps:
        getattr(history, name)(seed)
    warm = dataset(store, history.campaign, LAST)
    files = written(warm, tmp_path / "training")
    shutil.rmtree(store.label_cache.folder, ignore_errors=True)
    cold = dataset(store, history.campaign, LAST)
    assert content_hash(warm) == content_hash(cold)
    assert written(cold, tmp_path / "training") == files
    keys = ([label.key for label in warm.train], [label.key for label in warm.validation])
    assert keys == by_definition(store, history.campaign)
    stored = store.labels_by_key([*keys[0], *keys[1]])
    for label in (*warm.train, *warm.validation):
        assert label.energy == stored[label.key].energy
        np.testing.assert_array_equal(label.forces, stored[label.key].forces)


@pytest.fixture
def grown(store: Store, load: Loader) -> History:
    """A campaign of three iterations, all labelled."""
    history = History(store, load(name="grown").campaign, "k")
    for seed in (1, 2):
        history.arrive(0)
        history.begin(seed)
    history.arrive(0)
    return history


def test_only_what_is_new_is_read(grown: History, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(grown.store, grown.campaign, grown.iteration)
    asked: list[set[str]] = []
    read = grown.store.labels_with_revisions

    def watched(keys: list[str]) -> Any:
        asked.append(set(keys))
        return read(keys)

    monkeypatch.setattr(grown.store, "labels_with_revisions", watched)
    dataset(grown.store, grown.campaign, grown.iteration)
    assert asked == []
    grown.begin(7)
    grown.arrive(0)
    dataset(grown.store, grown.campaign, grown.iteration)
    new = grown.store.frameset("grown", grown.iteration, "train")
    assert new is not None
    assert asked == [set(new["keys"])]
    grown.drop(1)
    asked.clear()
    dataset(grown.store, grown.campaign, grown.iteration)
    assert len(asked) >= 1
    assert len(asked) < grown.iteration + 1


def test_changed_labels_are_found_by_an_index(grown: History) -> None:
    query = {"find": "sparc_labels", "filter": {"revision": {"$ne": 1}}}
    explained = grown.store.database.command({"explain": query, "verbosity": "queryPlanner"})
    plan = str(explained["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in plan
    assert "COLLSCAN" not in plan


def run(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)


OPEN = """
import os, signal, sys
from pathlib import Path
from sparc_fw.dataset import dataset
from sparc_fw.label_arrays import content_hash
from sparc_fw.launchpad import launchpad_at
from sparc_fw.settings import load_settings
from sparc_fw.store import Store
store = Store(launchpad_at(*sys.argv[1:3]).db, load_settings())
campaign = store.campaign("grown")
"""
TOGETHER = """
for turn in range(12):
    print(content_hash(dataset(store, campaign, 2)))
    if turn % 3 == int(sys.argv[3]):
        for path in list(store.label_cache.folder.glob("*"))[::2]:
            path.unlink(missing_ok=True)
"""
KILLED = """
Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
dataset(store, campaign, 2)
"""


@pytest.fixture
def registered(grown: History, load: Loader) -> History:
    """The same campaign, where other processes find it."""
    loaded = load(name="grown")
    grown.store.add_campaign(loaded.campaign, loaded.files)
    return grown


@pytest.mark.slow
def test_several_processes_at_once(registered: History, mongo_uri: str, database: str) -> None:
    processes = [run(OPEN + TOGETHER, mongo_uri, database, str(number)) for number in range(3)]
    printed = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    expected = content_hash(dataset(registered.store, registered.campaign, 2))
    assert printed == [[expected] * 12] * 3


@pytest.mark.slow
def test_a_process_killed_while_it_writes(registered: History, mongo_uri: str, database: str, tmp_path: Path) -> None:
    process = run(OPEN + KILLED, mongo_uri, database)
    assert process.wait() == -signal.SIGKILL
    cache = registered.store.label_cache
    left = list(cache.folder.iterdir())
    assert [path.name.startswith("unfinished-") for path in left] == [True]
    after = written(dataset(registered.store, registered.campaign, 2), tmp_path / "after")
    shutil.rmtree(cache.folder)
    assert written(dataset(registered.store, registered.campaign, 2), tmp_path / "clean") == after


def test_the_least_recently_used_files_go_first(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path / "cache", limit=25)
    cache.trim()
    for name in ("a", "b", "c"):
        cache.put(name, name.encode() * 10)
    assert cache.get("a") == b"a" * 10
    cache.trim()
    assert sorted(path.name for path in cache.folder.iterdir()) == ["a", "c"]
    assert cache.get("b") is None


def test_a_cache_that_holds_nothing_is_no_error(grown: History) -> None:
    kept = content_hash(dataset(grown.store, grown.campaign, 2))
    grown.store.label_cache.limit = 0
    shutil.rmtree(grown.store.label_cache.folder)
    assert content_hash(dataset(grown.store, grown.campaign, 2)) == kept
    assert list(grown.store.label_cache.folder.iterdir()) == []


def test_blocks_are_bytes_and_back() -> None:
    rng = np.random.default_rng(0)
    labels = []
    for number in range(7):
        cell = Atoms("H2O", rng.normal(size=(3, 3)), cell=np.eye(3) * 5, pbc=[True, True, number % 2 == 0])
        cell.info = {"system": "ß", "charge": -1, "spin": 0, "origin": "pick"}
        label = Label(cell if number % 3 else Atoms("HF", rng.normal(size=(2, 3))), "ok", energy=rng.normal())
        label.forces, label.key = rng.normal(size=(len(label.frame), 3)), f"key{number}"
        label.stress = rng.normal(size=6) if number % 3 else None
        labels.append(label)
    made = LabelBlock.of(labels)
    data = b"12345678" + made.to_bytes()
    block, end = LabelBlock.from_bytes(data, 8)
    assert end == len(data)
    assert (len(block), block.digest, block.settings) == (7, made.digest, {"": 7})
    for before, after in zip(labels, block.labels(), strict=True):
        assert (after.frame, after.energy, after.key) == (before.frame, before.energy, before.key)
        assert after.frame.info == before.frame.info
        np.testing.assert_array_equal(after.forces, before.forces)
        np.testing.assert_array_equal(after.stress, before.stress)


def test_labels_far_up_are_kept_but_not_trained_on(store: Store, load: Loader) -> None:
    loaded = load(name="window", labeling={"energy_window_eV": 1.0}, validation={"fraction": 0.3})
    store.add_campaign(loaded.campaign, loaded.files)
    history = History(store, loaded.campaign, "w")
    history.arrive(0)
    for seed in range(4):
        history.begin(seed)
        history.arrive(seed)
    lowest: dict[str, float] = {}
    inside: set[str] = set()
    good = 0
    for part in training_labels(store, "window", LAST):
        for label in part:
            formula = label.frame.get_chemical_formula()
            assert label.energy is not None
            lowest[formula] = min(label.energy, lowest.get(formula, np.inf))
        inside |= {x.key for x in part if (x.energy or 0.0) - lowest[x.frame.get_chemical_formula()] <= 1.0}
        good += len(part)
    assert 3 < len(inside) < good - 3
    for _ in range(2):  # made anew, and from the files
        data = dataset(store, loaded.campaign, LAST)
        assert {label.key for label in [*data.train, *data.validation]} == inside
        assert data.left_out == good - len(inside)
    wider = loaded.campaign.model_copy(update={"labeling": Labeling(energy_window_eV=100.0)})
    assert dataset(store, wider, LAST).left_out == 0


def test_window_moves_for_later_labels_when_the_lowest_is_dropped(store: Store, load: Loader) -> None:
    loaded = load(name="lowest", labeling={"energy_window_eV": 1.0})
    store.add_campaign(loaded.campaign, loaded.files)
    for iteration, energies in enumerate([{"a": -5.0, "b": 0.0}, {"c": 0.5, "d": 0.2}]):
        frames = [Atoms("H3", np.eye(3) + energy, info={"charge": 0, "spin": 1}) for energy in energies.values()]
        store.add_frames("lowest", iteration, "train", frames, list(energies))
        labels = [
            Label(frame, "ok", energy=energy, forces=np.zeros((3, 3)), code="numpy", settings_hash="same", key=key)
            for frame, (key, energy) in zip(frames, energies.items(), strict=True)
        ]
        store.save_labels(labels, "lowest", iteration, None)
    assert dataset(store, loaded.campaign, LAST).left_out == 3
    bottom = store.labels_by_key(["a"])["a"]
    assert store.flag_suspect("a", "lowest", 0, "h3", {})
    store.judge_suspect("a", "dropped", "chosen", bottom)
    data = dataset(store, loaded.campaign, LAST)
    assert sorted(label.key for label in [*data.train, *data.validation]) == ["b", "c", "d"]
    assert data.left_out == 0


def test_charged_molecules_have_a_lowest_energy_of_their_own() -> None:
    frames = [Atoms("H2O", info={"charge": charge, "spin": spin}) for charge, spin in ((0, 0), (1, 1), (0, 2))]
    assert [surface(frame) for frame in [*frames, Atoms("OHH")]] == ["H2O_0_0", "H2O_1_1", "H2O_0_2", "H2O_0_0"]


@pytest.mark.parametrize(("settings_hash", "code", "refused"), [("other", "numpy", True), ("", FROM_FILE, False)])
def test_labels_of_different_settings_do_not_train_together(
    store: Store, launchpad: LaunchPad, load: Loader, settings_hash: str, code: str, refused: bool
) -> None:
    loaded = load(name="mixed")
    store.add_campaign(loaded.campaign, loaded.files)
    history = History(store, loaded.campaign, "m")
    history.arrive(0)
    label = replace(history.make(61), code=code, settings_hash=settings_hash)
    history.save([label])
    store.add_import("mixed", [label.frame], [label.key], ["file"])
    history.begin(1)
    history.arrive(0)
    task = TrainTask()
    task.launchpad, task.fw_id = launchpad, 1
    spec = {"campaign_id": "mixed", "iteration": 1, "member": 0}
    if refused:
        with pytest.raises(StageFailed, match=r"1 of hash other….*--relabel mixed"):
            task.run_task(spec)
    else:
        task.run_task(spec)
        assert store.model("mixed", 1, 0) is not None
