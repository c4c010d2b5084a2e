"""VASP's input files for a frame: from an input set of pymatgen, or from the user's own INCAR."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell

from sparc_fw.errors import InputError
from sparc_fw.labelers.base import LabelError, charge_and_spin, check_electrons
from sparc_fw.labelers.vasp_potcar import read_potcars, valence
from sparc_fw.labelers.vasp_tags import own_incar

if TYPE_CHECKING:
    from pymatgen.io.vasp.inputs import Incar, Kpoints

    from sparc_fw.labelers.vasp import VASPOptions

SPEC = "POTCAR.spec"
_ONE_GEOMETRY = {"NSW": 0, "PSTRESS": 0, "ML_LMLFF": False}
_UNREAD = ("LWAVE", "LCHARG", "LAECHG", "LVHAR", "LVTOT", "LELF")
"""Tags that write large files, which no label needs."""


@dataclass(frozen=True)
class VASPInput:
    """The input files of one calculation.

    Attributes
    ----------
    order : ndarray of shape (n_atoms,)
        Index in the frame of each atom of the POSCAR: VASP wants the atoms of an element side by side.
    atoms : Atoms
        The atoms as in the POSCAR, in the cell of the calculation.
    potcar_symbols : list of str
        In the order of the POSCAR.
    potcars : list of str or None
        Their texts; None where this machine has no POTCARs.
    """

    order: np.ndarray
    atoms: Atoms
    incar: Incar
    kpoints: Kpoints | None
    potcar_symbols: list[str]
    potcar_functional: str
    potcars: list[str] | None

    @property
    def gamma_only(self) -> bool:
        """Whether the Gamma point is all, for which there is a faster VASP."""
        points = self.kpoints
        return (
            points is not None
            and points.style.name == "Gamma"
            and [tuple(point) for point in points.kpts] == [(1, 1, 1)]
            and not any(points.kpts_shift)
        )

    def write(self, folder: Path) -> None:
        """Write INCAR, POSCAR, KPOINTS and POTCAR; where there are no POTCARs ``POTCAR.spec`` says which are needed."""
        from pymatgen.io.ase import AseAtomsAdaptor
        from pymatgen.io.vasp.inputs import Poscar

        self.incar.write_file(str(folder / "INCAR"))
        # Without the calculator or constraints that a frame may carry.
        plain = Atoms(self.atoms.numbers, self.atoms.positions, cell=self.atoms.cell, pbc=True)
        Poscar(AseAtomsAdaptor.get_structure(plain), sort_structure=False).write_file(str(folder / "POSCAR"))
        if self.kpoints is not None:
            self.kpoints.write_file(str(folder / "KPOINTS"))
        if self.potcars is None:
            (folder / SPEC).write_text("\n".join([self.potcar_functional, *self.potcar_symbols]) + "\n")
        else:
            (folder / "POTCAR").write_text("".join(self.potcars))


def build_input(options: VASPOptions, frame: Atoms, potcar_folder: Path | None) -> VASPInput:
    """Make the input of a frame.

    Raises
    ------
    InputError
        If the options, or the frame under them, can never be calculated.
    LabelError
        ``bad_input`` for a molecule that outgrew its box.
    """
    order = np.argsort(np.array(frame.get_chemical_symbols()), kind="stable")
    atoms = in_cell(frame, options.vacuum_A, options.box_A)[order]
    with warnings.catch_warnings():
        # pymatgen warns of every override, once per frame; what an override makes of the input is checked below.
        warnings.simplefilter("ignore", UserWarning)
        if options.input_set is not None:
            incar, kpoints, symbols, functional = _by_set(options, atoms, bool(frame.pbc.any()))
        else:
            incar, kpoints, symbols, functional = _by_incar(options, atoms, bool(frame.pbc.any()))
    _set_spin(options, incar, frame)
    _set_start(options, incar)
    potcars = read_potcars(potcar_folder, functional, symbols) if potcar_folder is not None else None
    _set_charge(incar, frame, atoms, potcars)
    _check_tags(options, incar)
    return VASPInput(order, atoms, incar, kpoints, symbols, functional, potcars)


def potcar_names(options: VASPOptions, elements: Sequence[str]) -> tuple[list[str], str]:
    """Names of the POTCARs of some elements, and their family."""
    apart = Atoms(list(elements), [(0, 0, 4.0 * place) for place in range(len(elements))])
    apart.set_cell([10.0, 10.0, 4.0 * len(elements) + 10.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        parts = (_by_incar if options.input_set is None else _by_set)(options, apart, False)
    return parts[2], parts[3]


def in_cell(frame: Atoms, vacuum: float, box: float | None) -> Atoms:
    """The frame in a cell that VASP takes: a crystal's own, a molecule's box with the molecule in its middle.

    Without `box` the edges are whole Å, so that frames of a molecule seldom differ in their plane waves.
    """
    atoms = frame.copy()
    if frame.pbc.any():
        if frame.cell.rank < 3 or np.linalg.det(complete_cell(frame.cell)) <= 0:
            raise InputError(
                f"labeler vasp: found the cell {frame.cell.tolist()}, expected three right-handed cell vectors; give a "
                "slab or a chain its vacuum"
            )
        _check_vacuum(atoms, vacuum)
        return atoms
    extent = np.ptp(frame.positions, axis=0)
    if box is not None and (extent + vacuum > box).any():
        raise LabelError(
            "bad_input",
            f"a molecule of {extent.max():.2f} Å leaves less than vacuum_A, {vacuum:g} Å, in box_A, {box:g} Å",
            attempts=0,
        )
    edges = np.ceil(extent + vacuum) if box is None else np.full(3, box)
    atoms.set_cell(edges)
    atoms.positions += edges / 2 - (frame.positions.min(axis=0) + frame.positions.max(axis=0)) / 2
    return atoms


def _check_vacuum(atoms: Atoms, vacuum: float) -> None:
    """Raise a `LabelError` for a slab or chain that comes too near to its images, across which VASP repeats it."""
    normals = atoms.cell.reciprocal().array
    heights = 1 / np.linalg.norm(normals, axis=1)
    empty = heights - np.ptp(atoms.positions @ normals.T, axis=0) * heights
    for axis in np.flatnonzero(~atoms.pbc):
        if empty[axis] < vacuum:
            raise LabelError(
                "bad_input",
                f"a frame that does not repeat along its vector {'abc'[axis]} leaves {empty[axis]:.2f} Å to its "
                f"images, less than vacuum_A, {vacuum:g} Å",
                attempts=0,
            )


Parts = tuple["Incar", "Kpoints | None", list[str], str]


def _by_set(options: VASPOptions, atoms: Atoms, periodic: bool) -> Parts:
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.vasp.inputs import Kpoints

    plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    given = options.user_incar_settings
    if not isinstance(given.get("MAGMOM", {}), dict):
        raise InputError(
            f"labeler vasp: user_incar_settings: MAGMOM: found {given['MAGMOM']!r} with an input set, expected moments "
            "by element, such as {Fe: 5}"
        )
    # User settings take the place of what the set would write, but not of what is asked for here.
    unread = {tag: False for tag in _UNREAD if tag not in given}
    # Some sets take no null for the family.
    family = {"user_potcar_functional": options.user_potcar_functional} if options.user_potcar_functional else {}
    made = input_set_class(options.input_set or "")(
        structure=AseAtomsAdaptor.get_structure(plain),
        user_incar_settings=unread | given,
        user_kpoints_settings=dict(options.user_kpoints_settings) if periodic else Kpoints.gamma_automatic((1, 1, 1)),
        user_potcar_settings=dict(options.user_potcar_settings),
        sort_structure=False,
        **family,
    )
    return made.incar, made.kpoints, list(made.potcar_symbols), str(made.potcar_functional)


def _by_incar(options: VASPOptions, atoms: Atoms, periodic: bool) -> Parts:
    from pymatgen.io.vasp.inputs import Kpoints

    incar = own_incar(options.incar, options.user_incar_settings)
    for tag in _UNREAD[:2]:
        incar.setdefault(tag, False)
    kpoints = None
    if not periodic:
        kpoints = Kpoints.gamma_automatic((1, 1, 1))
        incar.pop("KSPACING", None)
    elif options.kpoints:
        kpoints = Kpoints.from_str(options.kpoints)
    elif "KSPACING" not in incar:
        raise InputError(
            "labeler vasp: kpoints: found none for a periodic frame, expected the text of a KPOINTS file, or KSPACING "
            "in the INCAR"
        )
    elements = list(dict.fromkeys(atoms.get_chemical_symbols()))
    symbols = [options.user_potcar_settings.get(element, element) for element in elements]
    return incar, kpoints, symbols, options.user_potcar_functional or "PBE"


def input_set_class(name: str) -> Any:
    """An input set of `pymatgen.io.vasp.sets` by its name."""
    from pymatgen.io.vasp import sets

    found = getattr(sets, name, None)
    if not (isinstance(found, type) and issubclass(found, sets.VaspInputSet) and found is not sets.VaspInputSet):
        known = sorted(
            key for key, value in vars(sets).items() if isinstance(value, type) and issubclass(value, sets.VaspInputSet)
        )
        static = ", ".join(key for key in known if "Static" in key)
        raise InputError(
            f"labeler vasp: input_set: found {name!r}, expected an input set of pymatgen.io.vasp.sets: {static}, …"
        )
    return found


def _set_spin(options: VASPOptions, incar: Incar, frame: Atoms) -> None:
    if options.spin == "free":
        return
    # Smearing lets a crystal have any number of electrons; a molecule has whole ones.
    spin = check_electrons(frame) if not frame.pbc.any() else charge_and_spin(frame)[1]
    demanded: dict[str, Any] = {"ISPIN": 2, "NUPDOWN": spin} if spin else {"ISPIN": 1}
    said = {tag.upper() for tag in options.user_incar_settings} | (set(incar) if options.input_set is None else set())
    wanted = demanded if spin else {**demanded, "NUPDOWN": 0, "MAGMOM": 0}
    for tag in sorted(said & set(wanted) & set(incar)):
        found = options.user_incar_settings.get(tag, incar[tag])
        numbers = np.ravel(np.array([*found.values()] if isinstance(found, dict) else found, dtype=float))
        # A difference of -1 is none that is held.
        allowed = (0, -1) if tag == "NUPDOWN" and not spin else (wanted[tag],)
        if not np.isin(numbers, allowed).all():
            raise InputError(
                f"labeler vasp: {tag}: found {found} for a frame with {spin} unpaired electrons, expected "
                f"{wanted[tag]}; change 'spin' of the system, or set the labeler's 'spin: free'"
            )
    incar.update(demanded)
    if not spin:
        # An input set's own, for a calculation with spin.
        incar.pop("MAGMOM", None)
        incar.pop("NUPDOWN", None)
    elif "MAGMOM" not in said:
        # The sum is fixed by NUPDOWN; how it spreads is for VASP to find.
        incar["MAGMOM"] = [spin / len(frame)] * len(frame)


def _set_start(options: VASPOptions, incar: Incar) -> None:
    """Put in what the options' own keys say of how SCF begins and goes on."""
    if options.algorithm is not None:
        incar.pop("IALGO", None)
        incar["ALGO"] = options.algorithm
    if options.start is not None:
        incar.update({"ISTART": 0, "ICHARG": {"atoms": 2, "orbitals": 0}[options.start]})
    if "MAGMOM" in incar and options.moment_factor != 1.0:
        incar["MAGMOM"] = (options.moment_factor * np.array(incar["MAGMOM"], dtype=float)).tolist()


