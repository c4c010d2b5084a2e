from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from sparc_fw.campaign import Campaign
from sparc_fw.cli import app
from sparc_fw.loading import load_campaign
from sparc_fw.registry import backend_classes

SPARC_FW = Path(sys.executable).parent / "sparc-fw"


def test_help_loads_nothing_heavy() -> None:
    shown = subprocess.run([SPARC_FW, "--help"], capture_output=True, text=True, check=True)
    assert "doctor" in shown.stdout
    code = "import sys, sparc_fw.cli; print(*sorted(set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded).isdisjoint({"numpy", "ase", "fireworks", "pymongo", "matplotlib", "tensorflow", "pyscf"})


def test_unknown_command_and_option_are_bad_input() -> None:
    assert CliRunner().invoke(app, ["chekc"]).exit_code == 2
    assert CliRunner().invoke(app, ["check", "--jsn"]).exit_code == 2


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    return parsed


def test_schema_has_every_backend_with_all_its_keys(schema: dict[str, Any]) -> None:
    properties = schema["properties"]
    sections = {group: properties[group] for group in ("labeler", "potential")}
    sections |= {"explorer": properties["explorer"]["anyOf"][0], "step": properties["select"]["items"]}
    for group, one in sections.items():
        mapping = one["discriminator"]["mapping"]
        for kind, backend in backend_classes(group).items():
            part = schema["$defs"][mapping[kind].rpartition("/")[2]]
            assert set(part["properties"]) == set(backend.Options.model_fields)
            assert part["additionalProperties"] is False
            assert "kind" in part["required"]


def test_schema_has_one_explorer_or_several(schema: dict[str, Any]) -> None:
    one, several = schema["properties"]["explorer"]["anyOf"]
    assert several["type"] == "array"
    assert several["items"] == one


def test_schema_describes_every_key(schema: dict[str, Any]) -> None:
    parts = {"": schema, **schema["$defs"]}
    silent = [
        f"{n}.{k}" for n, part in parts.items() for k, v in part["properties"].items() if not v.get("description")
    ]
    assert silent == []
    assert set(schema["properties"]) == set(Campaign.model_fields)


def test_schema_states_units(schema: dict[str, Any]) -> None:
    units = {"_fs": "fs", "_ps": "ps", "_A": "Å", "_K": "K"}
    for part in schema["$defs"].values():
        for key, field in part["properties"].items():
            unit = next((unit for end, unit in units.items() if key.endswith(end) and "_per_" not in key), None)
            assert unit is None or unit in field["description"], key


def test_init_writes_a_campaign_that_loads_with_every_key_explained() -> None:
    written = CliRunner().invoke(app, ["init", "mine.yaml"])
    assert written.exit_code == 0, written.output
    assert load_campaign(Path("mine.yaml")).campaign.name == "my-campaign"
    lines = Path("mine.yaml").read_text().splitlines()
    scalars = [line for line in lines if ": " in line and "#" not in line and "kind:" not in line]
    assert scalars == []


def test_init_overwrites_only_when_told() -> None:
    Path("campaign.yaml").write_text("mine")
    refused = CliRunner().invoke(app, ["init"])
    assert refused.exit_code == 2
    assert "campaign.yaml: exists already" in refused.stderr
    assert Path("campaign.yaml").read_text() == "mine"
    told = json.loads(CliRunner().invoke(app, ["init", "--force", "--json"]).stdout)
    assert told == {"campaign_file": "campaign.yaml", "structure": "nh3bh3.xyz"}
    assert yaml.safe_load(Path("campaign.yaml").read_text())["committee"] == 4


@pytest.mark.slow
def test_starter_campaign_passes_the_check() -> None:
    CliRunner().invoke(app, ["init"])
    checked = CliRunner().invoke(app, ["check", "campaign.yaml", "--json"])
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.stdout)["ok"] is True
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["campaign.yaml", "home", "nh3bh3.xyz"]


