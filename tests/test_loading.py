from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from sparc_fw.cli import app
from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.loading import check_campaign, load_campaign, parse_campaign, read_campaign
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.settings import Settings, load_settings
from sparc_fw.starter import CAMPAIGN, starter_structure

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def values() -> dict[str, Any]:
    Path("nh3bh3.xyz").write_text(starter_structure())
    values = copy.deepcopy(CAMPAIGN)
    values["start"] = values["start"][:1]
    values["explorer"]["kind"] = "ase_md"
    return values


def refused(values: dict[str, Any], file: str = "c.yaml") -> str:
    """What `sparc-fw check` says of bad input, on one line; it must be a message with exit code 2."""
    Path(file).write_text(yaml.safe_dump(values, sort_keys=False))
    before = sorted(Path.cwd().iterdir())
    result = CliRunner().invoke(app, ["check", file])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert "pydantic" not in result.output
    assert result.stdout == ""
    assert sorted(Path.cwd().iterdir()) == before
    return " ".join(result.stderr.split())


def set_at(*path: str | int) -> Callable[[Any], Change]:
    def with_value(value: Any) -> Change:
        def change(values: dict[str, Any]) -> None:
            here: Any = values
            for step in path[:-1]:
                here = here[step]
            here[path[-1]] = value

        return change

    return with_value


@pytest.mark.slow
def test_good_campaign_loads_and_passes(values: dict[str, Any]) -> None:
    Path("c.yaml").write_text(yaml.safe_dump(values))
    loaded = load_campaign(Path("c.yaml"))
    assert loaded.campaign.name == "my-campaign"
    assert len(loaded.files.frames("nh3bh3.xyz")[0]) == 8
    check_campaign(loaded, load_settings())


def test_files_are_relative_to_the_campaign_file(values: dict[str, Any]) -> None:
    folder = Path("elsewhere")
    folder.mkdir()
    Path("nh3bh3.xyz").rename(folder / "nh3bh3.xyz")
    (folder / "c.yaml").write_text(yaml.safe_dump(values))
    assert load_campaign(folder / "c.yaml").files.paths == ["nh3bh3.xyz"]


