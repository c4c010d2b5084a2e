"""CCSD(T) energies and gradients by PySCF."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparc_fw.labelers.base import LabelError


def coupled_cluster(reference: Any, conv_tol: float, max_cycle: int, attempts: int) -> tuple[float, np.ndarray]:
    """Energy (hartree) and gradient (n_atoms, 3) (hartree/bohr) of CCSD(T) on a converged Hartree-Fock.

    Parameters
    ----------
    reference : pyscf.scf.hf.RHF
        Restricted Hartree-Fock, without density fitting.
    conv_tol : float
        Of the energy, hartree.
    max_cycle : int
        Most cycles of the amplitudes, and of their multipliers.
    attempts : int
        How many calculations were made so far, for the error.

    Raises
    ------
    LabelError
        ``not_converged``, where amplitudes or multipliers do not converge.
    """
    from pyscf import cc
    from pyscf.cc import ccsd_t_lambda
    from pyscf.grad import ccsd_t

    solver = cc.CCSD(reference)
    solver.conv_tol = conv_tol
    solver.max_cycle = max_cycle
    # Gradients err as the amplitudes do, energies as their square.
    solver.conv_tol_normt = tolerance = 0.01 * conv_tol**0.5
    solver.kernel()
    if not solver.converged:
        raise LabelError("not_converged", f"CCSD not converged in {max_cycle} cycles", attempts)
    integrals = solver.ao2mo(solver.mo_coeff)
    triples = solver.ccsd_t(eris=integrals)
    converged, first, second = ccsd_t_lambda.kernel(
        solver, integrals, solver.t1, solver.t2, max_cycle=max_cycle, tol=tolerance, verbose=0
    )
    if not converged:
        raise LabelError("not_converged", f"CCSD(T) multipliers not converged in {max_cycle} cycles", attempts)
    gradient = ccsd_t.Gradients(solver).kernel(solver.t1, solver.t2, first, second, eris=integrals)
    return float(solver.e_tot + triples), np.asarray(gradient)