@pytest.mark.slow
def test_check_shows_what_drives_an_explorer() -> None:
    demo = Path(__file__).parents[2] / "fw_templates" / "campaigns" / "nh3bh3.yaml"
    found = json.loads(CliRunner().invoke(app, ["check", str(demo), "--json"]).stdout)["bias"]
    # The other explorer has no bias.
    assert list(found) == ["dissociation"]
    assert {"hillWeight 0.1", "upperWalls 5.0", "newHillFrequency 50"} <= set(found["dissociation"].splitlines())
    shown = CliRunner().invoke(app, ["check", str(demo)]).stdout
    assert f"What drives dissociation, as its engine reads it:\n{found['dissociation']}\n" in shown


def test_check_warns_of_steps_too_long_for_hydrogen(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / "fw_templates" / "campaigns" / "nh3bh3.xyz", tmp_path)
    phase = {"name": "warm", "run": [{"kind": "nvt", "temperature_K": 300.0, "duration_ps": 0.1, "timestep_fs": 3.0}]}
    campaign = {
        "name": "steps",
        "systems": [{"name": "nh3bh3", "structure": "nh3bh3.xyz"}],
        "start": [{"kind": "displacements", "amplitude_A": 0.05, "frames": 5}],
        "labeler": {"kind": "xtb"},
        "potential": {"kind": "deepmd"},
        "explorer": [
            {"kind": "ase_md", "timestep_fs": 1.0, "schedule": {"2": {"timestep_fs": 2.0}}},
            {"kind": "phases", "phases": [phase]},
        ],
    }
    file = tmp_path / "steps.yaml"
    file.write_text(yaml.safe_dump(campaign))
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 0
    found = [line for line in result.stderr.splitlines() if line.startswith("warning")]
    told = "fs, but the lightest atom, H, may vibrate within 8.1 fs: expected at most 1.0 fs, an eighth of that"
    assert found == [
        f"warning: explorer[0].schedule[2]: system 'nh3bh3': timestep_fs: found 2 {told}",
        f"warning: explorer[1]: system 'nh3bh3': phase 'warm': run[0] (nvt): timestep_fs: found 3 {told}",
    ]
    assert json.loads(CliRunner().invoke(app, ["check", str(file), "--json"]).stdout)["warnings"] == [
        line.removeprefix("warning: ") for line in found
    ]


def test_settings_tell_value_and_origin_but_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARC_FW_MONGO_URI", "mongodb://me:secret@host.example/")
    result = CliRunner().invoke(app, ["settings", "--json"])
    told = json.loads(result.stdout)
    assert told["settings"]["mongo_uri"]["origin"] == "environment SPARC_FW_MONGO_URI"
    assert "host.example" in told["launchpad"]
    assert "secret" not in result.output + CliRunner().invoke(app, ["settings"]).output


def test_silent_mongodb_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARC_FW_MONGO_URI", "mongodb://me:secret@127.0.0.1:1/")
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 2
    assert "MongoDB does not answer" in result.stderr
    assert "secret" not in result.output


@pytest.mark.slow
def test_doctor_tells_what_works() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    findings = {finding["name"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert findings["mongod"]["state"] == "works"
    assert findings["mongod"]["version"].startswith("v6")
    assert findings["deepmd tensorflow"]["state"] == "works"
    assert findings["explorer lammps"]["state"] == "works"
    assert all(finding["advice"] for finding in findings.values() if finding["state"] != "works")


@pytest.mark.slow
def test_doctor_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARC_FW_LMP_COMMAND", "no-such-lmp")
    monkeypatch.setenv("SPARC_FW_MONGOD_COMMAND", "no-such-mongod")
    result = CliRunner().invoke(app, ["doctor", "--json"])
    findings = {finding["name"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert findings["mongod"]["state"] == "absent"
    assert findings["explorer lammps"]["state"] == "fails"
    assert "no-such-lmp" in findings["explorer lammps"]["advice"]
