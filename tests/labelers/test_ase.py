"""Calculators of ASE: EMT, MOPAC where it is installed, and calculators that fail in known ways."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from sparc_fw.errors import InputError
from sparc_fw.labelers.ase_calculator import ASELabeler, ASEOptions
from sparc_fw.settings import Settings

needs_mopac = pytest.mark.skipif(shutil.which("mopac") is None, reason="mopac is not installed: apt install mopac")

BROKEN = """
import os, time
from ase.calculators.calculator import Calculator, SCFError, all_changes
from ase.calculators.emt import EMT

class Broken(Calculator):
    implemented_properties = ["energy", "forces"]

    def __init__(self, how, charge=None, multiplicity=None):
        super().__init__()
        self.how, self.electrons = how, (charge, multiplicity)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if self.how == "scf":
            raise SCFError("charge sloshing after 100 cycles")
        if self.how == "hang":
            print("waiting for a licence", flush=True)
            time.sleep(60)
        if self.how == "segfault":
            os.abort()
        if self.how == "raise":
            raise ValueError("no such basis set")
        open("scratch.txt", "w").write("SCF NOT CONVERGED\\n")
        charge, multiplicity = self.electrons
        self.results = {"energy": 1.0, "free_energy": -2.0 - 10 * (charge or 0), "forces": atoms.positions * 0}

class Profile:
    def __init__(self, command, flavour):
        self.command, self.flavour = command, flavour

def profiled(profile, **arguments):
    assert (profile.command, profile.flavour) == ("/opt/code", "spin")
    return EMT(**arguments)
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Import path of a calculator that fails as its argument says."""
    (tmp_path / "broken_calculator.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return "broken_calculator:Broken"


def labeler(calculator: str, settings: Settings | None = None, **options: Any) -> ASELabeler:
    return ASELabeler(ASEOptions.model_validate({"calculator": calculator, **options}), settings or Settings())


@pytest.mark.parametrize("name", ["emt", "ase.calculators.emt:EMT"])
def test_emt_by_name_and_by_import_path(name: str) -> None:
    crystal = bulk("Cu") * (2, 1, 1)
    crystal.positions[0] += (0.1, 0, 0.05)
    emt = labeler(name, arguments={"asap_cutoff": True})
    emt.check(crystal)
    label = emt.label(crystal)
    crystal.calc = EMT(asap_cutoff=True)
    assert label.energy == crystal.get_potential_energy(force_consistent=True)
    assert label.forces == pytest.approx(crystal.get_forces(), abs=0)
    assert label.stress == pytest.approx(crystal.get_stress(), abs=0)
    assert label.version.startswith("ase 3.")


def test_the_energy_is_the_one_that_the_forces_belong_to(broken: str) -> None:
    assert labeler(broken, arguments={"how": "well"}).label(molecule("H2O")).energy == -2.0


def test_charge_and_spin_reach_the_arguments(broken: str) -> None:
    frame = molecule("OH")
    frame.info["charge"] = -1
    arguments = {"how": "well", "charge": "{charge}", "multiplicity": "{multiplicity}"}
    assert labeler(broken, arguments=arguments, electrons="arguments").label(frame).energy == 8.0
    with pytest.raises(InputError, match="charge -1 and spin 0, which the calculator would not learn of"):
        labeler(broken, arguments={"how": "well"}).check(frame)
    with pytest.raises(InputError, match=r"arguments: found no \"\{charge\}\""):
        labeler(broken, arguments={"how": "well"}, electrons="arguments").check(frame)


@pytest.mark.parametrize(
    ("how", "options", "reason", "words"),
    [
        ("scf", {}, "not_converged", "charge sloshing after 100 cycles"),
        ("raise", {}, "crashed", "ValueError: no such basis set"),
        ("segfault", {}, "crashed", "failed: "),
        ("hang", {"timeout_seconds": 3.0}, "timeout", "ran longer than 3 s"),
        ("well", {"not_converged_patterns": ["SCF NOT CONV"]}, "not_converged", "scratch.txt: SCF NOT CONVERGED"),
    ],
)
def test_failures_are_failed_labels(how: str, options: dict[str, Any], reason: str, words: str, broken: str) -> None:
    label = labeler(broken, arguments={"how": how}, **options).label(molecule("H2O"))
    assert (label.status, label.reason, label.energy) == ("failed", reason, None)
    assert words in label.message


def test_files_stay_in_the_folder_of_a_failure(broken: str, tmp_path: Path) -> None:
    failing = labeler(broken, arguments={"how": "well"}, not_converged_patterns=["SCF"])
    with failing.open(tmp_path / "label"):
        failing.label(molecule("H2O"))
    (kept,) = (tmp_path / "label").iterdir()
    assert (kept / "scratch.txt").is_file()
    assert not Path("scratch.txt").exists()


def test_the_machines_profile_is_a_setting(broken: str) -> None:
    name = "broken_calculator:profiled"
    machine = {name: {"profile": "broken_calculator:Profile", "command": "/opt/code", "flavour": "spin"}}
    label = labeler(name, Settings(ase_calculators=machine)).label(bulk("Cu"))
    assert label.status == "ok", label.message


def test_stress_that_a_calculator_lacks_is_refused(broken: str) -> None:
    with pytest.raises(InputError, match="gives no stress; set 'stress: false'"):
        labeler(broken, arguments={"how": "well"}).check(bulk("Cu"))
    label = labeler(broken, arguments={"how": "well"}, stress=False).label(bulk("Cu"))
    assert (label.status, label.stress) == ("ok", None)


@pytest.mark.parametrize("name", ["no_such_code", "no_such_package:Class", "ase.calculators.emt:ETM"])
def test_a_calculator_that_is_not_there_is_missing(name: str) -> None:
    (told,) = labeler(name).missing()
    assert f"found {name!r}" in told
    assert "expected a name of ASE's" in told


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a regular expression"):
        ASEOptions(calculator="emt", not_converged_patterns=["("])


@needs_mopac
def test_mopac_that_does_not_converge() -> None:
    # With two iterations MOPAC 22.0.6 says "SCF FIELD WAS ACHIEVED" of an energy that is 244 eV too high.
    few = {"method": "PM7", "task": "1SCF GRADIENTS ITRY=1"}
    frame = molecule("C6H6")
    label = labeler("mopac", arguments=few, not_converged_patterns=["UNABLE TO ACHIEVE SELF-CONSISTENCE"]).label(frame)
    assert (label.status, label.reason) == ("failed", "not_converged"), label.message
    label = labeler("mopac", arguments=few).label(frame)
    assert label.status == "failed"


@needs_mopac
def test_mopac_by_the_machines_command(tmp_path: Path) -> None:
    """PM7's heat of formation of water: -57.8 kcal/mol (J. J. P. Stewart, J. Mol. Model. 19 (2013) 1)."""
    command = f"{shutil.which('mopac')} PREFIX.mop && touch {tmp_path}/ran"
    label = labeler("mopac", Settings(ase_calculators={"mopac": {"command": command}})).label(molecule("H2O"))
    assert label.status == "ok", label.message
    assert (tmp_path / "ran").exists()
    assert label.energy == pytest.approx(-57.8 * 0.0433641, abs=0.03)
