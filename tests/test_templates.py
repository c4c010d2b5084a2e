"""The templates: all can run, and those of figures end with a verdict and with the physics that they ask for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixBondLength
from ase.data import atomic_numbers
from ase.io import read
from ase.optimize import BFGS

from sparc_fw.errors import MissingDependency
from sparc_fw.explorers.phase_options import PhasesOptions
from sparc_fw.explorers.phase_runs import GripRun, TimedRun
from sparc_fw.geometry.collage import upright
from sparc_fw.geometry.matching import common_cell
from sparc_fw.geometry.overlap import overlapping
from sparc_fw.geometry.packing import density
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.loading import check_campaign, load_campaign
from sparc_fw.settings import load_settings
from sparc_fw.trajectories import Trajectory
from whole_campaigns import Finished, finished, run_file

CAMPAIGNS = Path(__file__).parents[1] / "fw_templates/campaigns"
IN_PHASES = ("diamond_melt_quench", "five_compounds", "graphite_and_diamond", "iron_methane", "silica_on_diamond")
OF_FIGURES = (*IN_PHASES, "ethane_pulled")


@pytest.mark.parametrize("file", sorted(CAMPAIGNS.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_template_can_run(file: Path) -> None:
    loaded = load_campaign(file)
    assert loaded.campaign.name == file.stem
    try:
        check_campaign(loaded, load_settings())
    except MissingDependency as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A template run to its end."""
    folder = tmp_path_factory.mktemp(request.param)
    run_file(folder, CAMPAIGNS / f"{request.param}.yaml")
    return finished(folder, request.param)


