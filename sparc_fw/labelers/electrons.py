"""Charge and spin of a frame, and whether its electrons can have them."""

from __future__ import annotations

from ase import Atoms

from sparc_fw.errors import InputError


def charge_and_spin(frame: Atoms) -> tuple[int, int]:
    """Total charge (e) and number of unpaired electrons of a frame, from its ``info``; 0 where it does not say."""
    return int(frame.info.get("charge", 0)), int(frame.info.get("spin", 0))


def check_electrons(frame: Atoms, otherwise: str = "") -> int:
    """Check that the electrons of a frame can have its spin; returns the number of unpaired electrons.

    Closed cores (of pseudopotentials and of tight binding) hold even numbers of electrons, so that all electrons can
    be counted. `otherwise` is what else can be done, for the error.

    Raises
    ------
    InputError
        If the parity is wrong or there are not so many electrons.
    """
    charge, spin = charge_and_spin(frame)
    electrons = int(frame.numbers.sum()) - charge
    if electrons < 1 or not 0 <= spin <= electrons or (electrons - spin) % 2:
        raise InputError(
            f"spin: found {spin} unpaired electrons for {frame.get_chemical_formula()} with charge {charge}, which has "
            f"{electrons} electrons; expected an {'odd' if electrons % 2 else 'even'} number up to "
            f"{max(electrons, 0)}: change 'spin' or 'charge' of the system{otherwise}"
        )
    return spin
