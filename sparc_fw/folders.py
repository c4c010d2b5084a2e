"""Folders that the user names for what is written: refused before any work where they cannot be had."""

from __future__ import annotations

import os
from pathlib import Path

from sparc_fw.errors import InputError


def in_the_way(folder: Path) -> Path | None:
    """What stands where a folder, or one of those above it, would have to be; None where nothing does."""
    nearest = _nearest(folder)
    return None if nearest.is_dir() else nearest


def require_folder(folder: Path, where: str) -> None:
    """Refuse what is no folder that can be written into, and cannot be made one; makes nothing.

    Parameters
    ----------
    where : str
        Names the option or setting in messages.

    Raises
    ------
    InputError
        Names it, what was found and what is expected.
    """
    blocking = in_the_way(folder)
    if blocking is not None:
        raise InputError(f"{where}: found {blocking}, which is no folder; expected a folder, or a new name for one")
    nearest = _nearest(folder)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{where}: nothing can be written into {nearest}, expected a folder that can be written into")


def make_folder(folder: Path, where: str, mode: int = 0o777) -> None:
    """Make a folder where there is none; raises as `require_folder` does."""
    require_folder(folder, where)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        raise InputError(f"{where}: the folder {folder} cannot be made: {error.strerror}") from error


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest one above it that exists."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if os.path.lexists(each))