MIX: dict[str, Any] = {"name": "a", "run": [{"kind": "nvt", "duration_ps": 1.0}]}
BAD = {
    "misspelt key at the top": (set_at("comittee")(4), ["c.yaml, line", "comittee: no such key", "'committee'"]),
    "misspelt key of a backend": (
        set_at("explorer", "timestep")(0.5),
        ["explorer.timestep: no such key", "'timestep_fs'"],
    ),
    "misspelt key of the labeler": (set_at("labeler", "bais")("sto-3g"), ["labeler.bais: no such key", "'basis'"]),
    "misspelt key of a source": (set_at("start", 0, "frist")(1.0), ["start[0].frist: no such key", "'first'"]),
    "misspelt key of a system": (set_at("systems", 0, "chrage")(1), ["systems[0].chrage", "'charge'"]),
    "number as text": (set_at("budget", "labels")("300"), ["budget.labels: found '300', expected a whole number"]),
    "text for a truth": (set_at("potential", "compress")("no"), ["found 'no', expected true or false"]),
    "neither of two types": (
        set_at("potential", "batch_size")("autos"),
        ["potential.batch_size: found 'autos', expected a whole number or 'auto' (Frames per training step"],
    ),
    "list that is too short": (
        set_at("potential", "pref_energy")([1]),
        ["potential.pref_energy[1]: the entry is missing; expected weight of the energy"],
    ),
    "learning rate that rises": (
        set_at("potential", "learning_rate_stop")(1.0),
        ["learning_rate_stop: found 1, expected at most learning_rate, 0.002"],
    ),
    "origin that no frame has": (
        set_at("potential", "origin_shares")({"scann": 0.2}),
        ["c.yaml: potential.origin_shares: found 'scann'", "of import, pick, scan"],
    ),
    "no system": (set_at("systems")([]), ["systems: found [], expected at least 1 entry"]),
    "blank in a name": (set_at("name")("a b"), ["name: found 'a b', expected text of the form ^[A-Za-z0-9_.-]"]),
    "schedule of no iteration": (
        set_at("explorer", "schedule")({"x": {}}),
        ["explorer.schedule.x: found the key 'x', expected a whole number"],
    ),
    "misspelt key in a schedule": (
        set_at("explorer", "schedule")({1: {"timestep": 1.0}}),
        ["explorer: schedule[1]: timestep: no such key; did you mean 'timestep_fs'?"],
    ),
    "NaN in an inline structure": (
        set_at("systems", 0, "structure")({"symbols": ["N"], "positions_A": [[0.0, 0.0, float("nan")]]}),
        ["systems[0].structure.positions_A[0][2]: found nan, expected a finite number"],
    ),
    "misspelt kind": (set_at("labeler", "kind")("pycsf"), ["labeler", "found 'pycsf'", "pyscf, xtb", "'pyscf'?"]),
    "misspelt key of the second explorer": (
        set_at("explorer")([{"kind": "ase_md"}, {"kind": "ase_md", "name": "b", "timestep": 0.5}]),
        ["explorer[1].timestep: no such key", "'timestep_fs'"],
    ),
    "misspelt key of a geometry": (
        set_at("explorer")({"kind": "phases", "phases": [MIX | {"geometry": {"kind": "bulk", "name": "C", "a": 3.6}}]}),
        ["explorer.phases[0].geometry.a: no such key", "a_A, c_A"],
    ),
    "misspelt key of a run": (
        set_at("explorer")([{"kind": "phases", "phases": [MIX | {"run": [{"kind": "nvt", "duration": 1.0}]}]}]),
        ["explorer[0].phases[0].run[0].duration: no such key", "'duration_ps'"],
    ),
    "phase that refers to a later one": (
        set_at("explorer")(
            {"kind": "phases", "phases": [MIX | {"geometry": {"kind": "end", "phase": "b"}}, MIX | {"name": "b"}]}
        ),
        ["explorer.phases: phase 'a': geometry: end of phase 'b', which does not run before it", "expected another"],
    ),
    "two explorers of one name": (
        set_at("explorer")([{"kind": "ase_md"}] * 2),
        ["explorer: found ['ase_md', 'ase_md']", "give them names"],
    ),
    "explorer of no system": (set_at("explorer", "systems")(["water"]), ["'ase_md': systems: found 'water'", "nh3bh3"]),
    "schedule of what stays": (
        set_at("explorer", "schedule")({1: {"replicas": 3}}),
        ["explorer: schedule[1]: found 'replicas', which is the same in all iterations"],
    ),
    "schedule of no number": (
        set_at("explorer", "schedule")({1: {"timestep_fs": "fast"}}),
        ["explorer: schedule[1]: timestep_fs: found 'fast', expected a number"],
    ),
    "schedule that fits no structure": (
        set_at("explorer", "schedule")({2: {"confine": {"around": [8], "radius_A": 3.0}}}),
        ["explorer.schedule[2]: system 'nh3bh3'", "around: found atom 8, but the structure has 8 atoms"],
    ),
    "barrier without windows": (
        set_at("convergence")({"observables": [{"kind": "rdf", "elements": ["B", "N"]}, {"kind": "barrier"}]}),
        ["convergence.observables[1]: found no umbrella windows in explorer, expected what shows it"],
    ),
    "work of no pull": (
        set_at("convergence")({"observables": [{"kind": "work", "explorer": "ase_md"}]}),
        ["convergence.observables[0]: found no steered bias in explorer 'ase_md'"],
    ),
    "work of no explorer": (
        set_at("convergence")({"observables": [{"kind": "work", "explorer": "pulls"}]}),
        ["convergence.observables[0].explorer: found 'pulls', expected one of ase_md"],
    ),
    "distances of an element that is not there": (
        set_at("convergence")({"observables": [{"kind": "rdf", "elements": ["B", "O"]}]}),
        ["convergence.observables[0]: elements: found 'O', but the structure has only B, H, N"],
    ),
    "reach of an atom that is not there": (
        set_at("convergence")({"reach": [{"cv": {"kind": "distance", "atoms": [0, 8]}, "first": 1.0, "last": 2.0}]}),
        ["convergence.reach[0]: cv: found atom 8, but the structure has 8 atoms"],
    ),
    "reach of nothing": (
        set_at("convergence")({"reach": [{"cv": {"kind": "distance", "atoms": [0, 1]}, "first": 2.0, "last": 2.0}]}),
        ["convergence.reach[0]: first, last: found 2 and 2, expected first < last"],
    ),
    "end states that are not there": (
        set_at("convergence")({"observables": [{"kind": "energy_difference", "of": ["nh3bh3.xyz", "gone.xyz"]}]}),
        ["convergence.observables[0].of: gone.xyz"],
    ),
    "no explorer": (set_at("explorer")([]), ["explorer: found [], expected"]),
    "no kind": (set_at("explorer")({"replicas": 2}), ["explorer", "'kind'"]),
    "wrong type": (
        set_at("committee")("four"),
        ["committee: found 'four', expected a whole number", "Number of members"],
    ),
    "unit in a number": (
        set_at("explorer", "timestep_fs")("0.5 fs"),
        ["explorer.timestep_fs: found '0.5 fs', expected a number", "MD time step, fs"],
    ),
    "below the least": (set_at("budget", "labels")(0), ["budget.labels: found 0, expected greater than or equal to 1"]),
    "list for a section": (set_at("budget")([1]), ["budget: found [1], expected 'key: value' lines"]),
    "window upside down": (
        set_at("select", 1, "f_lo")(2.0),
        ["select[1]: f_lo, f_hi: found 2 and 1 eV/Å, expected f_lo < f_hi"],
    ),
    "misspelt step": (
        set_at("select", 2, "kind")("diffrence"),
        ["select[2]: kind: found 'diffrence', expected one of overlap, fragments", "did you mean 'difference'?"],
    ),
    "misspelt key of a step": (
        set_at("select", 1, "f_high")(2.0),
        ["select[1].f_high: no such key; did you mean 'f_hi'?"],
    ),
    "step without what it needs": (
        set_at("select")([{"kind": "window"}, {"kind": "spacing"}]),
        ["select[1].spacing_fs: the key is missing; expected least time between two picks"],
    ),
    "no steps": (set_at("select")([]), ["select: found [], expected at least 1 entry"]),
    "one step for a list": (set_at("select")({"kind": "window"}), ["select: found", "expected a list"]),
    "no step that tells the classes": (
        set_at("select")([{"kind": "overlap"}, {"kind": "random"}]),
        ["select: found no step of kind window, expected exactly one step that says which frames are known"],
    ),
    "two steps that tell the classes": (
        set_at("select")([{"kind": "window"}, {"kind": "budget"}, {"kind": "window", "f_lo": 0.2}]),
        ["select: found select[0] (window), select[2] (window), expected exactly one step"],
    ),
    "unknown system": (set_at("start", 0, "system")("water"), ["start[0].system: found 'water'", "nh3bh3"]),
    "no such structure file": (
        set_at("systems", 0, "structure")("none.xyz"),
        ["c.yaml: systems[0].structure: none.xyz: no such file"],
    ),
    "misspelt key of an inline structure": (
        set_at("systems", 0, "structure")({"symbols": ["N"], "position_A": []}),
        ["systems[0].structure.position_A: no such key; did you mean 'positions_A'?"],
    ),
    "number for a structure": (
        set_at("systems", 0, "structure")(3),
        ["systems[0].structure: found 3, expected text or 'key: value' lines (The start structure"],
    ),
    "empty inline end of a path": (
        set_at("explorer")({"kind": "neb", "final": {"symbols": ["N"], "positions_A": []}}),
        ["explorer.final.positions_A: found []"],
    ),
    "element without basis": (set_at("labeler", "basis")("6-31g**-none"), ["labeler", "basis: found '6-31g**-none'"]),
    "odd electrons, spin 0": (set_at("systems", 0, "charge")(1), ["17 electrons", "spin"]),
    "scan over missing atoms": (
        set_at("start", 0, "atoms")([0, 8]),
        ["c.yaml: start[0]: scan: atoms: found atom 8, but the structure has 8 atoms"],
    ),
    "negative atom": (set_at("start", 0, "atoms")([0, -1]), ["start[0].atoms[1]: found -1, expected"]),
}


