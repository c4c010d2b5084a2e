"""What all exchangeable backends share: typed options and a list of what they need to run here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from abc import ABC
from functools import cache
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from sparc_fw.section import Section
from sparc_fw.settings import Settings


class Options(Section):
    """Typed options of a backend; unknown keys are errors."""

    text_files: ClassVar[dict[str, str]] = {}
    """Keys that name a text file, and the key that its content goes into when the campaign is read."""

    hashed_files: ClassVar[dict[str, str]] = {}
    """Keys that name a file too large to travel, and the key that its SHA-256 goes into when the campaign is read; the
    path becomes absolute."""

    structure_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of the type `str | InlineStructure`; the last frame of a file goes inline when the campaign is read."""

    kind: str


OptionsType = TypeVar("OptionsType", bound=Options)


class Backend(ABC, Generic[OptionsType]):
    """One way to label, train or explore, or one step of a selection.

    Parameters
    ----------
    options : Options
        The science, as the campaign file states it.
    settings : Settings
        The machine: commands, threads, scratch.
    """

    Options: ClassVar[type[Options]]
    packages: ClassVar[tuple[str, ...]] = ()
    """Importable modules that the backend needs."""
    extra: ClassVar[str] = ""
    """The extra of this distribution that installs them."""

    def __init__(self, options: OptionsType, settings: Settings) -> None:
        self.options = options
        self.settings = settings

    def missing(self) -> list[str]:
        """List what this machine lacks to run the backend, one sentence each; empty when it can run."""
        return [
            f"{self.options.kind} needs the Python package '{name}', which is not installed: "
            f"pip install 'sparc_fw[{self.extra}]'"
            for name in self.packages
            if importlib.util.find_spec(name) is None
        ]


def find_command(command: str) -> str | None:
    """Find an executable on PATH or beside the running interpreter (a venv that is not activated).

    Parameters
    ----------
    command : str
        A name or a path.

    Returns
    -------
    str or None
        An absolute path, or None where there is none.
    """
    beside = str(Path(sys.executable).parent)
    return shutil.which(command, path=os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]))


@cache
def package_version(distribution: str) -> str:
    """Version of an installed distribution, or ``"not installed"``."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
