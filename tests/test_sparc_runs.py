"""A SPARC run becomes a campaign and its labels; what is lost is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.io import read
from typer.testing import CliRunner

from sparc_fw.cli import app
from sparc_fw.errors import InputError
from sparc_fw.formats.reading import read_labels
from sparc_fw.loading import load_campaign
from sparc_fw.sparc_explorer import explorer_section
from sparc_fw.sparc_runs import SparcRun, read_run, write_run

RUN = Path(__file__).parent / "sparc_run"
"""Made by scripts/make_sparc_like_run.py."""


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
    selector, potential = campaign.selector.model_dump(), campaign.potential.model_dump()
    assert (selector["f_lo"], selector["f_hi"]) == (0.06, 0.4)
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
        explorer_section({"distance_metrics": [{"pair": [0, 1]}]}, biased=False)


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
    assert run.campaign["labeler"] == {"kind": "vasp", "incar_file": "INCAR"}
    assert (folder / "INCAR").read_text() == (RUN / "INCAR").read_text() + "PREC = Normal\n"


def test_paths_of_another_machine_are_not_passed_on(run: SparcRun, tmp_path: Path) -> None:
    for path in write_run(run, tmp_path / "campaign"):
        assert "/somewhere/else" not in path.read_text()


def test_command_and_its_refusals(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["import-sparc", str(RUN), "--to", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    assert "8 labels" in done.stdout
    again = CliRunner().invoke(app, ["import-sparc", str(RUN), "--to", str(tmp_path / "new")])
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    with pytest.raises(InputError, match=r"input\.yaml: cannot be read"):
        read_run(tmp_path)


def test_the_published_run(test_data: Path) -> None:
    run = read_run(test_data / "nh3bh3_sparc")
    assert len(run.labels) == 2180
    assert run.campaign["explorer"]["duration_ps"] == [pytest.approx(49.113, abs=1e-3)]
    assert run.campaign["potential"]["learning_rate_stop"] == 3.51e-8
    assert run.campaign["explorer"]["distances"][0] == {"atoms": [0, 7], "min_A": 1.0, "max_A": 7.0}
    assert len(run.campaign["explorer"]["distances"]) == 3
