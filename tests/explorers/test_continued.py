"""A bias that goes on with what it learned in the iteration before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from pydantic import ValidationError

from known_potential import Known
from sparc_fw.errors import InputError
from sparc_fw.explorers.ase_md import ASEExplorer, ASEOptions
from sparc_fw.explorers.base import Replica
from sparc_fw.explorers.lammps import LAMMPSExplorer
from sparc_fw.explorers.lammps_input import LAMMPSOptions
from sparc_fw.explorers.plumed import kernel_problem
from sparc_fw.records import exploration_from_record, exploration_to_record
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Exploration, Trajectory
from trained_models import ammonia_borane, ignore_progress

BN = {"kind": "distance", "atoms": [0, 1]}
METADYNAMICS = {
    "kind": "metadynamics",
    "cv": BN,
    "height_eV": 0.02,
    "width": 0.05,
    "every_fs": 5.0,
    "bias_factor": None,
}
WITH_TEXT = {"duration_ps": [0.1], "timestep_fs": 0.5, "frame_every_fs": 5.0, "temperature_K": [300.0]}


def by_lammps(folder: Path, learned: Mapping[str, str], bias: dict[str, Any]) -> Trajectory:
    folder.mkdir()
    lines = ["pair_style zero 6.0", "pair_coeff * *", "fix springs all spring/self 2.0"]
    values = {**WITH_TEXT, "frame_every_fs": 0.5, "ensemble": "nve", "bias": [bias], "continue_bias": True}
    explorer = LAMMPSExplorer(LAMMPSOptions.model_validate(values), Settings())
    explorer.check(ammonia_borane())
    replica = Replica(
        ammonia_borane(), Known(lines=lines), [Path("none")], 0, 0, 4, folder, ignore_progress, learned=learned
    )
    [found] = explorer.explore(replica)
    return found


VARIABLES = {
    "distance": (BN, 0.05),
    "angle": ({"kind": "angle", "atoms": [2, 0, 1]}, 3.0),
    "dihedral": ({"kind": "dihedral", "atoms": [2, 0, 1, 5]}, 3.0),
    "difference": ({"kind": "difference", "atoms": [0, 1], "minus": [0, 2]}, 0.2),
    "coordination": ({"kind": "coordination", "atoms": [0], "around": [2, 3, 4], "radius_A": 1.4}, 0.2),
}


@pytest.mark.parametrize("kind", VARIABLES)
def test_colvars_hills_of_the_run_before_act_from_the_beginning(kind: str, tmp_path: Path) -> None:
    cv, width = VARIABLES[kind]
    bias = {**METADYNAMICS, "cv": cv, "width": width}
    first = by_lammps(tmp_path / "first", {}, bias)
    second = by_lammps(tmp_path / "second", first.learned, bias)
    centres = first.series["cv0"][10::10]
    heights = 0.02 * np.exp(-((second.series["cv0"][0] - centres) ** 2) / (2 * width**2))
    assert first.series["bias0_eV"][0] == 0.0
    # Where a hill is steepest, half a bin is 3 % of its height.
    assert second.series["bias0_eV"][0] == pytest.approx(heights.sum(), abs=0.03 * 0.02 * (heights > 1e-4).sum())
    assert heights.sum() > 0.02
    # Time begins anew, and so does what is kept of it.
    np.testing.assert_allclose(second.series["bias_time_fs"], first.series["bias_time_fs"])
    assert len(second) == len(first)


def test_colvars_abf_counts_on(tmp_path: Path) -> None:
    bias = {"kind": "abf", "cv": BN, "lower": 1.2, "upper": 2.2, "spacing": 0.05, "samples": 20}
    first = by_lammps(tmp_path / "first", {}, bias)
    by_lammps(tmp_path / "second", first.learned, bias)
    once, twice = (np.loadtxt(tmp_path / name / "bias.count")[:, 1].sum() for name in ("first", "second"))
    assert twice == pytest.approx(2 * once, abs=2)
    assert once > 100


def test_what_was_learned_is_stored(tmp_path: Path) -> None:
    first = by_lammps(tmp_path / "first", {}, METADYNAMICS)
    exploration = Exploration("name", 0, 0, "lammps", [first], np.zeros(len(first)), 0.1, 1)
    [found] = exploration_from_record(*exploration_to_record(exploration)).trajectories
    assert found.learned == first.learned
    assert list(found.learned) == ["before.colvars.state"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"bias": [{"kind": "walls", "cv": BN, "upper": 3.0, "stiffness": 1.0}]}, "found no bias that learns"),
        (
            {
                "duration_ps": [1.0],
                "bias": [
                    {"kind": "steered", "cv": BN, "first": 1.6, "last": 2.0, "per_ps": [4.0], "stiffness": 3.0},
                    METADYNAMICS,
                ],
            },
            "steered",
        ),
        (
            {"bias": [METADYNAMICS], "schedule": {2: {"bias": [{**METADYNAMICS, "width": 0.1}]}}},
            "schedule.2.: found 'bias' beside continue_bias",
        ),
        (
            {"colvars": "colvar {}", "schedule": {3: {"colvars": "colvar { name d }"}}},
            "schedule.3.: found 'colvars' beside continue_bias",
        ),
    ],
)
def test_refuses_what_cannot_go_on(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        LAMMPSOptions.model_validate({"continue_bias": True, **values})


def test_restart_of_the_text_itself_is_refused() -> None:
    options = ASEOptions.model_validate({"plumed": "RESTART\nd: DISTANCE ATOMS=1,2\n"})
    with pytest.raises(InputError, match="continue_bias"):
        ASEExplorer(options, Settings()).check(ammonia_borane())


def by_ase(folder: Path, start: Atoms, learned: Mapping[str, str], **values: object) -> Trajectory:
    problem = kernel_problem()
    if problem is not None:
        pytest.skip(problem)
    folder.mkdir()
    explorer = ASEExplorer(ASEOptions.model_validate({**WITH_TEXT, "continue_bias": True, **values}), Settings())
    explorer.check(start)
    calculator = LennardJones(epsilon=0.05, sigma=2.8, rc=12.0, smooth=False)
    replica = Replica(start, Known(calculator), [Path("none")], 0, 0, 4, folder, ignore_progress, learned=learned)
    [found] = explorer.explore(replica)
    assert found.ended == "completed"
    return found


def neon() -> Atoms:
    return Atoms("Ne2", [[0, 0, 0], [0, 0, 3.1]], info={"system": "ne2", "charge": 0, "spin": 0})


@pytest.mark.plumed
def test_plumed_hills_of_the_run_before_act_from_the_beginning(tmp_path: Path) -> None:
    first = by_ase(tmp_path / "first", neon(), {}, bias=[METADYNAMICS])
    second = by_ase(tmp_path / "second", neon(), first.learned, bias=[METADYNAMICS])
    here, hills = second.series["cv0"][0], first.series["HILLS0.cv0"]
    expected = 0.02 * np.exp(-((here - hills) ** 2) / (2 * 0.05**2)).sum()
    # PLUMED cuts its Gaussians at exp(-6.25) of their height and stretches them.
    assert second.series["bias0_eV"][0] == pytest.approx(expected, abs=20 * 0.02 * np.exp(-6.25))
    assert expected > 0.01
    assert list(first.learned) == ["HILLS0"]
    # The file of hills goes on; the values along the run begin anew.
    assert len(second.series["HILLS0.cv0"]) == 2 * len(hills)
    assert len(second.series["cv0"]) == len(first.series["cv0"])


OPES = """
UNITS LENGTH=A TIME=fs ENERGY=eV
d: DISTANCE ATOMS=1,2
opes: OPES_METAD ARG=d PACE=10 BARRIER=0.3 SIGMA=0.05 FILE=/somewhere/KERNELS
wall: UPPER_WALLS ARG=d AT=3.6 KAPPA=5.0
here: RESTRAINT ARG=d AT=3.2 KAPPA=0.5
PRINT ARG=d,opes.bias,wall.bias,here.bias FILE=COLVAR STRIDE=10
"""


@pytest.mark.plumed
def test_opes_with_umbrella_and_wall_runs_and_goes_on(tmp_path: Path) -> None:
    try:
        first = by_ase(tmp_path / "first", neon(), {}, plumed=OPES)
    except InputError as error:
        if "cannot understand line: OPES_METAD" in str(error):
            pytest.skip("this kernel of PLUMED was built without its module opes")
        raise
    second = by_ase(tmp_path / "second", neon(), first.learned, plumed=OPES)
    d = first.series["COLVAR.d"]
    np.testing.assert_allclose(first.series["COLVAR.here.bias"], 0.25 * (d - 3.2) ** 2, atol=1e-6)
    np.testing.assert_allclose(first.series["COLVAR.wall.bias"], 5.0 * np.clip(d - 3.6, 0, None) ** 2, atol=1e-6)
    bias = [run.series["COLVAR.opes.bias"] for run in (first, second)]
    # OPES begins at minus the barrier, and fills what it visits.
    assert bias[0][0] == pytest.approx(-0.3, abs=1e-6)
    assert bias[1][0] > -0.15
    kernels = [len(run.series["KERNELS.d"]) for run in (first, second)]
    assert kernels[1] == 2 * kernels[0] > 10
