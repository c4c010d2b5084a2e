"""What makes a label another one: numbers, and the content of files; not limits, and not where files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ase.build import molecule

from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.labelers.ase_calculator import ASELabeler, ASEOptions
from sparc_fw.labelers.base import Labeler
from sparc_fw.labelers.command import CommandLabeler, CommandOptions
from sparc_fw.labelers.cp2k import CP2KLabeler, CP2KOptions
from sparc_fw.labelers.cp2k_input import BUILT_IN
from sparc_fw.labelers.potential import PotentialLabeler, PotentialLabelerOptions
from sparc_fw.labelers.pyscf import PySCFLabeler, PySCFOptions
from sparc_fw.labelers.qe import QELabeler, QEOptions
from sparc_fw.labelers.vasp import VASPLabeler, VASPOptions
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings
from vasp_setup import write_potcars

WATER = molecule("H2O")
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "pyscf": (PySCFLabeler, PySCFOptions, {}),
    "xtb": (XTBLabeler, XTBOptions, {}),
    "cp2k": (CP2KLabeler, CP2KOptions, {}),
    "qe": (QELabeler, QEOptions, {}),
    "vasp": (VASPLabeler, VASPOptions, {"input_set": "MPStaticSet"}),
    "ase": (ASELabeler, ASEOptions, {"calculator": "emt"}),
    "command": (CommandLabeler, CommandOptions, {"command": "label {input} {output}"}),
    "potential": (PotentialLabeler, PotentialLabelerOptions, {"calculator": "ase.calculators.emt:EMT"}),
}


def labeler(kind: str, settings: Settings | None = None, **options: Any) -> Labeler[Any]:
    backend, model, least = KINDS[kind]
    made: Labeler[Any] = backend(model.model_validate(least | options), settings or Settings())
    return made


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("pyscf", {"max_cycle": 99}),
        ("pyscf", {"max_basis_functions": 200}),
        ("pyscf", {"retries": {"not_converged": [{"level_shift": 0.5}]}}),
        ("xtb", {"max_iterations": 99}),
        ("xtb", {"retries": {}}),
        ("cp2k", {"timeout_seconds": 10.0}),
        ("cp2k", {"max_scf": 99, "retries": {"timeout": [{"timeout_seconds": 20.0}]}}),
        ("qe", {"timeout_seconds": 10.0, "electron_maxstep": 99}),
        ("vasp", {"timeout_seconds": 10.0}),
        ("vasp", {"handlers": [], "max_errors": 9, "unlisted_tags": ["LNEW"]}),
        ("vasp", {"user_incar_settings": {"NELM": 300}}),
        ("cp2k", {"template": BUILT_IN.replace("MAX_SCF 60", "MAX_SCF 300")}),
        ("cp2k", {"overrides": {"FORCE_EVAL": {"DFT": {"SCF": {"MAX_SCF": 300}}}}}),
        ("ase", {"timeout_seconds": 10.0}),
        ("command", {"timeout_seconds": 10.0, "code_version": "2.0"}),
        ("potential", {"retries": {}}),
    ],
)
def test_what_decides_no_number_is_not_in_the_hash(kind: str, changes: dict[str, Any]) -> None:
    first, second = labeler(kind), labeler(kind, **changes)
    assert first.settings_hash == second.settings_hash
    assert first.key(WATER) == second.key(WATER)
    # What did not converge is tried again with more.
    assert first.effort_hash != second.effort_hash


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("pyscf", {"guess": "huckel"}),
        ("pyscf", {"retries": {"not_converged": [{"level_shift": 0.5}, {"functional": "hf"}]}}),
        ("xtb", {"accuracy": 0.1}),
        ("xtb", {"retries": {"not_converged": [{"electronic_temperature_K": 2000.0}]}}),
        ("cp2k", {"scf": "ot"}),
        ("cp2k", {"force_cap": None}),
        ("cp2k", {"functional": "BLYP"}),
        ("cp2k", {"smearing_K": 300.0}),
        ("cp2k", {"vacuum_A": 5.0}),
        ("cp2k", {"overrides": {"FORCE_EVAL": {"SUBSYS": {"KIND": {"BASIS_SET": "TZVP-GTH"}}}}}),
        ("cp2k", {"overrides": {"FORCE_EVAL": {"DFT": {"SCF": {"OT": {}}}}}}),
        ("cp2k", {"template": BUILT_IN.replace("EPS_SCF 1.0E-6", "EPS_SCF 1.0E-5")}),
        ("qe", {"mixing_beta": 0.2}),
        ("qe", {"ecutwfc_Ry": 70.0}),
        ("vasp", {"user_incar_settings": {"ENCUT": 500}}),
        ("ase", {"not_converged_patterns": ["oh dear"]}),
        ("ase", {"stress": False}),
        ("command", {"command": "label --fast {input} {output}"}),
        ("command", {"command": "{script} {input} {output}", "script": "#!/bin/sh\n"}),
        ("potential", {"arguments": {"fixed_cutoff": False}}),
    ],
)
def test_what_may_change_a_label_is_in_the_hash(kind: str, changes: dict[str, Any]) -> None:
    assert labeler(kind).settings_hash != labeler(kind, **changes).settings_hash


INCAR = "ENCUT = 400\nISMEAR = 0; SIGMA = 0.05\n"
KPOINTS = "a mesh\n0\nGamma\n2 2 2\n"


@pytest.mark.parametrize(
    ("incar", "kpoints", "same"),
    [
        ("! by hand\nSYSTEM = salt\nsigma=5e-2\nENCUT = 400.0 # eV\n\nISMEAR = 0\n", KPOINTS, True),
        (INCAR + "NCORE = 8\nKPAR = 4\nNELM = 200\nLWAVE = .TRUE.\n", "another mesh\n0\nGamma\n2  2  2\n", True),
        (INCAR.replace("400", "450"), KPOINTS, False),
        (INCAR + "ALGO = All\n", KPOINTS, False),
        (INCAR, KPOINTS.replace("2 2 2", "2 2 3"), False),
        (INCAR, KPOINTS.replace("Gamma", "Monkhorst"), False),
    ],
)
def test_an_incar_counts_as_vasp_reads_it(incar: str, kpoints: str, same: bool) -> None:
    first, second = (
        labeler("vasp", input_set=None, incar=text, kpoints=points)
        for text, points in ((INCAR, KPOINTS), (incar, kpoints))
    )
    assert (first.settings_hash == second.settings_hash) == same
    changed = labeler("vasp", input_set=None, incar="ENCUT = 300", user_incar_settings={"encut": 400}).settings_hash
    assert changed == labeler("vasp", input_set=None, incar="ENCUT = 400").settings_hash


def _rewritten() -> str:
    """The built-in template with comments, other spaces and numbers, in another order."""
    lines = BUILT_IN.replace("CUTOFF 600\n", "cutoff   6.0E2 ! Ry\n").splitlines()
    place = lines.index("    BASIS_SET_FILE_NAME BASIS_MOLOPT")
    lines[place], lines[place + 1] = lines[place + 1], lines[place]
    return "# mine\n&GLOBAL\n  PRINT_LEVEL HIGH\n&END\n\n" + "\n\n".join(lines)


@pytest.mark.parametrize(
    "options",
    [
        {"template": _rewritten()},
        {"cutoff_Ry": 600, "rel_cutoff": 60.0, "guess": "atomic", "eps_scf": 1e-6},
        {"functional": "PBE", "basis_set": "DZVP-MOLOPT-SR-GTH", "pseudo_potential": "GTH-PBE"},
        {"overrides": {"FORCE_EVAL": {"DFT": {"MGRID": {"CUTOFF": 600}, "PRINT": {"MULLIKEN": {"_": "ON"}}}}}},
        {"template": BUILT_IN.replace("DZVP", "SZV"), "basis_set": "DZVP-MOLOPT-SR-GTH"},
    ],
)
def test_cp2k_input_counts_whoever_wrote_it(options: dict[str, Any]) -> None:
    assert labeler("cp2k", **options).settings_hash == labeler("cp2k").settings_hash


def test_files_in_the_data_folder_of_cp2k_count_by_content(tmp_path: Path) -> None:
    hashes = []
    for place, basis, other in (("a", "one", "one"), ("b", "one", "two"), ("c", "two", "one")):
        (tmp_path / place).mkdir()
        for name, text in (("BASIS_MOLOPT", basis), ("POTENTIAL", "one"), ("BASIS_ADMM", other)):
            (tmp_path / place / name).write_text(text)
        hashes.append(labeler("cp2k", Settings(cp2k_data_dir=tmp_path / place)).settings_hash)
    assert hashes[0] == hashes[1] != hashes[2]
    # CP2K's own, of its version.
    assert labeler("cp2k").settings_hash not in hashes


def test_pseudopotentials_count_by_content(tmp_path: Path) -> None:
    keys = []
    for number, (name, text) in enumerate([("H.UPF", "one"), ("H.UPF", "two"), ("renamed.UPF", "one")]):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / name).write_text(text)
        keys.append(labeler("qe", Settings(pseudo_dir=folder), pseudopotentials={"H": name}).key(WATER))
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]
    with pytest.raises(MissingDependency, match=r"found no file .*He\.UPF, the pseudopotential of He"):
        _ = labeler("qe", Settings(pseudo_dir=tmp_path), pseudopotentials={"He": "He.UPF"}).settings_hash


def test_potcars_count_by_content_and_by_name_where_there_are_none(tmp_path: Path) -> None:
    for place in ("here", "there"):
        write_potcars(tmp_path / place)
    here, there = (Settings(vasp_potcar_dir=tmp_path / place) for place in ("here", "there"))
    first = labeler("vasp", here).key(WATER)
    assert labeler("vasp", there).key(WATER) == first
    potcar = tmp_path / "there" / "POT_GGA_PAW_PBE" / "POTCAR.O"
    potcar.write_text(potcar.read_text().replace("01Jan2000", "02Feb2002"))
    assert labeler("vasp", there).key(WATER) != first
    assert labeler("vasp", there).key(molecule("N2")) == labeler("vasp", here).key(molecule("N2"))
    nameless, other = labeler("vasp"), labeler("vasp", user_potcar_functional="PBE_54")
    assert len({first, nameless.key(WATER), other.key(WATER)}) == 3
    assert nameless.potentials_of(WATER) == labeler("vasp").potentials_of(WATER)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("cp2k", {"overrides": {"FORCE_EVAL": {"DFT": {"BASIS_SET_FILE_NAME": ["BASIS_MOLOPT", "{file}"]}}}}),
        ("cp2k", {"template": "&FORCE_EVAL\n&DFT\nPOTENTIAL_FILE_NAME {file}\n&END\n&END\n"}),
        ("ase", {"arguments": {"parameters": {"H": "{file}"}}}),
        ("command", {"command": "python {file} {{input}} {{output}}"}),
        ("potential", {"arguments": {"model": "{file}"}}),
    ],
)
def test_own_files_count_by_content_and_not_by_place(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    hashes = []
    for number, text in enumerate(["one", "one", "two"]):
        path = tmp_path / f"{number}" / "file"
        path.parent.mkdir()
        path.write_text(text)
        hashes.append(labeler(kind, **_filled(options, str(path))).settings_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def _filled(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(part, path) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, path) for part in value]
    return value.replace("{file}", path).replace("{{", "{").replace("}}", "}")


def test_programs_belong_to_the_machine(tmp_path: Path) -> None:
    hashes = []
    program = tmp_path / "program"
    for build in (b"\x7fELF one", b"\x7fELF two"):
        program.write_bytes(build)
        hashes.append(labeler("command", command=f"{program} {{input}} {{output}}").settings_hash)
    assert hashes[0] == hashes[1]


def test_a_file_that_pyscf_would_take_for_a_basis_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("H S\n1.0 1.0\n")
    with pytest.raises(InputError, match="basis: found 'mine', which is a file in"):
        labeler("pyscf", basis="mine").check(WATER)


@pytest.mark.parametrize(
    ("kind", "options", "alike"),
    [
        ("pyscf", {}, True),
        ("xtb", {}, True),
        ("ase", {}, False),
        ("command", {}, False),
        ("potential", {}, False),
        ("qe", {"namelists": {"system": {"nspin": 2, "starting_magnetization(1)": 0.5}}}, True),
        ("qe", {"namelists": {"system": {"lda_plus_u": True, "Hubbard_V(1,2,1)": 0.5}}}, False),
        ("cp2k", {}, True),
        ("cp2k", {"functional": "BLYP", "scf": "ot", "smearing_K": 300.0}, True),
        ("cp2k", {"template": BUILT_IN + "&MOTION\n&CONSTRAINT\n&FIXED_ATOMS\nLIST 1\n&END\n&END\n&END\n"}, False),
        ("cp2k", {"overrides": {"FORCE_EVAL": {"DFT": {"QS": {"CDFT": {"TYPE_OF_CONSTRAINT": "BECKE"}}}}}}, False),
        ("cp2k", {"overrides": {"FORCE_EVAL": {"DFT": {"WFN_RESTART_FILE_NAME": "/x/y.wfn"}}}}, False),
        ("cp2k", {"overrides": {"FORCE_EVAL": {"SUBSYS": {"KIND H": {"MAGNETIZATION": 1}}}}}, True),
        ("vasp", {}, True),
        ("vasp", {"user_incar_settings": {"MAGMOM": {"Fe": 5.0, "O": 0.6}}}, True),
        ("vasp", {"input_set": None, "incar": "ENCUT = 400\nMAGMOM = 3*0.6"}, True),
        ("vasp", {"input_set": None, "incar": "ENCUT = 400\nMAGMOM = 1 -1 0.6"}, False),
        ("vasp", {"input_set": None, "incar": "ENCUT = 400\nLDAUU = 4 0", "unlisted_tags": ["LNEW"]}, True),
        ("vasp", {"input_set": None, "incar": "ENCUT = 400\nLNEW = 4 0 1", "unlisted_tags": ["lnew"]}, False),
    ],
)
def test_like_atoms_are_alike_unless_options_number_atoms(kind: str, options: dict[str, Any], alike: bool) -> None:
    found = labeler(kind, **options)
    assert found.like_atoms_alike == alike
    assert (found.key(WATER[[0, 2, 1]]) == found.key(WATER)) == alike