@pytest.mark.parametrize(("change", "told"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_told(values: dict[str, Any], change: Change, told: list[str]) -> None:
    change(values)
    message = refused(values)
    for part in told:
        assert part in message


def test_missing_key_is_told(values: dict[str, Any]) -> None:
    del values["labeler"]
    assert "labeler: the key is missing; expected the reference method" in refused(values)


def test_line_of_the_key_is_told(values: dict[str, Any]) -> None:
    values["committee"] = "four"
    message = refused(values)
    line = next(n for n, text in enumerate(Path("c.yaml").read_text().splitlines(), 1) if text.startswith("committee"))
    assert f"c.yaml, line {line}: committee" in message


@pytest.mark.parametrize("content", ["", "8\n", "no structure at all"])
def test_unreadable_or_empty_structure_is_told(values: dict[str, Any], content: str) -> None:
    Path("nh3bh3.xyz").write_text(content)
    assert "nh3bh3.xyz" in refused(values)


def test_element_that_the_basis_lacks_is_told(values: dict[str, Any]) -> None:
    Path("nh3bh3.xyz").write_text("2\n\nU 0 0 0\nU 0 0 2.5\n")
    values["labeler"]["basis"] = "6-31g"
    message = refused(values)
    assert "U" in message
    assert "6-31g" in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "found nothing, expected a campaign"),
        ("- a", "found list, expected a campaign"),
        ("name: a\nname: b\n", "line 2: the key 'name' stands on line 1 already"),
        ("name: [", "line 2: not valid YAML"),
        ("seed: 1\nname: a\0b\n", "line 2: not valid YAML: found the character '\\x00'"),
        ("{{a: b}: c}\n", "line 1: not valid YAML: found unhashable key"),
        ("name: 2020-13-45\n", "not valid YAML: month must be in 1..12"),
        ("name: !!python/object:os.system x\n", "line 1: not valid YAML"),
    ],
)
def test_bad_yaml_is_told(text: str, told: str) -> None:
    Path("c.yaml").write_text(text + ("\n" if text.endswith("[") else ""))
    with pytest.raises(InputError, match=r"c\.yaml") as caught:
        load_campaign(Path("c.yaml"))
    assert told in str(caught.value)


