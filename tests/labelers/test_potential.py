"""Models as the reference: one of our own, an ASE calculator, and a pretrained one where its package is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase.build import bulk, molecule

from sparc_fw.documents import Label
from sparc_fw.errors import InputError
from sparc_fw.labelers.ase_calculator import ASELabeler, ASEOptions
from sparc_fw.labelers.contents import file_sha256
from sparc_fw.labelers.potential import PotentialLabeler, PotentialLabelerOptions
from sparc_fw.loading import load_campaign
from sparc_fw.settings import Settings
from trained_models import ammonia_borane, displaced, small_potential


def labeler(**options: Any) -> PotentialLabeler:
    return PotentialLabeler(PotentialLabelerOptions.model_validate(options), Settings())


def test_a_calculator_gives_what_the_labeler_ase_gives() -> None:
    crystal = bulk("Cu") * (2, 1, 1)
    crystal.positions[0] += (0.1, 0, 0.05)
    label = labeler(calculator="ase.calculators.emt:EMT").label(crystal)
    other = ASELabeler(ASEOptions(calculator="emt"), Settings()).label(crystal)
    assert (label.energy, label.status) == (other.energy, "ok")
    assert label.forces is not None
    assert label.forces.tolist() == other.forces.tolist()  # type: ignore[union-attr]
    assert label.stress == pytest.approx(other.stress, abs=0)


@pytest.mark.slow
def test_a_trained_model_labels(models: list[Path], xtb_labels: list[Label]) -> None:
    distilled = labeler(model_kind="deepmd", model_file=str(models[0]))
    assert distilled.missing() == []
    frames = displaced(3, seed=9)
    labels = [distilled.label(frame) for frame in frames]
    positions = np.array([frame.positions for frame in frames])
    energies, forces = small_potential().load(models[0]).evaluate(frames[0].numbers, positions, None)
    assert [label.energy for label in labels] == pytest.approx(energies, abs=1e-6)
    assert np.array([label.forces for label in labels]) == pytest.approx(forces, abs=1e-6)
    # It repeats to the bit, whatever it labelled before.
    assert distilled.label(frames[0]).energy == labels[0].energy
    assert labels[0].version == f"deepmd {file_sha256(models[0])[:12]}"
    with pytest.raises(InputError, match=r"found the elements \['C'\], expected some of"):
        distilled.check(molecule("CH4"))


@pytest.mark.slow
def test_forces_of_a_trained_model_are_slopes(models: list[Path]) -> None:
    distilled, frame, step = labeler(model_kind="deepmd", model_file=str(models[0])), ammonia_borane(), 1e-3
    forces = distilled.label(frame).forces
    assert forces is not None
    upper, lower = frame.copy(), frame.copy()
    upper.positions[1, 2] += step
    lower.positions[1, 2] -= step
    slope = (distilled.calculate(upper)[0] - distilled.calculate(lower)[0]) / (2 * step)
    assert forces[1, 2] == pytest.approx(-slope, abs=1e-3)


def test_what_the_model_is_decides_the_key_and_not_where_it_lies(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("here", "there")]
    for place in places:
        place.mkdir()
        (place / "model.pth").write_bytes(b"one")
    (places[1] / "model.pth").write_bytes(b"one")
    same = {labeler(model_kind="deepmd", model_file=str(place / "model.pth")).settings_hash for place in places}
    assert len(same) == 1
    (places[1] / "model.pth").write_bytes(b"two")
    assert labeler(model_kind="deepmd", model_file=str(places[1] / "model.pth")).settings_hash not in same


def test_a_campaign_takes_down_the_model_and_a_worker_refuses_another(tmp_path: Path) -> None:
    ammonia_borane().write(tmp_path / "start.xyz")
    (tmp_path / "model.pb").write_bytes(b"as it was")
    campaign = {
        "name": "distilled",
        "systems": [{"name": "one", "structure": "start.xyz"}],
        "start": [{"kind": "displacements", "amplitude_A": 0.1, "frames": 2}],
        "labeler": {"kind": "potential", "model_kind": "deepmd", "model_file": "model.pb"},
        "potential": {"kind": "deepmd"},
        "explorer": {"kind": "lammps", "duration_ps": [1.0], "temperature_K": [300.0]},
        "select": [
            {"kind": "overlap"},
            {"kind": "window", "f_lo": 0.1, "f_hi": 1.0, "keep": "all"},
            {"kind": "random"},
            {"kind": "difference"},
            {"kind": "budget", "cap": 2},
        ],
    }
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(campaign))
    options: Any = load_campaign(tmp_path / "campaign.yaml").campaign.labeler
    assert options.model_sha256 == file_sha256(tmp_path / "model.pb")
    assert options.model_file == str(tmp_path / "model.pb")
    (tmp_path / "model.pb").write_bytes(b"as it is now")
    with pytest.raises(InputError, match=r"expected .*, as when the campaign was read: put the model back"):
        PotentialLabeler(options, Settings()).check(ammonia_borane())
    (tmp_path / "model.pb").unlink()
    with pytest.raises(InputError, match=r"labeler\.model_file: .*model\.pb cannot be read: No such file"):
        load_campaign(tmp_path / "campaign.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected one of calculator and model_file"),
        ({"calculator": "a:B", "model_file": "m", "model_kind": "deepmd"}, "expected one of"),
        ({"model_file": "m"}, "expected model_kind"),
        ({"model_file": "m", "model_kind": "deepmd", "arguments": {"a": 1}}, "without a calculator"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PotentialLabelerOptions.model_validate(options)


def test_charge_is_refused_for_no_model_knows_it() -> None:
    frame = molecule("OH")
    frame.info["charge"] = -1
    with pytest.raises(InputError, match="found a frame with charge -1 and spin 0"):
        labeler(calculator="ase.calculators.emt:EMT").check(frame)


def test_a_framework_that_is_not_there_is_missing() -> None:
    (told,) = labeler(calculator="no_such_model:Calculator").missing()
    assert "found 'no_such_model:Calculator'" in told


@pytest.mark.slow
def test_chgnet_with_the_weights_of_its_package() -> None:
    reason = "chgnet is not installed, as it brings torch along (gigabytes): pip install 'sparc_fw[chgnet]'"
    pytest.importorskip("chgnet", reason=reason)
    label = labeler(calculator="chgnet.model.dynamics:CHGNetCalculator").label(bulk("Si"))
    assert label.status == "ok", label.message
    assert label.energy == pytest.approx(-5.4 * 2, abs=0.3)
    assert label.stress is not None