def _set_charge(incar: Incar, frame: Atoms, atoms: Atoms, potcars: list[str] | None) -> None:
    charge = charge_and_spin(frame)[0]
    if not charge:
        return
    if potcars is None:
        raise InputError(
            f"labeler vasp: charge: found {charge}, for which NELECT needs the valence electrons (ZVAL) of the "
            "POTCARs, and there are none here: set vasp_potcar_dir"
        )
    counts = [atoms.get_chemical_symbols().count(element) for element in dict.fromkeys(atoms.get_chemical_symbols())]
    incar["NELECT"] = sum(count * valence(text) for count, text in zip(counts, potcars, strict=True)) - charge


def _check_tags(options: VASPOptions, incar: Incar) -> None:
    unknown = sorted(set(incar) - set(incar.INCAR_PARAMS) - set(options.unlisted_tags))
    if unknown:
        raise InputError(
            f"labeler vasp: INCAR: found the tag {unknown[0]}, which pymatgen does not list and which VASP would pass "
            "over in silence if it did not exist; correct it, or name it in 'unlisted_tags'"
        )
    for tag, value in _ONE_GEOMETRY.items():
        if incar.get(tag, value) != value:
            raise InputError(
                f"labeler vasp: INCAR: found {tag} = {incar[tag]}, expected {value}: a label is one geometry; take a "
                f"static input set or set {tag} in user_incar_settings"
            )
