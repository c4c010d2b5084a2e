"""What every labeler promises."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from external_codes import cp2k, hydrogen, qe
from sparc_fw.child_process import end_guarded
from sparc_fw.errors import InputError
from sparc_fw.labelers.ase_calculator import ASELabeler, ASEOptions
from sparc_fw.labelers.base import Labeler
from sparc_fw.labelers.command import CommandLabeler, CommandOptions
from sparc_fw.labelers.cp2k import CP2KLabeler
from sparc_fw.labelers.potential import PotentialLabeler, PotentialLabelerOptions
from sparc_fw.labelers.pyscf import PySCFLabeler, PySCFOptions
from sparc_fw.labelers.qe import QELabeler
from sparc_fw.labelers.vasp import VASPLabeler, VASPOptions
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings
from trained_models import displaced
from vasp_setup import vasp_settings

Make = Callable[..., Labeler[Any]]


def make_pyscf(**options: Any) -> PySCFLabeler:
    return PySCFLabeler(PySCFOptions.model_validate(options), Settings())


def make_xtb(**options: Any) -> XTBLabeler:
    return XTBLabeler(XTBOptions.model_validate(options), Settings())


def make_cp2k(**options: Any) -> CP2KLabeler:
    return cp2k(**options)


def make_qe(**options: Any) -> QELabeler:
    return qe(**options)


XTB_SCRIPT = f"""#!{sys.executable}
import re, sys
import numpy as np
from tblite.interface import Calculator
BOHR, HARTREE = 0.529177210903, 27.211386245988
lines = open(sys.argv[1]).read().splitlines()
said = dict(re.findall(r'(\\w+)=("[^"]*"|[^ ]+)', lines[1]))
rows = [line.split() for line in lines[2:]]
numbers = np.array([{{"H": 1, "O": 8, "Si": 14}}[row[0]] for row in rows])
positions = np.array([row[1:4] for row in rows], dtype=float)
cell = {{}}
if "T" in said["pbc"]:
    lattice = np.array(said["Lattice"].strip('"').split(), dtype=float).reshape(3, 3)
    cell = {{"lattice": lattice / BOHR, "periodic": np.array([True] * 3)}}
charge, spin = float(said["charge"]), int(said["spin"])
solver = Calculator("GFN2-xTB", numbers, positions / BOHR, charge=charge, uhf=spin, **cell)
solver.set("verbosity", 0)
found = solver.singlepoint()
forces = -found["gradient"] * HARTREE / BOHR
comment = ["Properties=species:S:1:pos:R:3:forces:R:3", "pbc=" + said["pbc"]]
comment.append("energy=%r" % float(found["energy"] * HARTREE))
if cell:
    stress = found["virial"] * HARTREE / abs(np.linalg.det(lattice))
    comment += ["Lattice=" + said["Lattice"], 'stress="' + " ".join(map(repr, stress.ravel().tolist())) + '"']
with open(sys.argv[2], "w") as output:
    print(len(rows), " ".join(comment), sep="\\n", file=output)
    for row, force in zip(rows, forces.tolist()):
        print(*row[:4], *map(repr, force), file=output)
