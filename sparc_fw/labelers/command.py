"""Labels by a user's own script: a frame in, a frame with numbers out, both as extended XYZ."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.io import read, write
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.backend import find_command
from sparc_fw.child_process import clean_environment, last_lines
from sparc_fw.errors import InputError
from sparc_fw.labelers.base import Labeler, LabelerOptions, LabelError, Numbers, check_electrons
from sparc_fw.labelers.contents import with_contents
from sparc_fw.labelers.external import calculation_folder, run_program

SCRIPT, INPUT, OUTPUT, LOG = "script", "input.extxyz", "output.extxyz", "log"
TOLERANCE_A = 1e-6
"""The script gets and gives eight digits after the point."""


class CommandOptions(LabelerOptions):
    """Options of the labeler ``command``.

    The script finds the frame in the file ``{input}`` (extended XYZ, with ``charge`` and ``spin``, the number of
    unpaired electrons, in its comment line) and writes the same atoms in the same order to ``{output}``, with
    ``energy`` (eV), ``forces`` (eV/Å) and, for a periodic frame, ``stress`` (eV/Å^3, ASE's sign) as ASE names them.
    """

    text_files: ClassVar[dict[str, str]] = {"script_file": "script"}
    effort: ClassVar[frozenset[str]] = LabelerOptions.effort | {"timeout_seconds", "code_version"}

    kind: Literal["command"] = "command"
    command: str = "{script} {input} {output}"
    """What is run, in an empty folder; {script}, {input} and {output} are replaced by paths. Without a shell."""
    script: str = ""
    """Text of the script; it decides the numbers, so that a changed script is another labeler."""
    script_file: str | None = None
    """A file with the script, relative to the campaign file; its text travels with the campaign."""
    code_version: str = "unknown"
    """Version of whatever computes, to be recorded with each label; it decides the key with `key_with_version`."""
    stress: bool = True
    """Whether a periodic frame without stress is a failed label."""
    timeout_seconds: float = Field(3600.0, gt=0)
    """Longest time of a label, s."""

    @model_validator(mode="after")
    def _placeholders(self) -> Self:
        try:
            words = shlex.split(self.command.format(script=SCRIPT, input=INPUT, output=OUTPUT))
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"command: found {self.command!r} ({type(error).__name__}: {error}), expected no placeholders but "
                "{script}, {input} and {output}"
            ) from error
        if not words:
            raise ValueError("command: found nothing, expected a command")
        if self.key_with_version and self.code_version == "unknown":
            raise ValueError("key_with_version: found it without code_version, expected the version of what computes")
        named = bool(self.script) or self.script_file is not None
        if named != ("{script}" in self.command):
            raise ValueError(
                f"command: found {self.command!r} with{'' if named else 'out'} a script, expected {{script}} in the "
                "command exactly where there is a script (or script_file)"
            )
        return self


class CommandLabeler(Labeler[CommandOptions]):
    """Runs the user's command once for each frame, and takes nothing from it on trust but the numbers."""

    Options: ClassVar[type[CommandOptions]] = CommandOptions
    code: ClassVar[str] = "command"

    def missing(self) -> list[str]:
        """Say so where the program is not on this machine."""
        executable = shlex.split(self.options.command)[0]
        if executable == "{script}" or find_command(executable) is not None:
            return []
        return [f"command needs the program {executable!r}, which is not on PATH"]

    def version(self) -> str:
        """What the options say of it."""
        return self.options.code_version

    def deciding(self) -> dict[str, Any]:
        """What decides the numbers: options, and files that the command names by absolute paths."""
        values = super().deciding()
        return values | {"command": with_contents(values["command"])}

    def check(self, frame: Atoms) -> None:
        """Raise `InputError` if a molecule cannot have its spin, or a script could not be started."""
        if not frame.pbc.any():
            check_electrons(frame)
        if self.options.script and shlex.split(self.options.command)[0] == "{script}":
            first = self.options.script.split("\n", 1)[0]
            if not first.startswith("#!"):
                raise InputError(
                    f"labeler command: script: found {first!r} as its first line, expected '#!' and an interpreter, or "
                    "an interpreter in 'command'"
                )

    def calculate(self, frame: Atoms) -> Numbers:
        """Energy (eV), forces (eV/Å), stress (eV/Å^3) where periodic, and one attempt."""
        with calculation_folder(self, frame) as folder:
            self._write(frame, folder)
            places = {name.split(".")[0]: shlex.quote(str(folder / name)) for name in (SCRIPT, INPUT, OUTPUT)}
            executable, *arguments = shlex.split(self.options.command.format(**places))
            found = find_command(executable)
            if found is None:
                raise LabelError("crashed", f"found no program {executable!r}", attempts=0)
            log = folder / LOG
            environment = clean_environment(self.settings.threads)
            try:
                status = run_program([found, *arguments], folder, environment, log, self.options.timeout_seconds)
            except LabelError as error:
                raise LabelError(error.reason, f"{error}; its last words: {_words(log)}") from error
            if status != 0:
                raise LabelError("crashed", f"the command ended with status {status}; its last words: {_words(log)}")
            try:
                return self._numbers(_read(folder / OUTPUT), frame)
            except LabelError as error:
                raise LabelError(error.reason, f"{error}; the command's last words: {_words(log)}") from error

    def _write(self, frame: Atoms, folder: Path) -> None:
        plain = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
        plain.info.update(charge=int(frame.info.get("charge", 0)), spin=int(frame.info.get("spin", 0)))
        write(folder / INPUT, plain, format="extxyz")
        if self.options.script:
            (folder / SCRIPT).write_text(self.options.script)
            (folder / SCRIPT).chmod(0o700)

    def _numbers(self, found: Atoms, frame: Atoms) -> Numbers:
        if len(found) != len(frame):
            raise LabelError("crashed", f"{OUTPUT} holds {len(found)} atoms, expected {len(frame)}")
        if not np.array_equal(found.numbers, frame.numbers):
            raise LabelError(
                "crashed",
                f"{OUTPUT} holds the atoms {found.get_chemical_symbols()}, expected the input's order, "
                f"{frame.get_chemical_symbols()}",
            )
        away = np.abs(found.positions - frame.positions).max(axis=1, initial=0.0)
        if not away.max(initial=0.0) <= TOLERANCE_A:
            raise LabelError(
                "crashed", f"{OUTPUT} holds atom {int(away.argmax())} {away.max():.6f} Å away from where it was"
            )
        results: dict[str, Any] = found.calc.results if found.calc is not None else {}
        wanted = ["energy", "forces"] + (["stress"] if frame.pbc.any() and self.options.stress else [])
        absent = [name for name in wanted if name not in results]
        if absent:
            raise LabelError("crashed", f"{OUTPUT} holds no {' and no '.join(absent)}")
        stress = np.asarray(results["stress"]) if frame.pbc.any() and "stress" in results else None
        # The slope of the free energy is what codes call forces.
        return float(results.get("free_energy", results["energy"])), np.asarray(results["forces"]), stress, 1


def _read(path: Path) -> Atoms:
    if not path.is_file():
        raise LabelError("crashed", f"the command left no {path.name}")
    try:
        frames = read(path, index=":", format="extxyz")
    except Exception as error:
        # ASE's reader raises whatever its parser stumbles on.
        raise LabelError("crashed", f"{path.name} is no extended XYZ: {type(error).__name__}: {error}") from error
    if len(frames) != 1:
        raise LabelError("crashed", f"{path.name} holds {len(frames)} frames, expected one")
    return frames[0]


def _words(log: Path) -> str:
    return (last_lines(log.read_text(errors="replace")) if log.is_file() else "") or "none"
