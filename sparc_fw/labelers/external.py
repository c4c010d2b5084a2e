"""What labelers of external programs share: a folder per calculation, a time limit, the program's last words."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ase import Atoms

from sparc_fw.child_process import run_child
from sparc_fw.labelers.base import Labeler, LabelError
from sparc_fw.same_frames import frame_hash


@contextmanager
def calculation_folder(labeler: Labeler[Any], frame: Atoms) -> Iterator[Path]:
    """An empty folder for one calculation; it is removed at the end unless the calculation failed in an open labeler.

    What a failure leaves on disk is all that its user has to find out why.
    """
    if labeler.directory is None:
        with tempfile.TemporaryDirectory(prefix="sparc_fw_label_") as temporary:
            yield Path(temporary)
        return
    number = 0
    while True:
        folder = labeler.directory / f"{frame_hash(frame)[:12]}-{number}"
        if not folder.exists():
            break
        number += 1
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


def run_program(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    log: Path,
    limit_seconds: float,
    watch: Callable[[], None] = lambda: None,
) -> int:
    """Run a program to its end and return its exit status.

    Raises
    ------
    LabelError
        ``timeout``, if it ran longer than `limit_seconds`.
    """
    deadline = time.monotonic() + limit_seconds

    def check() -> None:
        watch()
        if time.monotonic() > deadline:
            raise LabelError("timeout", f"{Path(command[0]).name} ran longer than {limit_seconds:g} s in {directory}")

    return run_child(command, directory, environment, log, check, every=0.05)
