"""The namelists of pw.x: what the options' own keys say, and over that what the user says in pw.x's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ase import Atoms
from ase.units import Ry

from sparc_fw.errors import InputError
from sparc_fw.labelers import qe_files
from sparc_fw.labelers.base import charge_and_spin
from sparc_fw.labelers.box import Periodicity

if TYPE_CHECKING:
    from sparc_fw.labelers.qe import QEOptions

Namelists = Mapping[Literal["control", "system", "electrons"], Mapping[str, Any]]
"""What a user says in pw.x's words."""
OWN_KEYS = frozenset({"calculation", "prefix", "outdir", "pseudo_dir", "tprnfor", "tstress", "nat", "ntyp", "ibrav"})
"""What the labeler itself must set."""
WORDS = {
    "ecutwfc_Ry": ("ecutwfc",),
    "ecutrho_Ry": ("ecutrho",),
    "smearing": ("occupations", "smearing", "degauss"),
    "smearing_width_eV": ("degauss",),
    "assume_isolated": ("assume_isolated",),
    "conv_thr_Ry": ("conv_thr",),
    "electron_maxstep": ("electron_maxstep",),
    "mixing_beta": ("mixing_beta",),
    "diagonalization": ("diagonalization",),
    "starting_density": ("starting_charge",),
    "starting_wavefunctions": ("startingwfc",),
}
"""What pw.x calls the options."""

BY_ATOM = frozenset({"hubbard_v"})
"""Keys whose indices are those of atoms; the others (starting_magnetization, hubbard_u, …) have those of elements."""


def make_namelists(
    options: QEOptions, frame: Atoms, repeats: Periodicity, pseudo_dir: Path
) -> dict[str, dict[str, Any]]:
    """The namelists of a frame; `pseudo_dir` is where its pseudopotentials are."""
    charge, spin = charge_and_spin(frame)
    control = {
        "calculation": "scf",
        "prefix": qe_files.PREFIX,
        "outdir": ".",
        "pseudo_dir": str(pseudo_dir),
        "tprnfor": True,
        "tstress": repeats == "crystal",
    }
    system: dict[str, Any] = {"ecutwfc": options.ecutwfc_Ry, "tot_charge": charge}
    if options.ecutrho_Ry is not None:
        system["ecutrho"] = options.ecutrho_Ry
    if spin:
        system |= {"nspin": 2, "tot_magnetization": spin}
    if options.smearing is not None:
        width = options.smearing_width_eV / Ry
        system |= {"occupations": "smearing", "smearing": options.smearing, "degauss": width}
    if repeats != "crystal":
        system["assume_isolated"] = "2D" if repeats == "slab" else options.assume_isolated
    if options.starting_density == "ions":
        kinds = range(len(set(frame.get_chemical_symbols())))
        system |= {f"starting_charge({kind + 1})": 0.5 * (-1) ** kind for kind in kinds}
    electrons = {
        "startingwfc": options.starting_wavefunctions,
        "conv_thr": options.conv_thr_Ry,
        "electron_maxstep": options.electron_maxstep,
        "mixing_beta": options.mixing_beta,
        "diagonalization": options.diagonalization,
    }
    given = {name: _lower(options.namelists.get(name, {})) for name in ("control", "system", "electrons")}
    return {
        "control": control | given["control"],
        "system": system | given["system"],
        "electrons": electrons | given["electrons"],
    }


def without(namelists: Namelists, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Namelists without what they say of some of the options' own keys."""
    words = {word for key in keys for word in WORDS.get(key, ())}
    return {
        name: {key: value for key, value in given.items() if key.lower().partition("(")[0] not in words}
        for name, given in namelists.items()
    }


def names_atoms(namelists: Namelists) -> bool:
    """Whether namelists say something of atoms by their numbers in the frame, where others number the elements."""
    keys = {key.lower().partition("(")[0] for given in namelists.values() for key in given}
    return not keys.isdisjoint(BY_ATOM)


def refuse_other_electrons(namelists: Namelists, frame: Atoms) -> None:
    """Raise `InputError` for namelists that give a frame another charge or spin than its label would tell."""
    charge, spin = charge_and_spin(frame)
    given = _lower(namelists.get("system", {}))
    expected = {"tot_charge": charge, "tot_magnetization": spin, "nspin": 2 if spin else 1}
    if spin:
        expected["noncolin"] = False
    elif given.get("tot_magnetization") == 0:
        # Spins that are apart in space and cancel.
        expected["nspin"] = 2
    for key, value in expected.items():
        if given.get(key, value) != value:
            raise InputError(
                f"labeler qe: namelists.system.{key}: found {given[key]} for a frame with charge {charge} and spin "
                f"{spin}, expected {value}: take it out, and change 'charge' or 'spin' of the system"
            )


def _lower(values: Mapping[str, Any]) -> dict[str, Any]:
    """A namelist as pw.x reads it, for which capitals are none."""
    return {key.lower(): value for key, value in values.items()}
