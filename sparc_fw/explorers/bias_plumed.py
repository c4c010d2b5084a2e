"""The common biases as PLUMED text in Å, fs and eV (angles in radians), atoms numbered from 1.

Actions: https://www.plumed.org/doc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sparc_fw.errors import InputError
from sparc_fw.explorers.bias import (
    AdaptiveForce,
    Angle,
    Bias,
    Coordination,
    Difference,
    Dihedral,
    Distance,
    Metadynamics,
    Steered,
    Umbrella,
    Variable,
    Walls,
    pulling_ps,
)

OUTPUT = "COLVAR"


def plumed_text(biases: Sequence[Bias], timestep_fs: float, replica: int, every: int, output: str = OUTPUT) -> str:
    """The whole input; variable ``cv0`` and bias ``bias0`` belong to the first one, and so on.

    Parameters
    ----------
    biases : sequence of Bias
    timestep_fs : float
        fs.
    replica : int
        Number of the replica: a moving restraint may have another velocity in each.
    every : int
        Steps between the values that are written.
    output : str
        File that gets them.

    Raises
    ------
    InputError
        For adaptive biasing forces, which PLUMED does not have.
    """
    if not biases:
        return ""
    lines = ["UNITS LENGTH=A TIME=fs ENERGY=eV"]
    printed = []
    for number, bias in enumerate(biases):
        lines += _variable(bias.cv, f"cv{number}")
        lines += _bias(bias, number, timestep_fs, replica)
        printed += [f"cv{number}", *_values(bias, number)]
    lines.append(f"PRINT ARG={','.join(printed)} FILE={output} STRIDE={every}")
    return "\n".join(lines) + "\n"


def _numbers(atoms: Sequence[int]) -> str:
    return ",".join(str(atom + 1) for atom in atoms)


def _variable(cv: Variable, name: str) -> list[str]:
    if isinstance(cv, Distance):
        return [f"{name}: DISTANCE ATOMS={_numbers(cv.atoms)}"]
    if isinstance(cv, Angle):
        return [f"{name}: ANGLE ATOMS={_numbers(cv.atoms)}"]
    if isinstance(cv, Dihedral):
        return [f"{name}: TORSION ATOMS={_numbers(cv.atoms)}"]
    if isinstance(cv, Difference):
        parts = [f"{name}a: DISTANCE ATOMS={_numbers(cv.atoms)}", f"{name}b: DISTANCE ATOMS={_numbers(cv.minus)}"]
        return [*parts, f"{name}: COMBINE ARG={name}a,{name}b COEFFICIENTS=1,-1 PERIODIC=NO"]
    assert isinstance(cv, Coordination)
    groups = f"GROUPA={_numbers(cv.atoms)} GROUPB={_numbers(cv.around)}"
    # Written as keys of its own, the function would be cut where it is 1e-5, and shifted by as much.
    return [f"{name}: COORDINATION {groups} SWITCH={{RATIONAL R_0={cv.radius_A!r} NN=6 MM=12}}"]


def unit(cv: Variable) -> float:
    """PLUMED's number for one unit of a variable: angles are degrees here, radians there."""
    return math.radians(1.0) if isinstance(cv, Angle | Dihedral) else 1.0


def _values(bias: Bias, number: int) -> list[str]:
    if isinstance(bias, Walls):
        return [f"bias{number}{side}.bias" for side in ("low", "up") if getattr(bias, _SIDES[side]) is not None]
    values = [f"bias{number}.bias"]
    return [*values, f"bias{number}.cv{number}_cntr", f"bias{number}.work"] if isinstance(bias, Steered) else values


_SIDES = {"low": "lower", "up": "upper"}


def _bias(bias: Bias, number: int, timestep_fs: float, replica: int) -> list[str]:
    name, argument, one = f"bias{number}", f"ARG=cv{number}", unit(bias.cv)
    if isinstance(bias, AdaptiveForce):
        raise InputError(
            f"bias[{number}]: found kind abf, which PLUMED does not have; explorer kind lammps has it, by COLVARS"
        )
    if isinstance(bias, Metadynamics):
        steps = max(1, round(bias.every_fs / timestep_fs))
        line = f"{name}: METAD {argument} SIGMA={bias.width * one!r} HEIGHT={bias.height_eV!r} PACE={steps}"
        tempered = "" if bias.bias_factor is None else f" BIASFACTOR={bias.bias_factor!r}"
        return [f"{line}{tempered} FILE=HILLS{number}"]
    stiffness = bias.stiffness / one**2
    if isinstance(bias, Umbrella):
        assert bias.centre is not None
        return [f"{name}: RESTRAINT {argument} AT={bias.centre * one!r} KAPPA={stiffness!r}"]
    if isinstance(bias, Walls):
        # PLUMED's walls have no factor one half.
        sides = [("low", "LOWER_WALLS", bias.lower), ("up", "UPPER_WALLS", bias.upper)]
        return [
            f"{name}{side}: {action} {argument} AT={place * one!r} KAPPA={stiffness / 2!r}"
            for side, action, place in sides
            if place is not None
        ]
    assert isinstance(bias, Steered)
    steps = max(1, round(pulling_ps(bias, replica) * 1000 / timestep_fs))
    begin = f"STEP0=0 AT0={bias.first * one!r} KAPPA0={stiffness!r}"
    return [f"{name}: MOVINGRESTRAINT {argument} {begin} STEP1={steps} AT1={bias.last * one!r} KAPPA1={stiffness!r}"]
