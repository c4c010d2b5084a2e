"""What PySCF knows by name: functionals, dispersion corrections, basis sets and their core potentials."""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache
from pathlib import Path

from sparc_fw.errors import InputError, MissingDependency


@cache
def check_functional(functional: str) -> None:
    """Raise `InputError` for a functional that PySCF does not know, `MissingDependency` where its package lacks."""
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
    if dispersion:
        _need_dispersion(f"functional: {functional!r} asks for the dispersion correction {dispersion}")


@cache
def check_dispersion(functional: str, dispersion: str | None) -> None:
    """Raise `InputError` for a dispersion correction that does not go with the functional."""
    from pyscf.scf.dispersion import parse_dft

    if dispersion is None:
        return
    _need_dispersion(f"dispersion: found {dispersion!r}")
    _, nonlocal_part, named = parse_dft(functional)
    if named or nonlocal_part:
        raise InputError(
            f"labeler pyscf: dispersion: found {dispersion!r} beside the functional {functional!r}, which brings "
            f"{named or nonlocal_part} along; expected one of them"
        )
    from pyscf.dispersion import dftd3, dftd4
    from pyscf.gto import M

    probe = M(atom="H 0 0 0; H 0 0 1", basis="sto-3g", verbose=0)
    try:
        if dispersion == "d4":
            dftd4.DFTD4Dispersion(probe, xc=functional)
        else:
            dftd3.DFTD3Dispersion(probe, xc=functional, version=dispersion)
    except (RuntimeError, KeyError, ValueError) as error:
        raise InputError(
            f"labeler pyscf: dispersion: {dispersion} has no parameters for the functional {functional!r} ({error})"
        ) from error


def _need_dispersion(who: str) -> None:
    if importlib.util.find_spec("pyscf.dispersion") is None:
        raise MissingDependency(
            f"labeler pyscf: {who}, which needs the Python package 'pyscf-dispersion': pip install pyscf-dispersion"
        )


@cache
def check_basis(key: str, name: str, symbol: str) -> None:
    """Raise `InputError` if a basis set is none, or has no functions for an element; `key` is the option's name."""
    from pyscf import gto

    if Path(name.partition("@")[0]).is_file():
        # PySCF would read it; its content would be in no hash, and on another worker there may be none.
        raise InputError(
            f"labeler pyscf: {key}: found {name!r}, which is a file in {Path.cwd()}; expected the name of a basis set, "
            "or the text of one in NWChem's format"
        )
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
def has_ecp(basis: str, symbol: str) -> bool:
    """Whether the basis set comes with an effective core potential for the element (def2 from Rb on)."""
    from pyscf import gto

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return bool(gto.basis.load_ecp(basis, symbol))
    except (RuntimeError, KeyError):
        # All-electron families have no ECP table at all.
        return False
