"""A SPARC run becomes a campaign and its labels; what is lost is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase.io import read
from typer.testing import CliRunner

from sparc_fw.cli import app
from sparc_fw.errors import InputError
from sparc_fw.formats.reading import read_labels
from sparc_fw.labelers.vasp import VASPLabeler, VASPOptions
from sparc_fw.loading import LoadedCampaign, load_campaign
from sparc_fw.settings import Settings
from sparc_fw.sparc_deepmd import deepmd_section
from sparc_fw.sparc_explorer import explorer_section
from sparc_fw.sparc_labeler import check_labeler, labeler_section
from sparc_fw.sparc_options import checked, read_options
from sparc_fw.sparc_runs import SparcRun, read_run, write_run

RUN = Path(__file__).parent / "sparc_run"
"""Made by scripts/make_sparc_like_run.py."""


def vasp_labeler(loaded: LoadedCampaign) -> VASPLabeler:
    return VASPLabeler(VASPOptions.model_validate(loaded.campaign.labeler.model_dump()), Settings())


@pytest.fixture
def run() -> SparcRun:
    return read_run(RUN)


def test_labels_come_over_in_order_and_to_the_bit(run: SparcRun, tmp_path: Path) -> None:
    write_run(run, tmp_path / "campaign")
    written = [reading.label for reading in read_labels(tmp_path / "campaign" / "labels.extxyz")]
    frames = [f for n in (0, 1) for f in read(RUN / f"iter_{n:06d}" / "00.dft" / "AseMD.traj", ":")]
    assert len(written) == len(frames) == 8
    for label, frame in zip(written, frames, strict=True):
        assert label is not None
        assert label.forces is not None
        assert label.energy == frame.get_potential_energy()
        assert np.array_equal(label.forces, frame.get_forces())
        assert label.frame.positions.tolist() == frame.positions.tolist()
    assert written[5] is not None
    assert written[5].frame.info["origin"] == "iter_000001"


def test_the_campaign_file_is_whole(run: SparcRun, tmp_path: Path) -> None:
    path = write_run(run, tmp_path / "campaign")[0]
    values = yaml.safe_load(path.read_text())
    # The labeler is VASP; here one that needs no licence reads the same file.
    path.write_text(yaml.safe_dump(values | {"labeler": {"kind": "xtb"}}))
    campaign = load_campaign(path).campaign
    assert (campaign.committee, campaign.budget.iterations) == (3, 4)
    assert campaign.systems[0].name == "H3N"
    window, potential = campaign.select[1].model_dump(), campaign.potential.model_dump()
    assert (window["kind"], window["f_lo"], window["f_hi"]) == ("window", 0.06, 0.4)
    assert (potential["rcut"], potential["steps"], potential["batch_size"]) == (5.0, 2000, "auto")
    assert potential["pref_force"] == (1000.0, 1.0)
    assert potential["input"]["learning_rate"]["decay_steps"] == 500
    assert potential["input"]["training"] == {"disp_freq": 100}


def test_dynamics_last_as_long_as_they_really_did(run: SparcRun) -> None:
    # 20,000 steps of "0.5 fs", each of which SPARC converted twice: 0.5 fs x 0.09823 = 0.0491 fs.
    explorer = run.campaign["explorer"]
    assert explorer["timestep_fs"] == 0.5
    assert explorer["duration_ps"] == [pytest.approx(0.98227, abs=1e-5)]
    assert explorer["frame_every_fs"] == pytest.approx(40 * 0.5 * 0.0982269, abs=1e-3)
    assert (explorer["ensemble"], explorer["temperature_K"], explorer["replicas"]) == ("nose_hoover", [320.0], 2)
    note = next(note for note in run.not_carried if note.option == "input.yaml: deepmd_setup.timestep_fs")
    assert "0.5 fs ran at 0.0491 fs" in note.why


def test_everything_else_is_named(run: SparcRun) -> None:
    named = {note.option: note for note in run.not_carried}
    assert "executable of that machine" in named["input.yaml: dft_calculator.exe_command"].why
    assert "no such option" in named["input.yaml: deepmd_setup.colour"].why
    assert not any("plumed" in option for option in named)
    assert "input.json: model.descriptor.seed" in named
    assert not any("distance_metrics" in option for option in named)


def test_bounds_of_distances_end_runs_as_they_did(run: SparcRun, tmp_path: Path) -> None:
    assert run.campaign["explorer"]["distances"] == [{"atoms": [0, 1], "min_A": 0.8, "max_A": 1.5}]
    path = write_run(run, tmp_path / "campaign")[0]
    (loaded,) = load_campaign(path).campaign.explorer
    assert loaded.model_dump()["distances"] == [{"atoms": (0, 1), "min_A": 0.8, "max_A": 1.5}]
    with pytest.raises(InputError, match=r"distance_metrics\[0\]: found \{'pair': \[0, 1\]\}, expected 'pair' and"):
        checked({"distance_metrics": [{"pair": [0, 1]}]})


def test_plumed_biases_the_exploration_as_it_did(run: SparcRun, tmp_path: Path) -> None:
    assert (run.campaign["explorer"]["kind"], run.campaign["explorer"]["plumed_file"]) == ("ase_md", "plumed.dat")
    paths = write_run(run, tmp_path / "campaign")
    assert (paths[0].parent / "plumed.dat").read_text() == (RUN / "plumed.dat").read_text()
    (loaded,) = load_campaign(paths[0]).campaign.explorer
    assert "UPPER_WALLS ARG=d1 AT=0.3 KAPPA=1000.0" in loaded.model_dump()["plumed"]
    note = next(note for note in run.not_carried if note.option == "input.yaml: deepmd_setup.timestep_fs")
    assert "each now lasts 10.2 times as long" in note.why


def test_incar_is_the_users_with_the_precision_that_sparc_adds(run: SparcRun, tmp_path: Path) -> None:
    folder = write_run(run, tmp_path / "campaign")[0].parent
    assert run.campaign["labeler"] == {"kind": "vasp", "incar_file": "INCAR", "kpoints_file": "KPOINTS"}
    assert (folder / "INCAR").read_text() == (RUN / "INCAR").read_text() + "PREC = Normal\n"


def test_the_labeler_takes_the_frames_of_the_run(run: SparcRun, tmp_path: Path) -> None:
    loaded = load_campaign(write_run(run, tmp_path / "campaign")[0])
    check_labeler(loaded, "labels.extxyz", Settings())
    given = vasp_labeler(loaded).input(run.labels[0].frame)
    assert given.gamma_only
    assert given.incar["PREC"] == "Normal"


def test_k_points_by_spacing_stay_what_they_were(tmp_path: Path) -> None:
    (tmp_path / "INCAR").write_text("ENCUT = 300; KSPACING = 0.5; PREC = Low\n")
    reference = checked({"dft_calculator": {"prec": "accurate", "kgamma": False}}).dft_calculator
    section, texts, notes = labeler_section(tmp_path, reference)
    assert section == {"kind": "vasp", "incar_file": "INCAR"}
    assert texts == {"INCAR": "ENCUT = 300; KSPACING = 0.5; PREC = Low\nKGAMMA = .FALSE.\n"}
    assert [(note.option, note.found) for note in notes] == [("input.yaml: dft_calculator.prec", "Accurate")]
    assert "INCAR says PREC = Low" in notes[0].why


def test_what_another_code_was_told_is_named(tmp_path: Path) -> None:
    reference = checked({"dft_calculator": {"name": "CP2K", "prec": "Normal"}}).dft_calculator
    named = [note.option for note in labeler_section(tmp_path, reference)[2]]
    assert named == ["input.yaml: dft_calculator", "input.yaml: dft_calculator.prec"]


@pytest.mark.parametrize(
    ("dynamics", "cell", "ensemble", "named"),
    [
        ({}, True, "nose_hoover", []),
        ({"thermostat": {"type": "Langevin", "friction": 0.01}}, True, "langevin", []),
        ({"thermostat": "Berendsen"}, True, "langevin", ["thermostat = Berendsen: no explorer has such a heat bath"]),
        ({"ensemble": "NVE", "thermostat": "Nose"}, True, "nve", ["thermostat = Nose: at constant energy"]),
        ({"ensemble": "npt"}, True, "npt", ["ensemble = NPT: carried over as 'npt' at 'pressure_GPa' 0"]),
        (
            {"ensemble": "NPT", "thermostat": "Langevin"},
            True,
            "npt",
            ["thermostat = Langevin: 'npt' brings", "ensemble = NPT: carried"],
        ),
        ({"ensemble": "NPT"}, False, "nose_hoover", ["ensemble = NPT: a structure without a cell"]),
    ],
)
def test_ensembles_are_carried_over_or_named(
    dynamics: dict[str, Any], cell: bool, ensemble: str, named: list[str]
) -> None:
    options = checked({"md_simulation": dynamics, "deepmd_setup": {"md_steps": 1000}})
    explorer, notes = explorer_section(options, biased=False, cell=cell)
    assert explorer["ensemble"] == ensemble
    told = [f"{note.option} = {note.found}: {note.why}".removeprefix("input.yaml: md_simulation.") for note in notes]
    assert [sentence[: len(begin)] for sentence, begin in zip(told, [*named, ""], strict=True)] == [*named, ""]


def test_a_run_without_steps_is_named() -> None:
    explorer, notes = explorer_section(checked({"deepmd_setup": {"md_steps": 0}}), biased=False, cell=True)
    assert "duration_ps" not in explorer
    assert notes[0].option == "input.yaml: deepmd_setup.md_steps"


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("deepmd_setup", "md_steps", "many", "found 'many', expected a whole number"),
        ("deepmd_setup", "num_models", 1, "found 1, expected greater than or equal to 2"),
        ("deepmd_setup", "use_plumed", "perhaps", "found 'perhaps', expected true or false"),
        ("md_simulation", "ensemble", "muVT", "found 'muVT', expected 'NVT', 'NVE' or 'NPT'"),
        ("md_simulation", "temperature", -5, "found -5, expected greater than 0"),
        ("dft_calculator", "prec", "sloppy", "found 'sloppy', expected 'Low', 'Medium'"),
        ("general", "structure_file", ["a", "b"], "found ['a', 'b'], expected text"),
        ("model_dev", "f_min_dev", 0.5, "f_min_dev, f_max_dev: found 0.5 and 0.4 eV/Å"),
    ],
)
def test_bad_values_are_told_by_file_and_key(tmp_path: Path, section: str, key: str, value: Any, expected: str) -> None:
    values = yaml.safe_load((RUN / "input.yaml").read_text())
    values[section][key] = value
    path = tmp_path / "input.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as caught:
        read_options(path)
    assert f"{path}, line " in str(caught.value)
    assert f": {section}" in str(caught.value)
    assert expected in str(caught.value)


def test_bad_values_of_deepmd_are_told_by_their_own_key() -> None:
    with pytest.raises(InputError, match=r"input\.json: model\.descriptor\.rcut, here: rcut: found 'six', expected"):
        deepmd_section({"model": {"descriptor": {"rcut": "six"}}}, Path("input.json"))


def test_of_a_pair_of_weights_the_one_that_is_stated_stays() -> None:
    section, _ = deepmd_section({"loss": {"start_pref_f": 500}}, Path("input.json"))
    assert section["pref_force"] == [500, 1.0]


def test_paths_of_another_machine_are_not_passed_on(run: SparcRun, tmp_path: Path) -> None:
    for path in write_run(run, tmp_path / "campaign"):
        assert "/somewhere/else" not in path.read_text()


def test_command_and_its_refusals(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["import-sparc", str(RUN), "--to", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    assert "8 labels" in done.stdout
    assert "the labeler takes the run's frames" in done.stdout
    again = CliRunner().invoke(app, ["import-sparc", str(RUN), "--to", str(tmp_path / "new")])
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    with pytest.raises(InputError, match=r"input\.yaml: cannot be read"):
        read_run(tmp_path)


def test_a_labeler_that_takes_no_frame_of_the_run_is_told_after_all_else(tmp_path: Path) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    with (tmp_path / "run" / "INCAR").open("a") as incar:
        incar.write("NSW = 100\n")
    done = CliRunner().invoke(app, ["import-sparc", str(tmp_path / "run"), "--to", str(tmp_path / "new")])
    assert done.exit_code == 2
    assert "8 labels" in done.stdout
    assert "the labeler cannot label the run's frames: labeler vasp: INCAR: found NSW = 100, expected 0" in done.stderr


def test_the_published_run(test_data: Path) -> None:
    run = read_run(test_data / "nh3bh3_sparc")
    assert len(run.labels) == 2180
    options = VASPOptions(incar=run.texts["INCAR"], kpoints=run.texts["KPOINTS"])
    labeler = VASPLabeler(options, Settings(vasp_potcar_dir=None))
    labeler.check(run.labels[0].frame)
    kpoints = labeler.input(run.labels[0].frame).kpoints
    assert f"{kpoints}".splitlines()[1:4] == (test_data / "nh3bh3_sparc/vasp/KPOINTS").read_text().splitlines()[1:4]
    assert run.campaign["explorer"]["duration_ps"] == [pytest.approx(49.113, abs=1e-3)]
    assert run.campaign["potential"]["learning_rate_stop"] == 3.51e-8
    assert run.campaign["explorer"]["distances"][0] == {"atoms": [0, 7], "min_A": 1.0, "max_A": 7.0}
    assert len(run.campaign["explorer"]["distances"]) == 3