"""
"""GFN2-xTB in a script that starts fast, because it imports no more than tblite."""


def make_command(**options: Any) -> CommandLabeler:
    pytest.importorskip("tblite", reason="tblite is not installed: pip install 'sparc_fw[xtb]'")
    given = {"script": XTB_SCRIPT, "code_version": "1"} | options
    return CommandLabeler(CommandOptions.model_validate(given), Settings())


def make_potential(**options: Any) -> PotentialLabeler:
    """Of the model that `built` names."""
    return PotentialLabeler(PotentialLabelerOptions.model_validate({"model_kind": "deepmd", **options}), Settings())


def make_emt(**options: Any) -> ASELabeler:
    return ASELabeler(ASEOptions.model_validate({"calculator": "emt", **options}), Settings())


PYSCF = pytest.param(make_pyscf, id="pyscf")
XTB = pytest.param(make_xtb, id="xtb")
CP2K = pytest.param(make_cp2k, id="cp2k", marks=pytest.mark.slow)
QE = pytest.param(make_qe, id="qe", marks=pytest.mark.slow)
COMMAND = pytest.param(make_command, id="command")
EMT = pytest.param(make_emt, id="emt", marks=pytest.mark.slow)
POTENTIAL = pytest.param(make_potential, id="potential", marks=pytest.mark.slow)
TOO_FEW_STEPS: dict[str, dict[str, Any]] = {
    "pyscf": {"max_cycle": 1, "second_order": False, "retries": {}},
    "xtb": {"max_iterations": 2, "retries": {}},
    "cp2k": {"max_scf": 2, "retries": {}},
    "qe": {"electron_maxstep": 2, "retries": {}},
}
"""The others converge nothing (a model), or tell of it in ways of their own, which their own tests know: a script by
its exit status, a calculator of ASE by its text."""
UNKNOWN_KEYWORD: dict[str, dict[str, Any]] = {
    "cp2k": {"overrides": {"FORCE_EVAL": {"DFT": {"NONSENSE": 1}}}},
    "qe": {"namelists": {"system": {"nonsense": 1}}},
    "command": {"script": "#!/bin/sh\necho 'unknown keyword: nonsense' >&2\nexit 3\n"},
    "ase": {"calculator": "ase.calculators.eam:EAM", "arguments": {"potential": "nonsense.alloy"}, "stress": False},
}
INPUTS = {"command": "input.extxyz", "ase": "job.json"}
"""What a crash leaves behind; of the others ``*.in*``."""
ENDLESS: dict[str, dict[str, Any]] = {
    "command": {"script": "#!/bin/sh\nexec sleep 60\n"},
    # The interpreter alone takes longer.
    "ase": {"timeout_seconds": 0.01},
    # Shorter than any calculation.
    "xtb": {"timeout_seconds": 1e-5},
    "pyscf": {"timeout_seconds": 1e-5},
    "potential": {"timeout_seconds": 1e-5},
}
NO_ELECTRONS = {"potential": "a model of nuclei alone counts no electrons: any charge or spin is refused"}


def bent_water() -> Atoms:
    """Water away from its minimum, without symmetry."""
    frame = molecule("H2O")
    frame.positions[1] += (0.05, 0.1, -0.08)
    return frame


def molecule_for(labeler: Labeler[Any]) -> Atoms:
    """A molecule without symmetry whose elements the labeler knows: the model learned NH3BH3."""
    return displaced(1)[0] if labeler.options.kind == "potential" else bent_water()


def built(make: Make, request: pytest.FixtureRequest, **options: Any) -> Labeler[Any]:
    """The labeler; that of a model has one that is trained once per session."""
    if make is make_potential:
        options["model_file"] = str(request.getfixturevalue("models")[0])
    return make(**options)


def crystal(kind: str) -> Atoms:
    """A cheap distorted crystal; plane waves converge faster for silicon than for hydrogen."""
    if kind == "ase":
        frame = bulk("Cu", cubic=True)
        frame.positions[0] += (0.1, 0.05, -0.08)
        return frame
    if kind == "potential":
        frame = displaced(1)[0]
        frame.set_cell([7.0, 7.5, 8.0])
        frame.pbc = True
        return frame
    if kind == "cp2k":
        frame = hydrogen()
        frame.set_cell([3.2, 3.0, 3.4])
        frame.pbc = True
        return frame
    frame = bulk("Si")
    frame.positions[1] += (0.05, 0.02, -0.03)
    return frame


def make_vasp(**options: Any) -> VASPLabeler:
    pytest.importorskip("custodian", reason="custodian is not installed: pip install 'sparc_fw[vasp]'")
    return VASPLabeler(VASPOptions(incar="ENCUT = 400"), vasp_settings(Path("vasp").absolute()))


def make_mopac(**options: Any) -> ASELabeler:
    if shutil.which("mopac") is None:
        pytest.skip("mopac is not installed: apt install mopac")
    arguments = {"method": "PM7", "task": "1SCF GRADIENTS"}
    return ASELabeler(ASEOptions(calculator="mopac", electrons="initial", arguments=arguments), Settings())


VASP = pytest.param(make_vasp, id="vasp")
MOPAC = pytest.param(make_mopac, id="mopac")


@pytest.fixture(params=[PYSCF, XTB, CP2K, QE])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture(params=[PYSCF, XTB, CP2K, QE, VASP, MOPAC, COMMAND, POTENTIAL])
def labeler(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Labeler[Any]]:
    """Open, as it is in a campaign."""
    labeler = built(request.param, request)
    with labeler.open(tmp_path / "label"):
        yield labeler


def test_forces_are_minus_the_slope_of_the_energy(labeler: Labeler[Any]) -> None:
    frame, step = molecule_for(labeler), 2e-3
    forces = labeler.label(frame).forces
    assert forces is not None
    for atom, axis in ((0, 2), (1, 0)):
        energies = []
        for sign in (1, -1):
            moved = frame.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(labeler.calculate(moved)[0])
        assert forces[atom, axis] == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=2e-3)


def test_a_label_says_how_it_came_about(labeler: Labeler[Any]) -> None:
    label = labeler.label(molecule_for(labeler))
    assert (label.status, label.reason, label.attempts) == ("ok", None, 1), label.message
    assert label.code == labeler.code
    assert label.version == labeler.version() != "not installed"
    assert label.key == labeler.key(molecule_for(labeler))
    assert label.seconds > 0
    assert label.stress is None, "a molecule has none"


def test_repeats_to_the_bit_whatever_was_labelled_before(labeler: Labeler[Any]) -> None:
    first = labeler.label(molecule_for(labeler))
    labeler.label(molecule("H2"))
    again = labeler.label(molecule_for(labeler))
    assert first.energy == again.energy
    assert first.forces is not None
    assert again.forces is not None
    assert first.forces.tobytes() == again.forces.tobytes()


def test_forces_are_in_the_order_of_the_atoms_and_like_ones_are_alike_where_it_is_said(labeler: Labeler[Any]) -> None:
    # Backwards: unlike atoms change places, and like ones, too.
    frame, mixed = molecule_for(labeler), molecule_for(labeler)[::-1]
    assert mixed.get_chemical_symbols() != frame.get_chemical_symbols()
    first, second = labeler.label(frame), labeler.label(mixed)
    assert first.energy is not None
    assert first.forces is not None
    # MOPAC's own SCF ends 1.3e-3 eV/Å away when hydrogen comes first.
    assert second.forces == pytest.approx(first.forces[::-1], abs=2e-3)
    assert second.energy == pytest.approx(first.energy, abs=1e-4)
    assert (first.key == second.key) == labeler.like_atoms_alike
    assert labeler.like_atoms_alike == (labeler.options.kind not in ("ase", "command"))
    handed_out = first.for_frame(mixed)
    assert handed_out.forces == pytest.approx(second.forces, abs=2e-3)
    assert handed_out.frame.get_chemical_symbols() == mixed.get_chemical_symbols()


@pytest.mark.parametrize("make", [XTB, CP2K, QE, COMMAND, EMT, POTENTIAL])
def test_stress_is_the_slope_of_the_energy_with_strain(
    make: Make, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # PySCF takes molecules alone, MOPAC gives no stress, and the fake VASP tells that of one frame.
    labeler = built(make, request)
    frame = crystal(labeler.options.kind)
    with labeler.open(tmp_path / "label"):
        label = labeler.label(frame)
        stress = label.stress
        assert stress is not None, label.message
        for component, (row, column) in ((0, (0, 0)), (3, (1, 2))):
            slope = slope_with_strain(labeler, frame, row, column)
            assert stress[component] == pytest.approx(slope, abs=2e-4)


def slope_with_strain(labeler: Labeler[Any], frame: Atoms, row: int, column: int) -> float:
    """Derivative of the energy by a symmetric strain, per volume, eV/Å^3, by central differences."""
    step, energies = 1e-3, []
    for sign in (1, -1):
        strain = np.eye(3)
        strain[row, column] += sign * step / 2
        strain[column, row] += sign * step / 2
        strained = frame.copy()
        strained.set_cell(frame.cell.array @ strain, scale_atoms=True)
        energies.append(labeler.calculate(strained)[0])
    return float((energies[0] - energies[1]) / (2 * step) / frame.get_volume())


def test_unconverged_is_a_failed_label(make: Make) -> None:
    kind = make().options.kind
    label = make(**TOO_FEW_STEPS[kind]).label(bent_water())
    assert (label.status, label.reason, label.energy, label.forces) == ("failed", "not_converged", None, None)
    assert "onverge" in label.message


@pytest.mark.parametrize("make", [CP2K, QE, COMMAND, EMT, XTB, PYSCF, POTENTIAL])
def test_a_calculation_that_takes_too_long_is_ended(make: Make, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kind = built(make, request).options.kind
    labeler = built(make, request, **{"timeout_seconds": 0.3, **ENDLESS.get(kind, {})})
    with labeler.open(tmp_path / "label"):
        label = labeler.label(molecule_for(labeler))
        assert (label.status, label.reason, label.energy) == ("failed", "timeout", None)
        assert processes_in(tmp_path) == []
    assert "longer than" in label.message


@pytest.mark.parametrize("make", [CP2K, QE, COMMAND, EMT])
def test_a_crash_is_told_in_the_words_of_the_code(make: Make, tmp_path: Path) -> None:
    kind = make().options.kind
    labeler = make(**UNKNOWN_KEYWORD[kind])
    with labeler.open(tmp_path / "label"):
        label = labeler.label(bent_water())
        assert (label.status, label.reason, label.energy) == ("failed", "crashed", None)
        assert "nonsense" in label.message.lower()
        inputs = INPUTS.get(kind, "*.in*")
        assert len(list((tmp_path / "label").glob(f"*-0/{inputs}"))) == 1, "the input stays for its user"


@pytest.mark.slow
def test_a_time_limit_changes_no_number() -> None:
    plain, limited = make_xtb(), make_xtb(timeout_seconds=600.0)
    assert limited.settings_hash == plain.settings_hash
    first, second = plain.label(bent_water()), limited.label(bent_water())
    assert (first.energy, first.key) == (second.energy, second.key)
    assert first.forces is not None
    assert second.forces is not None
    assert first.forces.tobytes() == second.forces.tobytes()
    failed = make_xtb(timeout_seconds=600.0, max_iterations=2, retries={}).label(bent_water())
    assert failed.reason == "not_converged"
    cation = bent_water()
    cation.info["charge"] = 1
    refused = limited.label(cation)
    assert (refused.reason, "found 0 unpaired electrons" in refused.message) == ("bad_input", True)
    beside = limited._beside
    assert beside is not None
    end_guarded(beside._process)
    lost = limited.label(bent_water())
    assert (lost.reason, "the process ended with status" in lost.message) == ("crashed", True)
    assert limited.label(bent_water()).energy == first.energy
    limited.close()


def processes_in(folder: Path) -> list[str]:
    """Processes that work in a folder or below."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve(strict=True).is_relative_to(folder) and process.name != str(os.getpid()):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_overlapping_atoms_fail_without_a_calculation(labeler: Labeler[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labeler, "calculate", lambda frame: pytest.fail("the code was started"))
    frame = molecule_for(labeler)
    frame.positions[1] = frame.positions[0] + (0.2, 0, 0)
    label = labeler.label(frame)
    assert (label.status, label.reason, label.energy, label.attempts) == ("failed", "overlap", None, 0)
    first, second = frame.get_chemical_symbols()[:2]
    assert f"atoms 0 ({first}) and 1 ({second}) are 0.200 Å apart" in label.message


