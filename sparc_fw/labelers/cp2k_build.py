"""CP2K's input for a frame: a template, the campaign's keys and overrides, and the frame; later ones win."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.units import Bohr

from sparc_fw.errors import InputError
from sparc_fw.labelers.base import LabelError, charge_and_spin
from sparc_fw.labelers.box import Periodicity, boxed, periodicity, slab_box
from sparc_fw.labelers.cp2k_input import (
    DFT,
    SCF,
    SUBSYS,
    apply,
    keyword,
    parse_template,
    remove_sections,
    section,
    set_keyword,
)

if TYPE_CHECKING:
    from sparc_fw.labelers.cp2k import CP2KOptions

_OFF = ("F", "FALSE", "OFF", "N", "NO")
_DOUBLED_BOX = ("MT", "ANALYTIC")
_UNRESTRICTED = ("UKS", "UNRESTRICTED_KOHN_SHAM", "LSD", "SPIN_POLARIZED")


def input_text(options: CP2KOptions, frame: Atoms) -> str:
    """CP2K's input for a frame.

    Raises
    ------
    InputError
        If the template cannot be read.
    LabelError
        ``not_converged``, if options for a further attempt do not go with the template.
    """
    root = read_template(options)
    added = options.added_orbitals or max(10, 2 * len(frame))
    set_keys(options, root, frame.get_chemical_symbols(), added)
    if options.scf == "ot" and _smear(root) is not None:
        raise LabelError("not_converged", "scf: ot needs whole occupations, not smeared ones", 0)
    apply(root, copy.deepcopy(options.overrides))
    set_charge_and_spin(root, frame)
    repeats = periodicity("cp2k", frame)
    solver = poisson_solver(root, repeats)
    if repeats == "molecule":
        # The wavelet solver wants the same grid spacing in all directions.
        frame = boxed(frame, options.vacuum_A, doubled=solver in _DOUBLED_BOX, cubic=solver == "WAVELET")
    elif repeats == "slab":
        frame = slab_box(frame, options.vacuum_A)
    set_frame(root, frame, solver, repeats)
    return "\n".join(root.write()) + "\n"


def read_template(options: CP2KOptions) -> Any:
    """The template as a tree of sections.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return parse_template(options.template)
    except ValueError as error:
        raise InputError(f"labeler cp2k: template: {error}") from error


def set_keys(options: CP2KOptions, root: Any, symbols: Sequence[str], added_orbitals: int | None) -> None:
    """Put what the options' own keys say into a template, for some elements."""
    pseudo_potential = options.pseudo_potential
    if options.functional is not None:
        chosen = section(root, *DFT, "XC", "XC_FUNCTIONAL")
        chosen.params, chosen.keywords, chosen.subsections = options.functional, [], []
        pseudo_potential = pseudo_potential or f"GTH-{options.functional.upper()}"
    set_kinds(root, symbols, options.basis_set, pseudo_potential)
    for path, name, value in (
        ((*DFT, "MGRID"), "CUTOFF", options.cutoff_Ry),
        ((*DFT, "MGRID"), "REL_CUTOFF", options.rel_cutoff),
        (SCF, "SCF_GUESS", options.guess and options.guess.upper()),
        (SCF, "MAX_SCF", options.max_scf),
        (SCF, "EPS_SCF", options.eps_scf),
    ):
        if value is not None:
            set_keyword(section(root, *path), name, value)
    if options.smearing_K is not None:
        set_smearing(root, options.smearing_K, added_orbitals)
    if options.scf == "ot":
        set_orbital_transformation(root)
    elif options.scf == "diagonalization":
        remove_sections(section(root, *SCF), "OT", "OUTER_SCF")
    if options.mixing_alpha is not None:
        mixing = {"METHOD": "BROYDEN_MIXING", "ALPHA": options.mixing_alpha}
        apply(section(root, *SCF), {"MIXING": mixing})


def set_kinds(root: Any, symbols: Sequence[str], basis_set: str | None, pseudo_potential: str | None) -> None:
    """Give each element its own section KIND; what it leaves open comes from KIND DEFAULT."""
    from ase.calculators.cp2k import InputSection

    subsys = section(root, *SUBSYS)
    written = {str(part.params).upper(): part for part in subsys.subsections if part.name == "KIND"}
    default = written.get("DEFAULT", InputSection("KIND"))
    remove_sections(subsys, "KIND")
    for symbol in sorted(set(symbols)):
        kind = written.get(symbol.upper(), InputSection("KIND", symbol))
        known = {line.split()[0].upper() for line in kind.keywords}
        kind.keywords += [line for line in default.keywords if line.split()[0].upper() not in known]
        kind.subsections = kind.subsections or copy.deepcopy(default.subsections)
        if basis_set is not None:
            # Auxiliary sets, of ADMM or RI, have their type before their name.
            others = [
                line for line in kind.keywords if line.split()[0].upper() == "BASIS_SET" and len(line.split()) > 2
            ]
            set_keyword(kind, "BASIS_SET", basis_set, *(line.split(maxsplit=1)[1] for line in others))
        if pseudo_potential is not None:
            set_keyword(kind, "POTENTIAL", pseudo_potential)
        subsys.subsections.append(kind)


