"""Mixtures of molecules by Packmol (L. Martínez et al., J. Comput. Chem. 30 (2009) 2157)."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import read, write

from sparc_fw.backend import find_command
from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.geometry.recipes import PackmolRecipe

GRAMS_PER_CM3 = 1e24 / units._Nav
"""g/cm^3 of one u/Å^3."""
RIGHT_ANGLE = 1e-3
"""Cosine up to which an angle passes for a right one."""


def density(atoms: Atoms) -> float:
    """Mass density of a periodic structure, g/cm^3."""
    return float(atoms.get_masses().sum() / atoms.get_volume() * GRAMS_PER_CM3)


def missing_packmol(command: str) -> str | None:
    """What is missing to run Packmol, in a sentence; None where nothing is."""
    if find_command(shlex.split(command)[0]) is not None:
        return None
    return (
        f"packmol needs the executable {command!r}, which is not on PATH: install it (Debian: apt-get install packmol) "
        "or set SPARC_FW_PACKMOL_COMMAND"
    )


def shuffled_counts(counts: Sequence[int], random: np.random.Generator) -> list[int]:
    """Random counts of the same sum, at least one each; every composition is as likely."""
    cuts = np.sort(random.choice(sum(counts) - 1, len(counts) - 1, replace=False)) + 1
    return [int(count) for count in np.diff([0, *cuts, sum(counts)])]


def pack(
    recipe: PackmolRecipe, molecules: Sequence[Atoms], slab: Atoms | None, seed: int, command: str, directory: Path
) -> Atoms:
    """Pack molecules into a periodic box, or into one above a slab.

    Parameters
    ----------
    recipe : PackmolRecipe
    molecules : sequence of Atoms
        One for each compound.
    slab : Atoms or None
        Where the recipe has ``above``.
    seed : int
        Counts, where they are shuffled, and Packmol's own seed derive from it.
    command : str
        Packmol's executable.
    directory : Path
        Packmol's files go there.

    Raises
    ------
    MissingDependency
        If there is no such executable.
    InputError
        If the molecules cannot be packed, with Packmol's own words, or the slab's cell is not right-angled.
    """
    random = np.random.default_rng(seed)
    counts = [compound.count for compound in recipe.compounds]
    if recipe.shuffle:
        counts = shuffled_counts(counts, random)
    mass = sum(count * float(m.get_masses().sum()) for count, m in zip(counts, molecules, strict=True))
    base, edges = _room(recipe, mass, slab)
    margin = recipe.tolerance_A / 2
    # Half the tolerance off every face, so that periodic images keep it, too; a slab's atoms want it whole.
    low = np.array([margin, margin, margin if base is None else recipe.tolerance_A])
    high = edges - np.array([margin, margin, margin if base is None else 0.0])
    if (high <= low).any():
        raise InputError(f"packmol: a box of {_triple(edges)} Å has no room at tolerance_A = {recipe.tolerance_A:g}")
    lift = 0.0 if base is None else float(base.positions[:, 2].max())
    offset = np.array([0.0, 0.0, lift])
    found = _run(recipe, molecules, counts, low + offset, high + offset, int(random.integers(1, 2**31 - 1)),
                 command, directory)  # fmt: skip
    if base is None:
        return Atoms(found.numbers, found.positions, cell=edges, pbc=True)
    height = lift + float(edges[2]) + recipe.tolerance_A + recipe.vacuum_A
    whole = base + Atoms(found.numbers, found.positions)
    whole.set_cell([edges[0], edges[1], height])
    whole.pbc = True
    return whole


def _room(recipe: PackmolRecipe, mass: float, slab: Atoms | None) -> tuple[Atoms | None, np.ndarray]:
    """The slab, upright with its lowest atom at z = 0, and the edges of the box, Å."""
    volume = None if recipe.density_g_cm3 is None else mass / recipe.density_g_cm3 * GRAMS_PER_CM3
    if slab is None:
        edges = recipe.box_A if volume is None else [np.cbrt(volume)] * 3
        return None, np.asarray(edges, dtype=float)
    if not slab.pbc[:2].all() or slab.cell.rank < 2:
        raise InputError("packmol: above: found a structure that is not periodic in the plane, expected a slab")
    form, turn = slab.cell.complete().standard_form()
    vectors = np.asarray(form)
    if abs(vectors[1, 0]) > RIGHT_ANGLE * vectors[1, 1]:
        angle = float(np.degrees(np.arccos(vectors[1, 0] / np.linalg.norm(vectors[1]))))
        raise InputError(
            f"packmol: above: found a slab whose cell has an angle of {angle:.2f} degrees in the plane, expected a "
            "right one: Packmol's boxes are"
        )
    base = Atoms(slab.numbers, slab.positions @ np.asarray(turn).T, cell=vectors, pbc=(True, True, False))
    base.positions[:, 2] -= base.positions[:, 2].min()
    base.wrap()
    area = vectors[0, 0] * vectors[1, 1]
    height = recipe.height_A if volume is None else volume / area
    return base, np.array([vectors[0, 0], vectors[1, 1], height])


def _run(
    recipe: PackmolRecipe, molecules: Sequence[Atoms], counts: Sequence[int], low: np.ndarray, high: np.ndarray,
    seed: int, command: str, directory: Path,
) -> Atoms:  # fmt: skip
    """Run Packmol in `directory` and read what it made."""
    lacking = missing_packmol(command)
    if lacking is not None:
        raise MissingDependency(lacking)
    box = " ".join(f"{value:.6f}" for value in (*low, *high))
    lines = [f"tolerance {recipe.tolerance_A!r}", "filetype xyz", "output packed.xyz", f"seed {seed}"]
    lines.append(f"nloop {recipe.loops}")
    for number, (molecule, count) in enumerate(zip(molecules, counts, strict=True)):
        write(directory / f"compound{number}.xyz", Atoms(molecule.numbers, molecule.positions), plain=True)
        lines += [f"structure compound{number}.xyz", f"  number {count}", f"  inside box {box}", "end structure"]
    (directory / "packmol.inp").write_text("\n".join(lines) + "\n")
    (directory / "packed.xyz").unlink(missing_ok=True)
    words = shlex.split(command)
    with (directory / "packmol.inp").open() as text:
        ended = subprocess.run(
            [find_command(words[0]) or words[0], *words[1:]], stdin=text, cwd=directory, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if "Success!" not in ended.stdout:
        mixture = ", ".join(f"{n} {m.get_chemical_formula()}" for n, m in zip(counts, molecules, strict=True))
        raise InputError(
            f"packmol: {mixture} cannot be packed into {_triple(high - low)} Å with tolerance_A = "
            f"{recipe.tolerance_A:g}; lower the density, the counts or tolerance_A. Packmol says: "
            f"{_words(ended.stdout)}"
        )
    return read(directory / "packed.xyz")


def _words(output: str) -> str:
    """What of Packmol's output says why it failed."""
    signs = (
        "ERROR",
        "STOP",
        "ENDED WITHOUT",
        "Maximum violation of target distance",
        "Maximum violation of the constr",
    )
    # The report of every loop says the same; the last one counts.
    said = {sign: line.strip() for line in output.splitlines() for sign in signs if sign in line}
    return "; ".join(dict.fromkeys(said.values())) or "; ".join(output.split("\n")[-4:])


def _triple(values: np.ndarray) -> str:
    return " x ".join(f"{value:.2f}" for value in values)