def test_numbers_with_a_power_of_ten_are_numbers(values: dict[str, Any]) -> None:
    text = yaml.safe_dump(values).replace("kind: deepmd", "kind: deepmd\n  learning_rate: 2e-3")
    Path("c.yaml").write_text(text)
    potential = read_campaign(Path("c.yaml")).potential
    assert isinstance(potential, DeepMDOptions)
    assert potential.learning_rate == 0.002


def test_absent_file_is_told() -> None:
    result = CliRunner().invoke(app, ["check", "absent.yaml"])
    assert result.exit_code == 2
    assert "absent.yaml: the campaign file cannot be read: No such file" in result.stderr


def test_missing_executable_is_told(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    values["explorer"]["kind"] = "lammps"
    monkeypatch.setenv("SPARC_FW_LMP_COMMAND", "no-such-lmp")
    message = refused(values)
    assert "no-such-lmp" in message
    assert "SPARC_FW_LMP_COMMAND" in message


def test_missing_package_is_told(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparc_fw.labelers.pyscf.PySCFLabeler.packages", ("no_such_package",))
    loaded = parse_campaign(values, Path.cwd())
    with pytest.raises(MissingDependency, match=r"no_such_package.*sparc_fw\[pyscf\]"):
        check_campaign(loaded, Settings())


def test_inline_campaign_is_told_without_a_file(values: dict[str, Any]) -> None:
    values["comittee"] = 3
    with pytest.raises(InputError, match="campaign: comittee: no such key"):
        parse_campaign(values, Path.cwd())


def test_the_template_of_reaction_paths_passes() -> None:
    loaded = load_campaign(Path(__file__).parents[1] / "fw_templates/campaigns/nh3_inversion.yaml")
    check_campaign(loaded, Settings())
    assert [explorer.title for explorer in loaded.campaign.explorer] == ["neb", "saddle", "normal_modes", "uncertainty"]


def test_colvars_from_a_file(tmp_path: Path) -> None:
    text = "colvar { name bn\n distance { group1 { atomNumbers 1 }\n group2 { atomNumbers 2 } } }\n"
    (tmp_path / "bias.in").write_text(text)
    values = yaml.safe_load((Path(__file__).parents[1] / "fw_templates/workflows/nh3bh3_xtb.yaml").read_text())
    campaign = values["fws"][0]["spec"]["_tasks"][0]["campaign"]
    campaign["explorer"]["colvars_file"] = "bias.in"
    loaded = parse_campaign(campaign, tmp_path)
    assert loaded.campaign.as_dict()["explorer"][0]["colvars"] == text
    assert loaded.campaign.as_dict()["explorer"][0]["colvars_file"] is None
    campaign["explorer"]["colvars"] = text
    with pytest.raises(InputError, match=r"explorer.colvars_file: found it beside explorer.colvars"):
        parse_campaign(campaign, tmp_path)
    del campaign["explorer"]["colvars"]
    campaign["explorer"]["colvars_file"] = "nowhere.in"
    with pytest.raises(InputError, match=r"explorer.colvars_file: .*nowhere.in cannot be read"):
        parse_campaign(campaign, tmp_path)


def test_template_of_phases_can_run() -> None:
    loaded = load_campaign(Path(__file__).parents[1] / "fw_templates/campaigns/diamond_melt_quench.yaml")
    check_campaign(loaded, load_settings())
    assert len(loaded.files.frames("diamond.extxyz")[0]) == 64
    assert loaded.campaign.explorer[0].planned_ps(0) == 8.0
