"""Labels for whoever cannot say beforehand which frames he needs: dynamics that the labeler drives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ase import Atoms

from sparc_fw.documents import Label, Reason
from sparc_fw.errors import StageFailed
from sparc_fw.labelers.base import Labeler
from sparc_fw.processes import own_mark
from sparc_fw.store import Store

FINAL_REASONS = frozenset({"not_converged", "overlap", "force_cap", "nan", "wrong_state", "bad_input"})
"""Failures that would come again; a rerun repeats only the others, and `not_converged` where more is tried now."""

WRITE_SECONDS = 0.2
"""A label waits no longer for others to be written with: MongoDB answers when a kill can no longer undo a write."""

WAIT_SECONDS = 0.5
"""How often to look whether another worker is done with a label."""


def may_come_right(labeler: Labeler[Any], reason: Reason | None, effort_hash: str | None) -> bool:
    """Whether a label that failed may not fail again."""
    if reason == "not_converged":
        return effort_hash != labeler.effort_hash
    return reason not in FINAL_REASONS


def compute(labeler: Labeler[Any], key: str, frame: Atoms) -> Label:
    """Label a frame under the key that it was asked for by."""
    label = labeler.label(frame)
    if label.key != key:
        raise StageFailed(
            f"frame {key[:12]}…: its key was made where files that the labeler's options name (pseudopotentials, "
            "scripts) hold something else, by another release of this package, or, with labeler.key_with_version, with "
            f"another version of the code than {label.code} {label.version}, which this worker has; expected the same "
            "on all workers: put it right here, or begin a new campaign with --relabel"
        )
    return label


class StoredLabels:
    """Labels frames one by one, each computed once whoever asks, and kept as soon as it is there.

    So a task that was killed and runs again, with the same seed, is handed what it computed, and goes on from there.

    Parameters
    ----------
    place : tuple
        Campaign, iteration and Firework that pay.
    launch_id : int or None
        The launch that they are computed in.
    directory : Path
        Where calculations may leave files.
    progress : callable
        Told how many labels there are, after each.

    Attributes
    ----------
    systems : dict of str to str
        The system of every label that was asked for, by key, in the order of asking.
    computed : int
        How many had to be computed.
    """

    def __init__(
        self,
        store: Store,
        labeler: Labeler[Any],
        place: tuple[str, int, int | None],
        launch_id: int | None,
        directory: Path,
        progress: Callable[[int], None],
    ) -> None:
        self.systems: dict[str, str] = {}
        self.computed = 0
        self._store = store
        self._labeler = labeler
        self._place = place
        self._launch_id = launch_id
        self._directory = directory
        self._progress = progress
        self._owner = own_mark()
        self._stack = ExitStack()
        self._at_work = False
        self._known: dict[str, Label] = {}
        self._found: list[str] = []
        self._new: list[Label] = []
        self._written = 0.0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Label while the context lasts; at its end, whatever ends it, all labels are written down."""
        with self._stack:
            try:
                yield
            finally:
                self._write()
                self._store.ask(self._found, *self._place)

    def label(self, frame: Atoms) -> Label:
        """The label of a frame, its forces in the order of its atoms; failures are labels, too."""
        key = self._labeler.key(frame)
        self.systems.setdefault(key, str(frame.info["system"]))
        label = self._known.get(key) or self._look(key) or self._computed(key, frame)
        self._known[key] = label
        self._progress(len(self._known))
        return label.for_frame(frame)

    def _look(self, key: str) -> Label | None:
        """The label that the store has, unless it may come right now."""
        label = self._store.labels_by_key([key]).get(key)
        if label is None:
            return None
        if label.status == "failed" and may_come_right(self._labeler, label.reason, label.effort_hash):
            return None
        self._found.append(key)
        return label

    def _computed(self, key: str, frame: Atoms) -> Label:
        """Compute a label, unless somebody else is at it."""
        self._begin()
        while not self._store.claim([key], self._owner):
            # Somebody who lives computes it; or died a moment ago, which a claim notices.
            time.sleep(WAIT_SECONDS)
        # Who held it may have finished between our look and our claim.
        label = self._look(key)
        if label is not None:
            self._store.release([key], self._owner)
            return label
        label = compute(self._labeler, key, frame)
        self.computed += 1
        self._new.append(label)
        if time.monotonic() - self._written > WRITE_SECONDS:
            self._write()
        return label

    def _begin(self) -> None:
        """Hold what is worth keeping between labels, from the first one on that must be computed."""
        if not self._at_work:
            self._at_work = True
            self._stack.enter_context(self._store.renewing(self._owner))
            self._stack.enter_context(self._labeler.open(self._directory))

    def _write(self) -> None:
        """Write labels down, and let others have them."""
        self._store.save_labels(
            self._new, *self._place, launch_id=self._launch_id, directory=str(self._directory.parent)
        )
        self._store.release([label.key for label in self._new], self._owner)
        self._new.clear()
        self._written = time.monotonic()