def set_orbital_transformation(root: Any) -> None:
    """Minimise by orbital transformation, restarted by outer loops, where SCF is by diagonalization.

    References
    ----------
    J. VandeVondele and J. Hutter, J. Chem. Phys. 118 (2003) 4365.
    """
    scf = section(root, *SCF)
    remove_sections(scf, "DIAGONALIZATION", "MIXING", "OT", "OUTER_SCF")
    set_keyword(scf, "ADDED_MOS")
    tolerance = keyword(scf, "EPS_SCF") or "1.0E-5"
    apply(scf, {"OT": {"MINIMIZER": "CG", "PRECONDITIONER": "FULL_SINGLE_INVERSE", "LINESEARCH": "3PNT"}})
    apply(scf, {"OUTER_SCF": {"MAX_SCF": 10, "EPS_SCF": tolerance}})


def set_smearing(root: Any, temperature: float, added_orbitals: int | None) -> None:
    """Occupy orbitals as Fermi and Dirac say, which needs diagonalization."""
    scf = section(root, *SCF)
    remove_sections(scf, "OT", "OUTER_SCF", "SMEAR")
    smear = {"_": True, "METHOD": "FERMI_DIRAC", "ELECTRONIC_TEMPERATURE": f"[K] {temperature:g}"}
    apply(scf, {"SMEAR": smear, "ADDED_MOS": added_orbitals})


def smears(options: CP2KOptions) -> bool:
    """Whether occupations are smeared, by whichever part of the options."""
    if options.smearing_K is not None:
        return True
    root = read_template(options)
    apply(root, copy.deepcopy(options.overrides))
    return _smear(root) is not None


def _smear(root: Any) -> Any:
    found = [part for part in section(root, *SCF).subsections if part.name == "SMEAR"]
    return next((part for part in found if str(part.params or "T").strip(" .").upper() not in _OFF), None)


def set_charge_and_spin(root: Any, frame: Atoms) -> None:
    """Charge, multiplicity, and unrestricted orbitals where electrons are unpaired or cannot all be paired.

    With smeared occupations the number of unpaired electrons is held, too. Only for the odd number of electrons of a
    metal's cell without unpaired ones both spins share one Fermi level, and SCF finds the difference. (Held at 0, CP2K
    2023.1 loses half an electron of a cell with one.)
    """
    charge, spin = charge_and_spin(frame)
    odd = (int(frame.numbers.sum()) - charge) % 2 == 1
    dft, smear = section(root, *DFT), _smear(root)
    set_keyword(dft, "CHARGE", charge)
    set_keyword(dft, "MULTIPLICITY", 2 if odd and not spin else spin + 1)
    if not (spin or odd):
        return
    for name in _UNRESTRICTED:
        set_keyword(dft, name)
    set_keyword(dft, "UKS", True)
    if spin and smear is not None and keyword(smear, "FIXED_MAGNETIC_MOMENT") is None:
        set_keyword(smear, "FIXED_MAGNETIC_MOMENT", spin)


def poisson_solver(root: Any, repeats: Periodicity) -> str:
    """The solver that the template names, where it can isolate what does not repeat.

    Otherwise wavelets for molecules, which need the least box, and the analytic one for slabs.
    """
    poisson = section(root, *DFT, "POISSON")
    named = (keyword(poisson, "PSOLVER") or keyword(poisson, "POISSON_SOLVER") or "").upper()
    if repeats == "crystal":
        return "PERIODIC"
    if repeats == "slab":
        return "MT" if named == "MT" else "ANALYTIC"
    return "WAVELET" if named in ("", "PERIODIC") else named


def set_frame(root: Any, frame: Atoms, solver: str, repeats: Periodicity) -> None:
    """Cell, coordinates, boundary conditions, and what is to be computed.

    Lengths are in bohr by ASE's constant, which converts the forces back.
    """
    directions = {"molecule": "NONE", "slab": "XY", "crystal": "XYZ"}[repeats]
    subsys = section(root, *SUBSYS)
    remove_sections(subsys, "CELL", "COORD", "TOPOLOGY")
    cell, coordinates = section(subsys, "CELL"), section(subsys, "COORD")
    for name, vector in zip("ABC", frame.cell.array / Bohr, strict=True):
        set_keyword(cell, name, "[bohr] " + _numbers(vector))
    set_keyword(cell, "PERIODIC", directions)
    coordinates.keywords = ["UNIT bohr"] + [
        f"{symbol} {_numbers(place)}" for symbol, place in zip(frame.symbols, frame.positions / Bohr, strict=True)
    ]
    poisson = section(root, *DFT, "POISSON")
    set_keyword(poisson, "POISSON_SOLVER")
    set_keyword(poisson, "PERIODIC", directions)
    set_keyword(poisson, "PSOLVER", solver)
    # CP2K has no stress of slabs.
    set_keyword(section(root, "FORCE_EVAL"), "STRESS_TENSOR", "ANALYTICAL" if repeats == "crystal" else "NONE")
    what = section(root, "GLOBAL")
    set_keyword(what, "PROJECT_NAME")
    # The output must tell whether SCF converged.
    for name, value in (("PROJECT", "label"), ("RUN_TYPE", "ENERGY_FORCE"), ("PRINT_LEVEL", "LOW")):
        set_keyword(what, name, value)


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.16g}" for value in values)
