"""PLUMED (Tribello et al., Comput. Phys. Commun. 185, 604, 2014): its kernel, its input, its output files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator

from sparc_fw.errors import InputError

ADVICE = (
    "PLUMED's kernel comes with conda-forge's package 'plumed', or with your own build of it: set PLUMED_KERNEL to its "
    "library libplumedKernel.so; Python's wrapper comes with pip install 'sparc_fw[plumed]'"
)
_COMMENT = re.compile(r"#.*")
_FILE = re.compile(r"(?<![\w.-])FILE=([^\s{}#]+)")


def kernel_problem() -> str | None:
    """Why PLUMED cannot run here, with what to do; None where it can."""
    try:
        import plumed
    except ImportError as error:
        return f"explorer.plumed: found no Python package 'plumed' ({error}). {ADVICE}"
    try:
        plumed.Plumed()
    except RuntimeError as error:
        return f"explorer.plumed: found no kernel of PLUMED ({str(error).strip()}). {ADVICE}"
    return None


def input_lines(text: str) -> list[str]:
    """The actions of an input, one a line, without comments, every output file in the run's own folder.

    An action that goes on over several lines (``...``) is one line here. The folders of ``FILE=`` are cut off, those of
    a list, too; other keys that end in FILE, and what is read, stay as they are.
    """
    plain = "\n".join(_COMMENT.sub("", line).strip() for line in text.splitlines())
    lines: list[str] = []
    open_action: list[str] | None = None
    for line in filter(None, plain.splitlines()):
        if open_action is not None:
            if line.startswith("..."):
                lines.append(" ".join(open_action))
                open_action = None
            else:
                open_action.append(line)
        elif line.split()[-1] == "...":
            open_action = [line.removesuffix("...").strip()]
        else:
            lines.append(line)
    if open_action is not None:
        raise InputError(f"explorer.plumed: found no '...' that ends the action {open_action[0]!r}, expected one")
    return [_FILE.sub(lambda found: f"FILE={_names(found[1])}", line) for line in lines]


def _names(paths: str) -> str:
    return ",".join(Path(path).name for path in paths.split(","))


def biased(
    calculator: Calculator, lines: list[str], atoms: Atoms, timestep_fs: float, temperature: float
) -> Calculator:
    """ASE's PLUMED calculator around another one; it writes where the process is, so see `working_in`.

    Parameters
    ----------
    lines : list of str
        Of `input_lines`. Where they name no UNITS, numbers are in PLUMED's own: nm, ps, kJ/mol.
    timestep_fs : float
        Of the dynamics, fs: PLUMED counts time in steps of it.
    temperature : float
        K; decides kT.

    Raises
    ------
    InputError
        With PLUMED's own words, where it refuses a line.
    """
    from ase.calculators.plumed import Plumed

    try:
        return Plumed(
            calc=calculator,
            input=lines,
            timestep=timestep_fs * units.fs,
            atoms=atoms,
            kT=units.kB * temperature,
            log="plumed.log",
        )
    except Exception as error:  # PLUMED raises classes of its own for whatever a line lacks
        raise InputError(f"explorer.plumed: PLUMED refuses it: {_refused(error, lines)}") from error


def let_go(atoms: Atoms) -> None:
    """Take the calculator off. PLUMED, if it is PLUMED's, writes the end of its files now, and might never else."""
    calculator, atoms.calc = atoms.calc, None
    if hasattr(calculator, "plumed"):
        calculator.plumed.finalize()


def _refused(error: Exception, lines: list[str]) -> str:
    """PLUMED's message without the frame of plus signs, and the line that it is about, where it tells."""
    words = [line.strip(" +") for line in str(error).splitlines()]
    told = " ".join(word for word in words if word and not word.startswith(("(core", "(tools", "at ")))
    number = re.search(r"\blabel (\S+)", told)
    about = next((line for line in lines if number and line.startswith(f"{number[1]}:")), None)
    return told if about is None else f"{told}; the line is: {about}"


def try_input(lines: list[str], structure: Atoms, timestep_fs: float, temperature: float) -> None:
    """Let PLUMED read its input and look at a structure once, without any force; raises as `biased` does."""
    atoms = structure.copy()
    with TemporaryDirectory() as folder, working_in(Path(folder)):
        atoms.calc = biased(_Nothing(), lines, atoms, timestep_fs, temperature)
        try:
            atoms.get_forces()
        except Exception as error:
            raise InputError(f"explorer.plumed: PLUMED refuses it: {_refused(error, lines)}") from error


class _Nothing(Calculator):
    """No energy, no forces."""

    implemented_properties = ["energy", "forces", "stress"]

    def calculate(
        self, atoms: Atoms | None = None, properties: object = None, system_changes: object = all_changes
    ) -> None:
        assert atoms is not None
        nothing = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((len(atoms), 3)), stress=np.zeros(6))
        self.results = dict(nothing.results)


@contextmanager
def working_in(directory: Path) -> Iterator[None]:
    """Make a folder the process's own for a while: PLUMED writes its files there."""
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def read_fields(path: Path) -> dict[str, np.ndarray]:
    """Read a file that PLUMED wrote with a header ``#! FIELDS``.

    Returns
    -------
    dict of str to ndarray
        Each column by its name, in the units of the input; empty where there is no such header. A last line that is
        cut off is left out.
    """
    names: list[str] = []
    rows: list[list[str]] = []
    for line in path.read_text(errors="replace").rpartition("\n")[0].splitlines():
        if line.startswith("#! FIELDS"):
            names = line.split()[2:]
        elif line and not line.startswith("#"):
            rows.append(line.split())
    whole = [row for row in rows if len(row) == len(names)]
    columns = np.array(whole, dtype=float).reshape(len(whole), len(names))
    return {name: columns[:, k] for k, name in enumerate(names)}


def output_files(lines: Sequence[str]) -> list[str]:
    """The names of all output files, each once."""
    return list(dict.fromkeys(name for line in lines for found in _FILE.findall(line) for name in found.split(",")))


def written_files(lines: list[str], directory: Path) -> dict[str, dict[str, np.ndarray]]:
    """The columns of every output file that the input names and PLUMED wrote, by file name (COLVAR, HILLS, …)."""
    tables = {name: read_fields(directory / name) for name in output_files(lines) if (directory / name).exists()}
    return {name: table for name, table in tables.items() if table}
