"""CP2K's input for a frame: a template, the campaign's keys and overrides, and the frame; later ones win."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.units import Bohr

from sparc_fw.errors import InputError
from sparc_fw.labelers.base import LabelError, charge_and_spin
from sparc_fw.labelers.box import boxed
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
    try:
        root = parse_template(options.template)
    except ValueError as error:
        raise InputError(f"labeler cp2k: template: {error}") from error
    _set_keys(options, root, frame)
    apply(root, copy.deepcopy(options.overrides))
    set_charge_and_spin(root, *charge_and_spin(frame))
    solver = poisson_solver(root)
    if not frame.pbc.any():
        # The wavelet solver wants the same grid spacing in all directions.
        frame = boxed(frame, options.vacuum_A, doubled=solver in _DOUBLED_BOX, cubic=solver == "WAVELET")
    set_frame(root, frame, solver)
    return "\n".join(root.write()) + "\n"


def _set_keys(options: CP2KOptions, root: Any, frame: Atoms) -> None:
    """Put what the options' own keys say into a template."""
    pseudo_potential = options.pseudo_potential
    if options.functional is not None:
        chosen = section(root, *DFT, "XC", "XC_FUNCTIONAL")
        chosen.params, chosen.keywords, chosen.subsections = options.functional, [], []
        pseudo_potential = pseudo_potential or f"GTH-{options.functional.upper()}"
    set_kinds(root, frame.get_chemical_symbols(), options.basis_set, pseudo_potential)
    for path, name, value in (
        ((*DFT, "MGRID"), "CUTOFF", options.cutoff_Ry),
        ((*DFT, "MGRID"), "REL_CUTOFF", options.rel_cutoff),
        (SCF, "SCF_GUESS", options.guess and options.guess.upper()),
        (SCF, "MAX_SCF", options.max_scf),
        (SCF, "EPS_SCF", options.eps_scf),
    ):
        if value is not None:
            set_keyword(section(root, *path), name, value)
    if options.scf == "ot":
        if any(part.name == "SMEAR" for part in section(root, *SCF).subsections):
            raise LabelError("not_converged", "scf: ot needs whole occupations, the template smears them", 0)
        set_orbital_transformation(root)
    elif options.scf == "diagonalization":
        remove_sections(section(root, *SCF), "OT", "OUTER_SCF")
    if options.mixing_alpha is not None:
        mixing = {"METHOD": "BROYDEN_MIXING", "ALPHA": options.mixing_alpha}
        apply(section(root, *SCF), {"MIXING": mixing})


def set_kinds(root: Any, symbols: list[str], basis_set: str | None, pseudo_potential: str | None) -> None:
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


def set_charge_and_spin(root: Any, charge: int, spin: int) -> None:
    """Charge, multiplicity, and unrestricted orbitals where electrons are unpaired."""
    dft = section(root, *DFT)
    set_keyword(dft, "CHARGE", charge)
    set_keyword(dft, "MULTIPLICITY", spin + 1)
    if spin:
        for name in _UNRESTRICTED:
            set_keyword(dft, name)
        set_keyword(dft, "UKS", True)


def poisson_solver(root: Any) -> str:
    """The solver that the template names for molecules; wavelets, which need the least box, where it names none."""
    named = keyword(section(root, *DFT, "POISSON"), "PSOLVER") or keyword(
        section(root, *DFT, "POISSON"), "POISSON_SOLVER"
    )
    return "WAVELET" if named is None or named.upper() == "PERIODIC" else named.upper()


def set_frame(root: Any, frame: Atoms, solver: str) -> None:
    """Cell, coordinates, boundary conditions, and what is to be computed.

    Lengths are in bohr by ASE's constant, which converts the forces back.
    """
    periodic = bool(frame.pbc.any())
    subsys = section(root, *SUBSYS)
    remove_sections(subsys, "CELL", "COORD", "TOPOLOGY")
    cell, coordinates = section(subsys, "CELL"), section(subsys, "COORD")
    for name, vector in zip("ABC", frame.cell.array / Bohr, strict=True):
        set_keyword(cell, name, "[bohr] " + _numbers(vector))
    set_keyword(cell, "PERIODIC", "XYZ" if periodic else "NONE")
    coordinates.keywords = ["UNIT bohr"] + [
        f"{symbol} {_numbers(place)}" for symbol, place in zip(frame.symbols, frame.positions / Bohr, strict=True)
    ]
    poisson = section(root, *DFT, "POISSON")
    set_keyword(poisson, "POISSON_SOLVER")
    set_keyword(poisson, "PERIODIC", "XYZ" if periodic else "NONE")
    set_keyword(poisson, "PSOLVER", "PERIODIC" if periodic else solver)
    set_keyword(section(root, "FORCE_EVAL"), "STRESS_TENSOR", "ANALYTICAL" if periodic else "NONE")
    what = section(root, "GLOBAL")
    set_keyword(what, "PROJECT_NAME")
    # The output must tell whether SCF converged.
    for name, value in (("PROJECT", "label"), ("RUN_TYPE", "ENERGY_FORCE"), ("PRINT_LEVEL", "LOW")):
        set_keyword(what, name, value)


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.16g}" for value in values)
