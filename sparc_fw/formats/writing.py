"""Labels into files of any kind that can be written, each with where its labels come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sparc_fw.documents import Label
from sparc_fw.formats.ase_files import write_database, write_extxyz, write_trajectory
from sparc_fw.formats.deepmd import write_npy

ENDINGS = {
    "extxyz": ".extxyz",
    "traj": ".traj",
    "ase-db": ".db",
    "deepmd": "-deepmd",
    "deepmd-mixed": "-deepmd-mixed",
    "ani": ".h5",
}
"""Kinds that can be written, and what their files and folders end in."""


def write_labels(labels: Sequence[Label], kind: str, path: Path) -> None:
    """Write good labels so that `read_labels` gives them back in order.

    To the bit in all kinds but ``ani`` (hartree) and for the stress in DeePMD-kit's (a virial), where units are
    converted and the last digits can change.

    Raises
    ------
    MissingDependency
        If a package is not installed that the format needs.
    """
    _writer(kind)(labels, path)


def _writer(kind: str) -> Callable[[Sequence[Label], Path], None]:
    if kind == "ani":
        from sparc_fw.formats.ani import write_ani

        return write_ani
    writers: dict[str, Callable[[Sequence[Label], Path], None]] = {
        "extxyz": write_extxyz,
        "traj": write_trajectory,
        "ase-db": write_database,
        "deepmd": partial(write_npy, mixed=False),
        "deepmd-mixed": partial(write_npy, mixed=True),
    }
    return writers[kind]
