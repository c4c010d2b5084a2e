"""Labels by PySCF: Kohn-Sham DFT of molecules with Gaussian basis sets."""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree
from pydantic import Field

from sparc_fw.backend import package_version
from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.labelers.base import Labeler, LabelerOptions, LabelError, charge_and_spin, check_electrons


class PySCFOptions(LabelerOptions):
    """Options of the labeler ``pyscf``."""

    kind: Literal["pyscf"] = "pyscf"
    functional: str = "pbe"
    """Exchange-correlation functional, as PySCF names it: pbe, b3lyp, wb97x-v, …"""
    basis: str = "def2-svp"
    """Gaussian basis set, as PySCF names it; with its effective core potentials where it has any."""
    density_fit: bool = True
    """Density fitting of the Coulomb (and exchange) integrals."""
    auxbasis: str | None = None
    """Auxiliary basis of density fitting; where unset, the one that PySCF pairs with the basis."""
    grid_level: int = Field(2, ge=0, le=9)
    """Integration grid, 0 to 9; on NH3BH3 forces at 2 lie within 0.4 meV/Å of 6, at 3 (PySCF's default) within 0.2."""
    conv_tol: float = Field(1e-8, gt=0)
    """SCF convergence of the energy, hartree."""
    max_cycle: int = Field(50, ge=1)
    """Most SCF cycles of each attempt."""
    method: Literal["auto", "rks", "uks"] = "auto"
    """Restricted or unrestricted Kohn-Sham; auto: unrestricted where electrons are unpaired."""
    second_order: bool = True
    """Try again with second-order SCF when the first SCF does not converge."""


class PySCFLabeler(Labeler[PySCFOptions]):
    """DFT energies and gradients of molecules.

    Every frame starts from the superposition of atomic densities, never from another frame's density, so that a label
    does not depend on what was labelled before it; with one thread it repeats to the bit. (PySCF cuts its grid into
    blocks by the memory that is left: above some 500 basis functions the last bits can vary with the process' size.)

    References
    ----------
    Q. Sun et al., J. Chem. Phys. 153 (2020) 024109; second-order SCF: Q. Sun, arXiv:1610.08423.
    """

    Options: ClassVar[type[PySCFOptions]] = PySCFOptions
    packages: ClassVar[tuple[str, ...]] = ("pyscf",)
    extra: ClassVar[str] = "pyscf"
    code: ClassVar[str] = "pyscf"

    def version(self) -> str:
        """Version of PySCF."""
        return package_version("pyscf")

    def check(self, frame: Atoms) -> None:
        """Raise `InputError` if a frame can never be labelled: element, electrons, functional or periodicity."""
        options = self.options
        if frame.pbc.any():
            raise InputError(
                f"labeler pyscf: found a periodic frame (pbc {frame.pbc.tolist()}), expected a molecule; "
                "set pbc to false in the structure file or take a labeler for periodic systems"
            )
        _check_functional(options.functional)
        for symbol in sorted(set(frame.get_chemical_symbols())):
            _check_basis("basis", options.basis, symbol)
            if options.density_fit and options.auxbasis is not None:
                _check_basis("auxbasis", options.auxbasis, symbol)
        spin = check_electrons(frame)
        if options.method == "rks" and spin > 0:
            raise InputError(f"labeler pyscf: method: found rks with spin {spin}, expected 'auto' or 'uks'")

    def calculate(self, frame: Atoms) -> tuple[float, np.ndarray, np.ndarray | None, int]:
        """Energy (eV), forces (eV/Å), no stress, and the number of SCF attempts."""
        from pyscf import lib

        self.check(frame)
        with lib.with_omp_threads(self.settings.threads):
            try:
                solver, attempts = self._converge(self._solver(frame))
            except np.linalg.LinAlgError as error:
                # A basis that became linearly dependent, as with atoms that almost coincide.
                raise LabelError("crashed", f"PySCF: {error}") from error
            gradient = solver.nuc_grad_method().kernel()
        return float(solver.e_tot) * Hartree, -np.asarray(gradient) * Hartree / Bohr, None, attempts

    def _solver(self, frame: Atoms) -> Any:
        """The Kohn-Sham object of a frame, not yet run."""
        from pyscf import dft, gto

        options = self.options
        charge, spin = charge_and_spin(frame)
        molecule = gto.M(
            # By the constant that converts the gradient back; PySCF's own differs in the tenth digit.
            atom=list(zip(frame.get_chemical_symbols(), (frame.positions / Bohr).tolist(), strict=True)),
            unit="Bohr",
            basis=options.basis,
            ecp={
                symbol: options.basis for symbol in set(frame.get_chemical_symbols()) if _has_ecp(options.basis, symbol)
            },
            charge=charge,
            spin=spin,
            verbose=0,
        )
        unrestricted = options.method == "uks" or spin > 0
        solver = (dft.UKS if unrestricted else dft.RKS)(molecule, xc=options.functional)
        if options.density_fit:
            solver = solver.density_fit(auxbasis=options.auxbasis)
        solver.grids.level = options.grid_level
        solver.conv_tol = options.conv_tol
        solver.max_cycle = options.max_cycle
        return solver

    def _converge(self, solver: Any) -> tuple[Any, int]:
        """Run the SCF, a second time in second order if need be.

        Raises
        ------
        LabelError
            ``not_converged``, with the last energies.
        """
        energies: list[float] = []

        def follow(state: dict[str, Any]) -> None:
            energies.append(float(state["e_tot"]))

        solver.callback = follow
        solver.kernel()
        attempts = 1
        if not solver.converged and self.options.second_order:
            orbitals, occupation = solver.mo_coeff, solver.mo_occ
            solver = solver.newton()
            solver.callback = follow
            solver.max_cycle = self.options.max_cycle
            solver.kernel(orbitals, occupation)
            attempts = 2
        if not solver.converged:
            last = ", ".join(f"{energy:.6f}" for energy in energies[-3:])
            raise LabelError(
                "not_converged",
                f"SCF not converged to {self.options.conv_tol:g} hartree in {attempts} attempt(s) of "
                f"{self.options.max_cycle} cycles; last energies {last} hartree",
                attempts,
            )
        return solver, attempts


@cache
def _check_functional(functional: str) -> None:
    from pyscf import dft
    from pyscf.scf.dispersion import parse_dft

    try:
        dft.libxc.parse_xc(functional)
        dispersion = parse_dft(functional)[2]
    except (KeyError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"labeler pyscf: functional: found {functional!r}, which PySCF does not know ({error}); "
            "expected a name such as pbe, b3lyp or wb97x-v"
        ) from error
    if dispersion and importlib.util.find_spec("pyscf.dispersion") is None:
        raise MissingDependency(
            f"labeler pyscf: functional: {functional!r} asks for the dispersion correction {dispersion}, which needs "
            "the Python package 'pyscf-dispersion': pip install pyscf-dispersion"
        )


@cache
def _check_basis(key: str, name: str, symbol: str) -> None:
    from pyscf import gto

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            gto.basis.load(name, symbol)
    except (RuntimeError, KeyError) as error:
        raise InputError(
            f"labeler pyscf: {key}: found {name!r}, which has no functions for element {symbol}; "
            "expected a basis set of PySCF that covers all elements"
        ) from error


@cache
def _has_ecp(basis: str, symbol: str) -> bool:
    """Whether the basis set comes with an effective core potential for the element (def2 from Rb on)."""
    from pyscf import gto

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return bool(gto.basis.load_ecp(basis, symbol))
    except (RuntimeError, KeyError):
        # All-electron families have no ECP table at all.
        return False
