"""The common biases as COLVARS text, in LAMMPS' units metal (Å, degrees, eV), atoms numbered from 1.

Keys: https://colvars.github.io/master/colvars-refman-lammps.html. COLVARS measures force constants and hills in units
of a variable's ``width``, which is written to make both what they are called here.
"""

from __future__ import annotations

from collections.abc import Sequence

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

BINS = 10
"""Points of a grid that a hill's width spans, where hills are kept on one."""
FARTHEST_A = 10.0
"""Where the grid of a distance ends at first, Å; COLVARS lets it grow."""


def colvars_text(
    biases: Sequence[Bias], timestep_fs: float, temperature: float, replica: int, every: int, on_grids: bool = False
) -> str:
    """The whole configuration; variable ``cv0`` and bias ``bias0`` belong to the first one, and so on.

    Parameters
    ----------
    biases : sequence of Bias
    timestep_fs : float
        fs.
    temperature : float
        K.
    replica : int
        Number of the replica: a moving restraint may have another velocity in each.
    every : int
        Steps between the values that are written.
    on_grids : bool
        Whether hills are summed on grids, `BINS` points a width, which lose up to 3 % of a hill's height: COLVARS
        goes on from grids only; the hills of its state it reads, and forgets.
    """
    if not biases:
        return ""
    lines = [f"colvarsTrajFrequency {every}"]
    for number, bias in enumerate(biases):
        lines += _variable(bias, f"cv{number}", on_grids)
        name = f"bias{number}"
        if isinstance(bias, Metadynamics):
            lines += _metadynamics(bias, f"cv{number}", name, timestep_fs, temperature, on_grids)
        else:
            lines += _bias(bias, f"cv{number}", name, timestep_fs, replica)
    return "\n".join(lines) + "\n"


def _variable(bias: Bias, name: str, on_grids: bool) -> list[str]:
    width = 1.0
    grid: list[str] = []
    if isinstance(bias, Metadynamics):
        width = bias.width / BINS if on_grids else bias.width
        grid = _grid(bias.cv) if on_grids else []
    elif isinstance(bias, AdaptiveForce):
        width = bias.spacing
        grid = [f"lowerBoundary {bias.lower!r}", f"upperBoundary {bias.upper!r}"]
    return ["colvar {", f"name {name}", f"width {width!r}", *grid, *_components(bias.cv), "}"]


def _grid(cv: Variable) -> list[str]:
    """Boundaries of a variable; a dihedral angle has its own."""
    if isinstance(cv, Dihedral):
        return []
    if isinstance(cv, Angle):
        return ["lowerBoundary 0.0", "upperBoundary 180.0"]
    if isinstance(cv, Coordination):
        return ["lowerBoundary 0.0", f"upperBoundary {float(len(cv.atoms) * len(cv.around))!r}"]
    lowest = -FARTHEST_A if isinstance(cv, Difference) else 0.0
    return [f"lowerBoundary {lowest!r}", f"upperBoundary {FARTHEST_A!r}", "expandBoundaries on"]


def _groups(*groups: Sequence[int]) -> list[str]:
    return [
        f"group{number} {{ atomNumbers {' '.join(str(atom + 1) for atom in group)} }}"
        for number, group in enumerate(groups, 1)
    ]


def _components(cv: Variable) -> list[str]:
    if isinstance(cv, Distance | Angle | Dihedral):
        return [f"{cv.kind} {{", *_groups(*([atom] for atom in cv.atoms)), "}"]
    if isinstance(cv, Difference):
        first, second = (_groups(*([atom] for atom in pair)) for pair in (cv.atoms, cv.minus))
        return ["distance {", *first, "}", "distance {", "componentCoeff -1.0", *second, "}"]
    assert isinstance(cv, Coordination)
    shape = [f"cutoff {cv.radius_A!r}", "expNumer 6", "expDenom 12"]
    return ["coordNum {", *_groups(cv.atoms, cv.around), *shape, "}"]


def _bias(
    bias: AdaptiveForce | Umbrella | Steered | Walls, cv: str, name: str, timestep_fs: float, replica: int
) -> list[str]:
    head = [f"name {name}", f"colvars {cv}", "outputEnergy on"]
    if isinstance(bias, AdaptiveForce):
        walls = [f"lowerWalls {bias.lower!r}", f"upperWalls {bias.upper!r}"]
        stiffness = [f"forceConstant {bias.stiffness * bias.spacing**2!r}"]
        learner = ["abf {", f"name {name}", f"colvars {cv}", f"fullSamples {bias.samples}", "}"]
        return [*learner, "harmonicWalls {", f"name {name}_walls", f"colvars {cv}", *walls, *stiffness, "}"]
    stiffness = [f"forceConstant {bias.stiffness!r}"]
    if isinstance(bias, Walls):
        sides = [("lowerWalls", bias.lower), ("upperWalls", bias.upper)]
        walls = [f"{key} {place!r}" for key, place in sides if place is not None]
        return ["harmonicWalls {", *head, *walls, *stiffness, "}"]
    if isinstance(bias, Umbrella):
        assert bias.centre is not None
        return ["harmonic {", *head, f"centers {bias.centre!r}", *stiffness, "}"]
    assert isinstance(bias, Steered)
    steps = max(1, round(pulling_ps(bias, replica) * 1000 / timestep_fs))
    moving = [f"centers {bias.first!r}", f"targetCenters {bias.last!r}", f"targetNumSteps {steps}"]
    return ["harmonic {", *head, *moving, *stiffness, "outputCenters on", "outputAccumulatedWork on", "}"]


def _metadynamics(
    bias: Metadynamics, cv: str, name: str, timestep_fs: float, temperature: float, on_grids: bool
) -> list[str]:
    steps = max(1, round(bias.every_fs / timestep_fs))
    width = 2.0 * BINS if on_grids else 2.0
    lines = [f"name {name}", f"colvars {cv}", "outputEnergy on", f"hillWeight {bias.height_eV!r}"]
    lines += [f"hillWidth {width!r}", f"newHillFrequency {steps}"]
    if not on_grids:
        # No boundaries have to be known before, and hills are what they are called.
        lines.append("useGrids off")
    if bias.bias_factor is not None:
        lines += ["wellTempered on", f"biasTemperature {temperature * (bias.bias_factor - 1)!r}"]
    return ["metadynamics {", *lines, "}"]
