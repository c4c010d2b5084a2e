"""VASP: inputs by input set and by INCAR, custodian, parsing, and what is refused, with an executable of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read

from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.labelers.vasp import VASPLabeler, VASPOptions
from sparc_fw.loading import parse_campaign
from sparc_fw.settings import Settings
from trained_models import ammonia_borane
from vasp_setup import vasp_settings, write_vasp

pytest.importorskip("custodian", reason="custodian is not installed: pip install 'sparc_fw[vasp]'")

OWN = Path(__file__).parent / "vasp_like"
"""Input and output of tests/fake_vasp.py for a distorted NH3BH3."""

CRYSTAL = {"incar": "ENCUT = 400\nISMEAR = 0\nSIGMA = 0.05\n", "kpoints": "a mesh\n0\nGamma\n2 2 2\n"}


def labeler(settings: Settings, **options: Any) -> VASPLabeler:
    if "incar" not in options:
        options.setdefault("input_set", "MPStaticSet")
    return VASPLabeler(VASPOptions.model_validate(options), settings)


def without_potcars(**options: Any) -> VASPLabeler:
    return labeler(Settings(), **options)


def salt() -> Atoms:
    """Rock salt, distorted."""
    crystal = bulk("NaCl", "rocksalt", 5.6)
    crystal.set_cell(crystal.cell.array @ [[1, 0.02, 0], [0, 1.03, 0], [0.01, 0, 0.97]], scale_atoms=True)
    crystal.positions[0] += (0.1, -0.05, 0.2)
    return crystal


@pytest.mark.parametrize(
    ("input_set", "tags", "potcars"),
    [
        ("MPStaticSet", {"ENCUT": 520, "ISPIN": 1, "ISMEAR": -5}, ["Cl", "Na_pv"]),
        ("MPScanStaticSet", {"METAGGA": "R2scan", "KSPACING": 0.22}, ["Cl", "Na_pv"]),
        ("MatPESStaticSet", {"ENCUT": 680, "KSPACING": 0.22, "LMAXMIX": 6}, ["Cl", "Na_pv"]),
    ],
)
def test_inputs_are_those_of_the_set_and_need_no_potcar(
    input_set: str, tags: dict[str, Any], potcars: list[str], tmp_path: Path
) -> None:
    made = without_potcars(input_set=input_set).input(salt())
    assert {tag: made.incar[tag] for tag in tags} == tags
    assert (made.incar["NSW"], made.incar["LWAVE"]) == (0, False)
    made.write(tmp_path)
    assert (tmp_path / "POTCAR.spec").read_text().split()[1:] == potcars
    assert not (tmp_path / "POTCAR").exists()
    assert (tmp_path / "KPOINTS").exists() == ("KSPACING" not in made.incar)


def test_user_settings_override_the_set() -> None:
    made = without_potcars(
        user_incar_settings={"ENCUT": 600, "EDIFF": 1e-7, "LORBIT": None},
        user_kpoints_settings={"reciprocal_density": 20},
        user_potcar_settings={"Na": "Na"},
        user_potcar_functional="PBE_54",
    ).input(salt())
    assert (made.incar["ENCUT"], made.incar["EDIFF"]) == (600, 1e-7)
    assert "LORBIT" not in made.incar
    assert made.potcar_symbols == ["Cl", "Na"]
    assert made.potcar_functional == "PBE_54"
    assert made.kpoints is not None
    assert without_potcars().input(salt()).kpoints.kpts != made.kpoints.kpts  # type: ignore[union-attr]


def test_molecule_gets_its_box_and_the_gamma_point() -> None:
    frame = molecule("H2O")
    made = without_potcars(input_set="MPScanStaticSet", vacuum_A=9.0).input(frame)
    assert made.gamma_only
    assert "KSPACING" not in made.incar
    edges = made.atoms.cell.lengths()
    assert np.all(edges - np.ptp(frame.positions, axis=0) >= 9.0)
    assert edges.tolist() == [9.0, 11.0, 10.0]
    assert made.atoms.get_chemical_symbols() == ["H", "H", "O"]
    assert made.order.tolist() == [1, 2, 0]
    moved = made.atoms.positions - frame.positions[made.order]
    assert np.ptp(moved, axis=0) == pytest.approx(0.0, abs=1e-12)


def test_spin_fixes_the_moment_unless_it_is_free() -> None:
    oxygen = molecule("O2")
    oxygen.info["spin"] = 2
    incar = without_potcars().input(oxygen).incar
    assert (incar["ISPIN"], incar["NUPDOWN"], incar["MAGMOM"]) == (2, 2, [1.0, 1.0])
    free = without_potcars(spin="free").input(oxygen).incar
    assert free["ISPIN"] == 2
    assert "NUPDOWN" not in free
    with pytest.raises(InputError, match="ISPIN: found 2 for a frame with 0 unpaired electrons, expected 1"):
        without_potcars(user_incar_settings={"ISPIN": 2}).check(molecule("H2O"))


@pytest.mark.parametrize(
    ("tags", "refused"),
    [
        ({"MAGMOM": {"Na": 1.0}}, "MAGMOM"),
        ({"NUPDOWN": 2}, "NUPDOWN"),
        ({"MAGMOM": {"Na": 0.0}, "NUPDOWN": 0, "ISPIN": None}, None),
        ({"NUPDOWN": -1}, None),
    ],
)
def test_moments_that_contradict_the_spin_are_refused_and_not_dropped(
    tags: dict[str, Any], refused: str | None
) -> None:
    vasp = without_potcars(user_incar_settings=tags)
    if refused is None:
        assert vasp.input(salt()).incar["ISPIN"] == 1
        return
    message = rf"{refused}: found .* for a frame with 0 unpaired electrons, expected 0; change 'spin' of the system"
    with pytest.raises(InputError, match=message):
        vasp.check(salt())
    kept = without_potcars(user_incar_settings={**tags, "ISPIN": 2}, spin="free").input(salt()).incar
    assert refused in kept


def test_moments_in_an_incar_of_ones_own_are_refused_without_spin_and_kept_with_it() -> None:
    own = {"incar": CRYSTAL["incar"] + "ISPIN = 2\nMAGMOM = 2 0\n", "kpoints": CRYSTAL["kpoints"]}
    crystal = salt()
    with pytest.raises(InputError, match="ISPIN: found 2 for a frame with 0 unpaired"):
        without_potcars(**own).check(crystal)
    moments = {**own, "incar": own["incar"].replace("ISPIN = 2", "")}
    with pytest.raises(InputError, match="MAGMOM: found"):
        without_potcars(**moments).check(crystal)
    crystal.info["spin"] = 2
    assert without_potcars(**own).input(crystal).incar["MAGMOM"] == [2.0, 0.0]


def test_charge_sets_the_electrons_that_potcars_count(tmp_path: Path) -> None:
    frame = ammonia_borane()
    frame.info.update(charge=1, spin=1)
    made = labeler(vasp_settings(tmp_path)).input(frame)
    assert made.incar["NELECT"] == 3 + 5 + 6 - 1
    with pytest.raises(InputError, match="charge: found 1, for which NELECT needs the valence electrons"):
        without_potcars().check(frame)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_set": "MPStatikSet"}, "input_set: found 'MPStatikSet', expected an input set of pymatgen"),
        ({"user_incar_settings": {"MAGMOM": [1, 1]}}, r"MAGMOM: found \[1, 1\] with an input set, expected moments by"),
        ({"input_set": "MPRelaxSet"}, "found NSW = 99, expected 0: a label is one geometry"),
        ({"user_incar_settings": {"ENCUTT": 600}}, "found the tag ENCUTT, which pymatgen does not list"),
        ({"handlers": ["VaspHandler"]}, "handlers: found 'VaspHandler'"),
        ({"incar": "ENCUT = 300"}, "kpoints: found none for a periodic frame"),
        ({"user_potcar_functional": "PBE_53"}, "user_potcar_functional"),
    ],
)
def test_what_vasp_would_misread_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((InputError, ValueError), match=message):
        labeler(vasp_settings(tmp_path), **options).check(salt())


@pytest.mark.parametrize("options", [{}, {"input_set": "MPStaticSet", "incar": "ENCUT = 300"}])
def test_input_set_and_incar_exclude_each_other(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"found (neither|both) of input_set and incar"):
        VASPOptions.model_validate(options)


def test_missing_potcar_names_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingDependency, match=r"found no POTCAR 'Si' of 'PBE', expected one of .*POT_GGA_PAW_PBE/"):
        labeler(vasp_settings(tmp_path)).check(bulk("Si"))


def test_missing_says_what_the_machine_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VASP_PP_PATH", raising=False)
    told = labeler(Settings(vasp_command="no_such_vasp")).missing()
    assert told == [
        "vasp needs the program 'no_such_vasp', which is not on PATH: set vasp_command",
        "vasp needs POTCAR files: set vasp_potcar_dir, PMG_VASP_PSP_DIR or VASP_PP_PATH",
    ]
    assert labeler(vasp_settings(tmp_path)).missing() == []


def test_potcars_as_vasp_unpacks_them_are_found_by_ases_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for element in ("H", "O"):
        folder = tmp_path / "potpaw_PBE" / element
        folder.mkdir(parents=True)
        (folder / "POTCAR").write_text(f"  PAW_PBE {element}\n   ZVAL   =    1.000\n")
    monkeypatch.setenv("VASP_PP_PATH", str(tmp_path))
    made = without_potcars().input(molecule("H2O"))
    assert made.potcars is not None
    assert [text.split()[1] for text in made.potcars] == ["H", "O"]


def slope(vasp: VASPLabeler, frames: list[Atoms], step: float) -> float:
    upper, lower = (vasp.calculate(frame)[0] for frame in frames)
    return (upper - lower) / (2 * step)


def test_stress_and_forces_of_a_crystal_are_slopes_of_its_energy(tmp_path: Path) -> None:
    crystal, step = salt(), 1e-3
    vasp = labeler(vasp_settings(tmp_path), **CRYSTAL, handlers=[])
    label = vasp.label(crystal)
    assert label.status == "ok", label.message
    assert label.stress is not None
    assert label.forces is not None
    for place, strain in ((0, [1, 0, 0, 0, 0, 0, 0, 0, 0]), (5, [0, 0.5, 0, 0.5, 0, 0, 0, 0, 0])):
        stretched = [crystal.copy(), crystal.copy()]
        for frame, sign in zip(stretched, (1, -1), strict=True):
            change = np.eye(3) + sign * step * np.reshape(strain, (3, 3))
            frame.set_cell(crystal.cell.array @ change, scale_atoms=True)
        assert label.stress[place] == pytest.approx(slope(vasp, stretched, step) / crystal.get_volume(), abs=1e-6)
    # Sodium is the first of the frame and the second of the POSCAR: in VASP's order the sign would be the other.
    moved = [crystal.copy(), crystal.copy()]
    for frame, sign in zip(moved, (1, -1), strict=True):
        frame.positions[0, 2] += sign * step
    assert label.forces[0, 2] == pytest.approx(-slope(vasp, moved, step), abs=1e-4)
    assert abs(label.forces[0, 2]) > 0.1


def test_no_vasprun_or_one_cut_short_is_made_good_by_the_outcar(tmp_path: Path) -> None:
    whole = labeler(vasp_settings(tmp_path / "whole"), **CRYSTAL).label(salt())
    cut = labeler(vasp_settings(tmp_path / "cut", "--cut"), **CRYSTAL).label(salt())
    assert cut.energy == whole.energy
    assert cut.version == whole.version == "0.0.1"
    assert cut.forces == pytest.approx(whole.forces, abs=1e-6)
    assert cut.stress == pytest.approx(whole.stress, abs=1e-7)


def test_custodian_finds_the_algorithm_that_converges(tmp_path: Path) -> None:
    label = labeler(vasp_settings(tmp_path, "--needs ALGO=All")).label(molecule("H2O"))
    # The set's Fast, then Normal, then All.
    assert (label.status, label.attempts) == ("ok", 3)
    alone = labeler(vasp_settings(tmp_path / "alone", "--needs ALGO=All"), handlers=[]).label(molecule("H2O"))
    assert (alone.status, alone.reason, alone.attempts) == ("failed", "not_converged", 1)
    assert alone.message == "electronic loop not converged in 100 of NELM = 100 electronic steps"


def test_a_mend_that_changes_the_physics_is_refused(tmp_path: Path) -> None:
    settings = vasp_settings(tmp_path, "--prints 'REAL_OPTLAY: internal error' --until LREAL=False")
    label = labeler(settings, **CRYSTAL, user_incar_settings={"LREAL": "Auto"}).label(salt())
    assert (label.status, label.reason, label.attempts) == ("failed", "crashed", 2)
    assert "it changed LREAL from Auto to False; change that for the whole campaign" in label.message


def test_settings_that_custodian_changed_are_named(tmp_path: Path) -> None:
    vasp = without_potcars()
    given = vasp.input(salt())
    given.write(tmp_path)
    vasp._refuse_other_settings(given, tmp_path, 1)
    text = (tmp_path / "INCAR").read_text()
    (tmp_path / "INCAR").write_text(text.replace("SIGMA = 0.05", "SIGMA = 0.2").replace("ALGO = Fast", "ALGO = All"))
    with pytest.raises(Exception, match=r"other physics: it changed SIGMA from 0\.05 to 0\.2; change that for"):
        vasp._refuse_other_settings(given, tmp_path, 1)
    (tmp_path / "INCAR").write_text(text)
    (tmp_path / "KPOINTS").write_text("finer\n0\nGamma\n9 9 9\n")
    with pytest.raises(Exception, match="it changed the k-points"):
        vasp._refuse_other_settings(given, tmp_path, 1)


def test_a_crash_is_a_failed_label_with_its_words_and_its_files(tmp_path: Path) -> None:
    vasp = labeler(vasp_settings(tmp_path, "--prints 'no such luck'"))
    with vasp.open(tmp_path / "label"):
        label = vasp.label(molecule("H2O"))
    assert (label.status, label.reason, label.attempts) == ("failed", "crashed", 1)
    assert "vasp_std ended with status 1" in label.message
    assert label.message.endswith("no such luck")
    (kept,) = (tmp_path / "label").iterdir()
    assert {"INCAR", "POSCAR", "vasp.out"} <= {path.name for path in kept.iterdir()}


def test_a_vasp_that_hangs_is_ended(tmp_path: Path) -> None:
    label = labeler(vasp_settings(tmp_path, "--hang"), timeout_seconds=0.5).label(molecule("H2O"))
    assert (label.reason, label.attempts) == ("timeout", 1)
    assert "vasp_std ran longer than" in label.message


def test_gamma_point_alone_runs_the_gamma_executable(tmp_path: Path) -> None:
    settings = vasp_settings(tmp_path, "--prints 'not this one'")
    gamma = settings.model_copy(update={"vasp_gam_command": str(write_vasp(tmp_path, "vasp_gam"))})
    assert labeler(gamma).label(molecule("H2O")).status == "ok"
    assert labeler(gamma).label(salt()).reason == "crashed"


def test_a_molecule_that_outgrows_its_box_is_bad_input(tmp_path: Path) -> None:
    label = labeler(vasp_settings(tmp_path), box_A=9.0).label(molecule("N2H4"))
    assert (label.reason, label.attempts) == ("bad_input", 0)
    assert "leaves less than vacuum_A, 8 Å, in box_A, 9 Å" in label.message


def test_a_slab_needs_vacuum_to_its_images() -> None:
    slab = salt() * (2, 2, 1)
    slab.pbc = (True, True, False)
    vasp = without_potcars()
    with pytest.raises(InputError, match=r"does not repeat along its vector c leaves .* less than vacuum_A, 8 Å"):
        vasp.check(slab)
    slab.center(vacuum=4.1, axis=2)
    vasp.check(slab)


def replayed(folder: Path, tmp_path: Path, **changes: Any) -> tuple[Any, Atoms]:
    """Label a folder's structure, atoms in another order, with a VASP that accepts that folder's input only."""
    frame = read(folder / "POSCAR")
    # B and the six H and N as VASP sorts them; the H among themselves stay in order.
    shuffled = frame[[7, 1, 2, 0, 3, 4, 5, 6]]
    options = {"incar": (folder / "INCAR").read_text(), "kpoints": (folder / "KPOINTS").read_text()}
    settings = vasp_settings(tmp_path, f"--replay {folder}")
    return labeler(settings, **options | changes).label(shuffled), shuffled


def test_own_calculation_is_replayed_in_the_frames_order(tmp_path: Path) -> None:
    label, frame = replayed(OWN, tmp_path)
    assert label.status == "ok", label.message
    reference = read(OWN / "OUTCAR", format="vasp-out")
    assert label.energy == pytest.approx(reference.calc.results["free_energy"], abs=1e-8)
    for position, force in zip(reference.positions, reference.get_forces(), strict=True):
        (place,) = np.flatnonzero(np.abs(frame.positions - position).max(axis=1) < 1e-4)
        assert label.forces[place] == pytest.approx(force, abs=1e-6)
    assert label.stress == pytest.approx(reference.get_stress(), abs=1e-7)


def test_other_input_than_expected_is_noticed(tmp_path: Path) -> None:
    label, _ = replayed(OWN, tmp_path, user_incar_settings={"ENCUT": 350})
    assert label.reason == "crashed"
    assert "INCAR: ENCUT: found 350.0, expected 400.0" in label.message


def test_a_real_calculation_is_replayed(test_data: Path, tmp_path: Path) -> None:
    label, frame = replayed(test_data / "nh3bh3_sparc" / "vasp", tmp_path, unlisted_tags=[])
    assert label.status == "ok", label.message
    assert label.version == "6.4.2"
    assert label.energy == pytest.approx(-35.44986034, abs=1e-8)
    nitrogen = frame.get_chemical_symbols().index("N")
    assert label.forces[nitrogen] == pytest.approx([-1.79572651, -1.26544292, 1.47889881], abs=1e-8)
    # OUTCAR: -8.36090 kB along x, which VASP counts as tension that shrinks the cell.
    assert label.stress[0] == pytest.approx(0.836090 / 160.21766208, abs=1e-8)


def test_output_of_another_frame_is_refused(tmp_path: Path) -> None:
    frame = read(OWN / "POSCAR")
    frame.positions[0] += (0, 0, 0.01)
    settings = vasp_settings(tmp_path)
    stale = f"#!/bin/sh\ncp {OWN}/vasprun.xml {OWN}/OUTCAR .\n"
    Path(settings.vasp_command.split()[0]).write_text(stale)
    label = labeler(settings, incar="ENCUT = 400", kpoints="Gamma\n0\nGamma\n1 1 1\n").label(frame)
    assert label.reason == "crashed"
    assert "atom 0 0.0100 Å away from the POSCAR's" in label.message


def test_incar_and_kpoints_files_travel_with_the_campaign(tmp_path: Path) -> None:
    salt().write(tmp_path / "salt.xyz", format="extxyz")
    (tmp_path / "INCAR").write_text(CRYSTAL["incar"])
    (tmp_path / "KPOINTS").write_text(CRYSTAL["kpoints"])
    campaign = {
        "name": "salt",
        "systems": [{"name": "salt", "structure": "salt.xyz"}],
        "start": [{"kind": "displacements", "amplitude_A": 0.1, "frames": 2}],
        "labeler": {"kind": "vasp", "incar_file": "INCAR", "kpoints_file": "KPOINTS"},
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
    options: Any = parse_campaign(campaign, tmp_path).campaign.labeler
    assert (options.incar, options.incar_file) == (CRYSTAL["incar"], None)
    assert (options.kpoints, options.kpoints_file) == (CRYSTAL["kpoints"], None)
