"""Classical potentials of LAMMPS as an ASE calculator: cheap drivers, and cheap labels to try a campaign with."""

from __future__ import annotations

import os
import shlex
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator

from sparc_fw.explorers.lammps_command import lammps_command
from sparc_fw.settings import load_settings

POTENTIALS = "LAMMPS_POTENTIALS"


def lammps_calculator(pair_style: str, pair_coeff: Sequence[str], elements: Sequence[str], **more: Any) -> Calculator:
    """ASE's calculator of LAMMPS with the executable of this machine and the potentials that came with it.

    In a campaign, of a labeler or driver of kind ``potential``: ``calculator:
    sparc_fw.labelers.lammps_calculator:lammps_calculator`` and ``arguments``. Files of parameters are found in the
    folder that ``LAMMPS_POTENTIALS`` names or, where it names none, in the one that LAMMPS brings with it. One process
    of LAMMPS serves all frames.

    Parameters
    ----------
    pair_style : str
        As in LAMMPS' input: ``tersoff``, ``airebo 3.0``, ``reaxff NULL``, …
    pair_coeff : sequence of str
        What follows ``pair_coeff``.
    elements : sequence of str
        The atom types in their order, those that a frame lacks, too.
    **more
        Further arguments of ``ase.calculators.lammpsrun.LAMMPS``: ``units``, ``atom_style``, ``fix``, …

    Raises
    ------
    MissingDependency
        If there is no LAMMPS.
    """
    from ase.calculators.lammpsrun import LAMMPS

    executable, variables = lammps_command(load_settings().lmp_command)
    own = Path(executable).parent / "share/lammps/potentials"
    if POTENTIALS not in os.environ and own.is_dir():
        variables = variables | {POTENTIALS: str(own)}
    words = ["env", *(f"{name}={value}" for name, value in variables.items()), executable]
    calculator: Calculator = LAMMPS(
        command=shlex.join(words),
        pair_style=pair_style,
        pair_coeff=list(pair_coeff),
        specorder=list(elements),
        **more,
    )
    # It removes its files, not their folder.
    weakref.finalize(calculator, shutil.rmtree, calculator.parameters["tmp_dir"], ignore_errors=True)
    return calculator
