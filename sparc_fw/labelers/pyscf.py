"""Labels by PySCF: Kohn-Sham DFT, and CCSD(T), of molecules with Gaussian basis sets."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.backend import package_version
from sparc_fw.documents import Reason
from sparc_fw.errors import InputError
from sparc_fw.labelers.base import LabelError, charge_and_spin, check_electrons
from sparc_fw.labelers.coupled_cluster import coupled_cluster
from sparc_fw.labelers.in_process import InProcessLabeler, InProcessOptions
from sparc_fw.labelers.pyscf_names import check_basis, check_dispersion, check_functional, has_ecp


class PySCFOptions(InProcessOptions):
    """Options of the labeler ``pyscf``."""

    effort: ClassVar[frozenset[str]] = InProcessOptions.effort | {"max_cycle", "max_basis_functions"}
    steering: ClassVar[frozenset[str]] = frozenset({"guess", "level_shift", "second_order"})

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
    """Integration grid, 0 to 9; on NH3BH3 forces at 2 lie within 0.4 meV/Å of 6, at 3 (PySCF's default) within 0.2.
    Meta-GGAs want 3 or more: at 2, TPSS forces of HF are 3 meV/Å off the slope of the energy."""
    conv_tol: float = Field(1e-8, gt=0)
    """SCF convergence of the energy, hartree."""
    max_cycle: int = Field(50, ge=1)
    """Most SCF cycles of each attempt."""
    method: Literal["auto", "rks", "uks", "ccsd(t)"] = "auto"
    """Restricted or unrestricted Kohn-Sham (auto: unrestricted where electrons are unpaired); or, for very small
    molecules, CCSD(T) with all electrons correlated, which wants `functional: hf` and `density_fit: false`."""
    max_basis_functions: int = Field(80, ge=1)
    """CCSD(T) of a molecule with more basis functions is refused: its time grows with their seventh power."""
    dispersion: Literal["d3bj", "d3zero", "d4"] | None = None
    """Dispersion correction (Grimme) for the functional, by the package pyscf-dispersion."""
    solvent: Literal["ddcosmo", "c-pcm", "ief-pcm"] | None = None
    """Continuum around the molecule."""
    dielectric_constant: float | None = Field(None, gt=1)
    """Static relative permittivity of the solvent: 78.36 for water."""
    guess: Literal["minao", "atom", "huckel", "mod_huckel", "1e"] = "minao"
    """First density; where there is more than one solution, another guess may find another one."""
    level_shift: float = Field(0.0, ge=0)
    """Shift of the empty orbitals while the SCF runs, hartree; slower and safer, of no effect on what it arrives at."""
    second_order: bool = True
    """Try again with second-order SCF when the first SCF does not converge."""

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (self.solvent is None) != (self.dielectric_constant is None):
            raise ValueError("dielectric_constant: expected it exactly where there is a solvent")
        if self.method != "ccsd(t)":
            return self
        wanted = {"functional": "hf", "density_fit": False, "dispersion": None, "solvent": None}
        for key, value in wanted.items():
            if getattr(self, key) != value:
                raise ValueError(f"{key}: found {getattr(self, key)!r} with method ccsd(t), expected {value!r}")
        return self


class PySCFLabeler(InProcessLabeler[PySCFOptions]):
    """DFT energies and gradients of molecules.

    Every frame starts from the superposition of atomic densities, never from another frame's density, so that a label
    does not depend on what was labelled before it; with one thread it repeats to the bit. (PySCF cuts its grid into
    blocks by the memory that is left: above some 500 basis functions the last bits can vary with the process' size.)

    References
    ----------
    Q. Sun et al., J. Chem. Phys. 153 (2020) 024109; second-order SCF: Q. Sun, arXiv:1610.08423; ddCOSMO: F. Lipparini
    et al., J. Chem. Theory Comput. 9 (2013) 3637; CCSD(T): K. Raghavachari et al., Chem. Phys. Lett. 157 (1989) 479.
    """

    Options: ClassVar[type[PySCFOptions]] = PySCFOptions
    packages: ClassVar[tuple[str, ...]] = ("pyscf",)
    extra: ClassVar[str] = "pyscf"
    code: ClassVar[str] = "pyscf"
    rechecks: ClassVar[list[dict[str, Any]]] = [{"guess": "huckel"}, {"guess": "atom", "level_shift": 0.3}]
    own_retries: ClassVar[dict[Reason, list[dict[str, Any]]]] = {
        "not_converged": [{"guess": "huckel"}, {"level_shift": 0.3, "max_cycle": 200}]
    }

    @cached_property
    def like_atoms_alike(self) -> bool:
        """They are: no option names an atom."""
        return True

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
        check_functional(options.functional)
        check_dispersion(options.functional, options.dispersion)
        for symbol in sorted(set(frame.get_chemical_symbols())):
            check_basis("basis", options.basis, symbol)
            if options.density_fit and options.auxbasis is not None:
                check_basis("auxbasis", options.auxbasis, symbol)
        spin = check_electrons(frame)
        if options.method == "rks" and spin > 0:
            raise InputError(f"labeler pyscf: method: found rks with spin {spin}, expected 'auto' or 'uks'")
        if options.method == "ccsd(t)":
            if spin:
                # Measured with PySCF 2.14 on H2O+ and triplet CH2: off by 4 % from the slope of the energy.
                raise InputError(
                    f"labeler pyscf: method: found ccsd(t) with spin {spin}, expected 0: PySCF's gradients of "
                    "unrestricted CCSD(T) are not the slope of its energy"
                )
            self._check_size(frame)

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
            if self.options.method == "ccsd(t)":
                energy, gradient = coupled_cluster(solver, self.options.conv_tol, self.options.max_cycle, attempts)
            else:
                energy, gradient = solver.e_tot, solver.nuc_grad_method().kernel()
        return float(energy) * Hartree, -np.asarray(gradient) * Hartree / Bohr, None, attempts

    def _check_size(self, frame: Atoms) -> None:
        functions = int(self._molecule(frame).nao_nr())
        if functions > self.options.max_basis_functions:
            raise InputError(
                f"labeler pyscf: method: found ccsd(t) for {frame.get_chemical_formula()} with {functions} basis "
                f"functions, expected at most max_basis_functions, {self.options.max_basis_functions}: take a smaller "
                "basis, a density functional, or raise the limit"
            )

    def _molecule(self, frame: Atoms) -> Any:
        from pyscf import gto

        options = self.options
        charge, spin = charge_and_spin(frame)
        return gto.M(
            # By the constant that converts the gradient back; PySCF's own differs in the tenth digit.
            atom=list(zip(frame.get_chemical_symbols(), (frame.positions / Bohr).tolist(), strict=True)),
            unit="Bohr",
            basis=options.basis,
            ecp={
                symbol: options.basis for symbol in set(frame.get_chemical_symbols()) if has_ecp(options.basis, symbol)
            },
            charge=charge,
            spin=spin,
            verbose=0,
        )

    def _solver(self, frame: Atoms) -> Any:
        """The self-consistent field of a frame, not yet run."""
        from pyscf import dft, scf

        options = self.options
        molecule = self._molecule(frame)
        unrestricted = options.method == "uks" or molecule.spin > 0
        if options.method == "ccsd(t)":
            solver = (scf.UHF if unrestricted else scf.RHF)(molecule)
        else:
            solver = (dft.UKS if unrestricted else dft.RKS)(molecule, xc=options.functional)
            solver.grids.level = options.grid_level
            solver.disp = options.dispersion
        if options.density_fit:
            solver = solver.density_fit(auxbasis=options.auxbasis)
        if options.solvent is not None:
            solver = solver.ddCOSMO() if options.solvent == "ddcosmo" else solver.PCM()
            solver.with_solvent.eps = options.dielectric_constant
            if options.solvent != "ddcosmo":
                solver.with_solvent.method = options.solvent.upper()
        solver.conv_tol = options.conv_tol
        solver.max_cycle = options.max_cycle
        solver.init_guess = options.guess
        solver.level_shift = options.level_shift
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