def test_positions_that_are_not_finite_fail(labeler: Labeler[Any]) -> None:
    frame = molecule_for(labeler)
    frame.positions[2, 0] = np.nan
    assert labeler.label(frame).reason == "bad_input"


def skip_without_electrons(labeler: Labeler[Any]) -> None:
    if labeler.options.kind in NO_ELECTRONS:
        pytest.skip(NO_ELECTRONS[labeler.options.kind])


def test_odd_number_of_electrons_with_spin_0_is_refused(labeler: Labeler[Any]) -> None:
    skip_without_electrons(labeler)
    with pytest.raises(InputError, match="found 0 unpaired electrons for CH3 with charge 0, which has 9 electrons"):
        labeler.check(molecule("CH3"))


@pytest.mark.parametrize(("charge", "spin"), [(0, 1), (1, 0), (0, 12), (-1, 3)])
def test_charge_and_spin(labeler: Labeler[Any], charge: int, spin: int) -> None:
    frame = molecule_for(labeler)
    frame.info.update(charge=charge, spin=spin)
    if labeler.options.kind in NO_ELECTRONS:
        with pytest.raises(InputError, match=f"charge {charge} and spin {spin}, .* expected 0 and 0"):
            labeler.check(frame)
        return
    if (charge, spin) == (-1, 3):
        labeler.check(frame)
        return
    with pytest.raises(InputError, match="'spin' or 'charge' of the system"):
        labeler.check(frame)


def test_charge_and_spin_decide_numbers_and_key(labeler: Labeler[Any]) -> None:
    skip_without_electrons(labeler)
    neutral, cation = bent_water(), bent_water()
    cation.info.update(charge=1, spin=1)
    neutral_label, cation_label = labeler.label(neutral), labeler.label(cation)
    assert neutral_label.energy is not None
    assert cation_label.energy is not None
    # The vertical ionisation energy of water is 12.6 eV; xTB puts it some eV higher.
    assert 11 < cation_label.energy - neutral_label.energy < 19
    assert neutral_label.key != cation_label.key


def test_key_stays_under_a_change_of_nothing(labeler: Labeler[Any]) -> None:
    frame = molecule_for(labeler)
    shifted = molecule_for(labeler)
    shifted.positions += 1e-9
    shifted.info["note"] = "not physics"
    assert labeler.key(shifted) == labeler.key(frame)
    shifted.positions[0, 0] += 1e-4
    assert labeler.key(shifted) != labeler.key(frame)