def of(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("done", names, indirect=True)


def phases(done: Finished, name: str, whole: bool = True) -> list[Trajectory]:
    """What every replica saw in a phase, in all iterations; only of those that completed it, where asked."""
    parts = [part for _, _, exploration in done.explorations for part in exploration.trajectories if part.name == name]
    return [part for part in parts if part.ended == "completed" or not whole]


@pytest.mark.soak
@of(*OF_FIGURES)
def test_it_ends_with_a_verdict(done: Finished) -> None:
    assert done.verdicts[-1] in ("converged", "exhausted")
    assert sum(done.labels.values()) <= done.campaign.budget.labels


@pytest.mark.soak
@of("iron_methane", "graphite_and_diamond")
def test_every_system_is_labelled_within_its_share(done: Finished) -> None:
    limits = done.campaign.label_limits()
    assert len(limits) == len(done.campaign.systems)
    for (system,), limit in limits:
        assert 0 < done.labels[system] <= limit
    picked = {system for _, system, exploration in done.explorations if len(exploration)}
    assert picked == {system.name for system in done.campaign.systems}


@pytest.mark.soak
@of(*IN_PHASES)
def test_phases_reach_the_temperature_of_their_bath(done: Finished) -> None:
    reached = 0
    for options, _, exploration in done.explorations:
        assert isinstance(options, PhasesOptions)
        for phase, part in zip(options.phases, exploration.trajectories, strict=True):
            if part.ended != "completed" or not phase.steps:
                continue
            found, bath = last_half(phase.run[-1], part)
            # The thermometer of a few dozen atoms scatters by a tenth, and lags behind a ramp by the bath's friction.
            assert found == pytest.approx(bath, rel=0.3, abs=60.0), f"{phase.name} of {exploration.iteration}"
            reached += 1
    assert reached >= len(done.campaign.systems)


def last_half(run: object, part: Trajectory) -> tuple[float, float]:
    """Mean temperature in the second half of the last run of a phase, and that of its bath, K."""
    assert isinstance(run, TimedRun)
    begin = part.series["time_fs"][-1] - run.planned_fs
    late = part.series["time_fs"] > begin + run.planned_fs / 2
    steps = (part.series["time_fs"][late] - begin) / run.timestep_fs
    return float(part.series["temperature_K"][late].mean()), float(np.mean([run.kelvin(int(step)) for step in steps]))


@pytest.mark.soak
@of(*IN_PHASES)
def test_no_atoms_overlap_where_a_phase_went_well(done: Finished) -> None:
    whole = [part for _, _, each in done.explorations for part in each.trajectories if part.ended == "completed"]
    assert sum(map(len, whole)) >= 20
    for part in whole:
        assert not overlapping(part.numbers, part.positions, part.cells, part.pbc).any()


@pytest.mark.soak
@of("five_compounds")
def test_the_mixture_has_its_density_and_changes_its_concentrations(done: Finished) -> None:
    mixtures = phases(done, "mix")
    assert mixtures
    for part in mixtures:
        assert density(part.frame(0)) == pytest.approx(0.8, rel=1e-6)
        assert {int(number) for number in part.numbers} == {1, 6, 8}
    assert len({part.frame(0).get_chemical_formula() for part in mixtures}) > 1


@pytest.mark.soak
@of("silica_on_diamond")
def test_silica_has_its_density_and_fits_diamond(done: Finished) -> None:
    silica, pressed = phases(done, "amorphous"), phases(done, "press")
    assert silica
    assert pressed
    for part in silica:
        assert density(part.frame(0)) == pytest.approx(2.2, rel=1e-6)
        oxygen = neighbours_of_silicon(part.frame(len(part) - 1))
        # Silicon has four oxygen atoms in a glass; it was made in a third of a picosecond from loose molecules.
        assert 3.0 <= oxygen <= 4.6
    diamond = read(CAMPAIGNS / "diamond_110.extxyz")
    planes = [upright(atoms, 2).cell.array[:2, :2] for atoms in (diamond, silica[0].frame(0))]
    _, strain = common_cell(planes, 0.05, 300.0)
    assert 0 < strain <= 0.05
    for part in pressed:
        # Diamond keeps its size; silica is what is strained.
        lengths = np.linalg.norm(part.cells[0][:2], axis=1)
        assert sorted(lengths) == pytest.approx(sorted(diamond.cell.lengths()[:2]), abs=1e-6)


def neighbours_of_silicon(atoms: Atoms) -> float:
    """Oxygen atoms within 2.1 Å of a silicon atom, on average."""
    distances = atoms.get_all_distances(mic=True)
    silicon, oxygen = (atoms.numbers == atomic_numbers[symbol] for symbol in ("Si", "O"))
    return float((distances[np.ix_(silicon, oxygen)] < 2.1).sum(axis=1).mean())


@pytest.mark.soak
@of("silica_on_diamond")
def test_every_phase_takes_over_what_the_one_before_ended_with(done: Finished) -> None:
    [(options, _, _), *_] = done.explorations
    assert isinstance(options, PhasesOptions)
    for _, _, exploration in done.explorations:
        amorphous, wet, press, wear = exploration.trajectories
        for before, after, more in ((amorphous, wet, 12), (wet, press, 48), (press, wear, 0)):
            if after.ended.startswith("not begun"):
                assert before.ended != "completed"
            else:
                assert len(after.numbers) == len(before.numbers) + more
    torn = phases(done, "wear")
    assert torn
    shear, pull = options.phases[-1].run
    assert isinstance(shear, GripRun)
    assert isinstance(pull, GripRun)
    for part in torn:
        assert part.end is not None
        rise = part.end.positions[:, 2].max() - part.positions[0, :, 2].max()
        # 20 Å/ps for 0.1 ps; the first frame may be some steps before.
        assert rise == pytest.approx(2.0, abs=0.1)


@pytest.mark.soak
@of("ethane_pulled")
def test_the_work_of_pulling_is_that_of_breaking_the_bond(done: Finished) -> None:
    [*_, last] = done.biased
    assert last["iteration"] == len(done.verdicts) - 1
    heights = [barrier["height"] for barrier in last["barriers"]]
    assert [barrier["per_ps"] for barrier in last["barriers"]] == [2.0, 4.0, 8.0]
    assert all(barrier["broken"] == [] for barrier in last["barriers"])
    # Nothing but friction of the fragments tells velocities apart, and the error of the potential where paths differ.
    assert max(heights) - min(heights) < 0.5
    depth = bond_energy(done)
    # Rocking of both halves becomes free on the way, which takes off some kT of free energy; what is left of 0.6 eV is
    # for the potential, which the campaign's own scan measures.
    assert np.mean(heights) == pytest.approx(depth, abs=0.6)


def bond_energy(done: Finished) -> float:
    """Energy of the oracle to part the relaxed halves of ethane to 4.5 Å, eV."""
    options = done.campaign.labeler
    assert isinstance(options, XTBOptions)
    energies = []
    ethane = read(CAMPAIGNS / "ethane.xyz")
    second = [1, *(atom for atom in range(2, 8) if ethane.get_distance(1, atom) < 1.3)]
    for apart in (0.0, 4.5 - ethane.get_distance(0, 1)):
        atoms = ethane.copy()
        atoms.positions[second] += apart * (ethane.positions[1] - ethane.positions[0]) / ethane.get_distance(0, 1)
        atoms.calc = XTBLabeler(options, load_settings()).calculator()
        atoms.set_constraint([FixBondLength(0, 1)] if apart else [])
        BFGS(atoms, logfile=None).run(fmax=0.02, steps=200)
        energies.append(atoms.get_potential_energy())
    return float(energies[1] - energies[0])
