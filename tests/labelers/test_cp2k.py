"""CP2K: how input is made, retries, refusals, and a process that lasts."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Bohr
from pydantic import ValidationError

from external_codes import cp2k, hydrogen, layer
from sparc_fw.errors import InputError
from sparc_fw.labelers import cp2k as module
from sparc_fw.labelers.base import LabelError
from sparc_fw.labelers.cp2k import CP2KLabeler, CP2KOptions
from sparc_fw.labelers.cp2k_input import BUILT_IN
from sparc_fw.labelers.cp2k_output import check_convergence
from sparc_fw.labelers.cp2k_shell import CP2KShell
from sparc_fw.processes import lives
from sparc_fw.settings import Settings


def input_lines(frame: Atoms, **options: Any) -> list[str]:
    text = CP2KLabeler(CP2KOptions.model_validate(options), Settings()).input_text(frame)
    return [line.strip() for line in text.splitlines()]


TEMPLATE = """
&FORCE_EVAL ! a comment
  &DFT
    UKS F
    &SCF
      MAX_SCF 7
    &END
    &XC
      &XC_FUNCTIONAL
        &PBE
          PARAMETRIZATION REVPBE
        &END
      &END
    &END
  &END
  &SUBSYS
    &KIND DEFAULT
      BASIS_SET DZVP-GTH
      POTENTIAL GTH-PBE
    &END
    &KIND O
      BASIS_SET TZV2P-GTH
      BASIS_SET RI_AUX RI_TZ
    &END
  &END
&END
"""


def test_keys_win_over_the_template_and_overrides_over_keys() -> None:
    water = molecule("H2O")
    as_written = input_lines(water, template=TEMPLATE)
    assert {"MAX_SCF 7", "PARAMETRIZATION REVPBE", "BASIS_SET DZVP-GTH", "BASIS_SET TZV2P-GTH"} <= set(as_written)
    assert as_written.count("POTENTIAL GTH-PBE") == 2
    keys = {"max_scf": 9, "functional": "BLYP", "basis_set": "SZV-GTH"}
    changed = input_lines(water, template=TEMPLATE, **keys)
    assert {"MAX_SCF 9", "&XC_FUNCTIONAL BLYP", "BASIS_SET RI_AUX RI_TZ"} <= set(changed)
    assert (changed.count("BASIS_SET SZV-GTH"), changed.count("POTENTIAL GTH-BLYP")) == (2, 2)
    assert "PARAMETRIZATION REVPBE" not in changed
    overrides = {"FORCE_EVAL": {"DFT": {"SCF": {"MAX_SCF": 11, "OT": {"_": True, "MINIMIZER": "DIIS"}}}}}
    assert {"MAX_SCF 11", "&OT T"} <= set(input_lines(water, template=TEMPLATE, overrides=overrides, **keys))


def test_charge_spin_and_boundaries_come_from_the_frame() -> None:
    frame = molecule("O2")
    frame.info.update(charge=1, spin=1)
    isolated = input_lines(frame, template=TEMPLATE, vacuum_A=3.0)
    assert {"CHARGE 1", "MULTIPLICITY 2", "UKS T", "PSOLVER WAVELET", "STRESS_TENSOR NONE"} <= set(isolated)
    assert "UKS F" not in isolated
    assert isolated.count("PERIODIC NONE") == 2
    frame.set_cell([4, 5, 6])
    frame.pbc = True
    periodic = input_lines(frame)
    assert {"PSOLVER PERIODIC", "STRESS_TENSOR ANALYTICAL"} <= set(periodic)
    assert periodic.count("PERIODIC XYZ") == 2


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("&DFT\n&END", "found 0 sections FORCE_EVAL"),
        ("&FORCE_EVAL\n&DFT\n&END", r"found 1 section\(s\) without &END"),
        ("&END", "line 1: found '&END' without the section"),
        ("@SET A 1\n&FORCE_EVAL\n&END", "line 1: found '@SET A 1': the preprocessor"),
    ],
)
def test_a_template_that_is_no_input_is_refused(template: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        CP2KOptions(template=template)


def test_a_template_read_from_a_file_is_looked_at_too() -> None:
    read = CP2KOptions(template_file="t.inp").model_copy(update={"template": "&DFT\n&END", "template_file": None})
    with pytest.raises(InputError, match="labeler cp2k: template: found 0 sections FORCE_EVAL"):
        CP2KLabeler(read, Settings()).check(molecule("H2O"))


def test_the_template_decides_the_key() -> None:
    frame = molecule("H2O")
    changed = BUILT_IN.replace("CUTOFF 600", "CUTOFF 500")
    labelers = [CP2KLabeler(options, Settings()) for options in (CP2KOptions(), CP2KOptions(template=changed))]
    assert labelers[0].options.template
    assert len({labeler.key(frame) for labeler in labelers}) == 2
    elsewhere = CP2KLabeler(CP2KOptions(), Settings(cp2k_command="mpirun -n 8 cp2k.psmp -s", cores=8))
    assert elsewhere.key(frame) == labelers[0].key(frame)


@pytest.mark.parametrize(
    ("output", "ok"),
    [
        ("  *** SCF run converged in    11 steps ***", True),
        (
            "  Leaving inner SCF loop after reaching 5 steps.\n  outer SCF loop converged in 2 iterations or 9 steps",
            True,
        ),
        (" *** WARNING in qs_scf.F:601 :: SCF run NOT converged ***", False),
        ("  outer SCF loop FAILED to converge after 2 iterations or 9 steps", False),
        ("  ENERGY| Total FORCE_EVAL ( QS ) energy", False),
    ],
)
def test_only_what_says_that_it_converged_did(output: str, ok: bool) -> None:
    if ok:
        check_convergence(output)
        return
    with pytest.raises(LabelError) as caught:
        check_convergence(output)
    assert caught.value.reason == "not_converged"


def test_orbital_transformation_does_not_smear() -> None:
    smeared = {"FORCE_EVAL": {"DFT": {"SCF": {"SMEAR": {"_": True}}}}}
    template = "&FORCE_EVAL\n&DFT\n&SCF\n&SMEAR ON\n&END\n&END\n&END\n&END"
    assert "&SMEAR T" in input_lines(hydrogen(), overrides=smeared)
    with pytest.raises(LabelError, match="needs whole occupations"):
        input_lines(hydrogen(), template=template, scf="ot")


@pytest.mark.slow
def test_an_scf_that_did_not_converge_is_rescued() -> None:
    wanted = cp2k().label(hydrogen()).energy
    by_mixing = cp2k(max_scf=2).label(hydrogen())
    by_ot = cp2k(max_scf=2, retries={"not_converged": [{"scf": "ot", "max_scf": 20}]}).label(hydrogen())
    for rescued in (by_mixing, by_ot):
        assert (rescued.status, rescued.attempts) == ("ok", 2)
        assert rescued.energy == pytest.approx(wanted, abs=1e-6)


@pytest.mark.slow
def test_one_process_labels_many_frames_as_many_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [hydrogen(), Atoms("He"), hydrogen()]
    frames[2].positions[1, 2] += 0.2
    apart = [cp2k().label(frame) for frame in frames]
    monkeypatch.setattr(module, "_MOST_FRAMES", 2)
    labeler, processes = cp2k(), []
    with labeler.open(tmp_path / "label"):
        for frame, other in zip(frames, apart, strict=True):
            label = labeler.label(frame)
            processes.append(labeler._shell)
            assert label.energy == other.energy
            assert label.forces is not None
            assert other.forces is not None
            assert label.forces.tobytes() == other.forces.tobytes()
    assert labeler._shell is None
    assert processes[0] is not None
    assert processes[1] is None, "that one was full"


def test_what_its_launcher_started_ends_with_a_killed_shell(tmp_path: Path) -> None:
    launcher = tmp_path / "launcher"
    escape = "(setsid sh -c 'echo $$ > pid; exec sleep 60' &) &\nwhile ! [ -s pid ]; do sleep 0.02; done"
    launcher.write_text(f"#!/bin/sh\n{escape}\necho '* READY'\nwhile read line; do echo '* READY'; done\n")
    launcher.chmod(0o700)
    shell = CP2KShell([str(launcher)], dict(os.environ), tmp_path, time.monotonic() + 30)
    escaped = int((tmp_path / "pid").read_text())
    assert lives(escaped)
    shell.kill()
    assert not lives(escaped)


@pytest.mark.slow
def test_a_killed_process_fails_its_label_alone(tmp_path: Path) -> None:
    labeler = cp2k()
    with labeler.open(tmp_path / "label"):
        assert labeler.label(hydrogen()).status == "ok"
        assert labeler._shell is not None
        labeler._shell._process.kill()
        label = labeler.label(hydrogen())
        assert (label.status, label.reason) == ("failed", "crashed")
        assert "exit status -9" in label.message
        assert labeler.label(hydrogen()).status == "ok"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frame", "options", "told"),
    [
        ("H2O", {"basis_set": "DZVP-NONE"}, "requested basis set <DZVP-NONE> for element <[HO]>"),
        ("H2O", {"overrides": {"FORCE_EVAL": {"DFT": {"CHRAGE": 1}}}}, "unknown keyword CHRAGE in section DFT"),
    ],
)
def test_what_cp2k_refuses_is_told_before_anything_is_computed(frame: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=f"CP2K refuses the input: .*{told}"):
        cp2k(**options).check(molecule(frame))


def test_without_cp2k_it_says_how_to_get_it() -> None:
    labeler = CP2KLabeler(CP2KOptions(), Settings(cp2k_command="no-such-cp2k"))
    (sentence,) = labeler.missing()
    assert "apt install cp2k" in sentence
    assert "SPARC_FW_CP2K_COMMAND" in sentence
    labeler.check(molecule("H2O"))


SMEARED = {"FORCE_EVAL": {"DFT": {"SCF": {"SMEAR": {"_": True}}}}}


@pytest.mark.parametrize("options", [{"smearing_K": 500.0}, {"overrides": SMEARED}])
def test_a_metals_cell_may_hold_an_odd_number_of_electrons(options: dict[str, Any]) -> None:
    lithium = Atoms("Li", cell=[3, 3, 3], pbc=True)
    without = CP2KLabeler(CP2KOptions(), Settings(cp2k_command="no-such-cp2k"))
    with pytest.raises(InputError, match="or set the labeler's 'smearing_K' for a metal"):
        without.check(lithium)
    labeler = CP2KLabeler(CP2KOptions.model_validate(options), without.settings)
    labeler.check(lithium)
    lines = input_lines(lithium, **options)
    assert {"UKS T", "MULTIPLICITY 2"} <= set(lines)
    assert not [line for line in lines if line.startswith("FIXED_MAGNETIC_MOMENT")]
    lithium.info["spin"] = 1
    assert {"UKS T", "MULTIPLICITY 2", "FIXED_MAGNETIC_MOMENT 1"} <= set(input_lines(lithium, **options))
    assert "UKS T" not in input_lines(Atoms("Li2", cell=[3, 3, 6], pbc=True), **options)
    with pytest.raises(InputError, match=r"'spin' or 'charge' of the system$"):
        labeler.check(Atoms("Li"))


def test_smearing_fills_orbitals_by_diagonalization() -> None:
    template = BUILT_IN.replace("MAX_SCF 60", "MAX_SCF 60\n&OT\n&END OT")
    lines = input_lines(Atoms("Li8", cell=[9, 9, 9], pbc=True), template=template, smearing_K=500.0)
    assert {"&SMEAR T", "METHOD FERMI_DIRAC", "ELECTRONIC_TEMPERATURE [K] 500", "ADDED_MOS 16"} <= set(lines)
    assert "&OT" not in lines


@pytest.mark.parametrize(("solver", "chosen"), [("WAVELET", "ANALYTIC"), ("MT", "MT")])
def test_a_slab_is_isolated_along_z(solver: str, chosen: str) -> None:
    overrides = {"FORCE_EVAL": {"DFT": {"POISSON": {"PSOLVER": solver}}}}
    lines = input_lines(layer(0.0, 3.0), overrides=overrides, vacuum_A=3.0)
    assert {f"PSOLVER {chosen}", "STRESS_TENSOR NONE"} <= set(lines)
    assert lines.count("PERIODIC XY") == 2
    height = next(line for line in lines if line.startswith("C [bohr]")).split()
    # Twice its 0.8 Å, and 3 Å at both ends.
    assert float(height[-1]) * Bohr == pytest.approx(8.0)
    assert lines == input_lines(layer(50.0, 3.0), overrides=overrides, vacuum_A=3.0)


TILTED = [[3, 0, 1], [0, 3, 0], [0, 0, 9]]


@pytest.mark.parametrize(
    ("pbc", "cell"),
    [
        ((True, False, False), [3, 3, 9]),
        ((True, False, True), [3, 9, 3]),
        ((True, True, False), TILTED),
    ],
)
def test_what_is_no_slab_in_the_plane_is_refused(pbc: Any, cell: Any) -> None:
    with pytest.raises(InputError, match=r"expected a slab in the xy-plane .* turn it, or, with vacuum"):
        CP2KLabeler(CP2KOptions(), Settings()).check(Atoms("He", cell=cell, pbc=pbc))


@pytest.mark.slow
def test_a_slab_has_the_numbers_of_one_whose_images_are_far() -> None:
    slab = cp2k().label(layer(0.0, 0.0))
    assert (slab.status, slab.stress) == ("ok", None), slab.message
    # As high as the slab's own box, so that the grids are the same.
    crystal = layer(7.0, 0.0)
    crystal.positions[:, 2] += 3.5 - crystal.positions[:, 2].mean()
    crystal.pbc = True
    far = cp2k().label(crystal)
    assert slab.energy == pytest.approx(far.energy, abs=5e-3)
    assert slab.forces == pytest.approx(far.forces, abs=5e-3)
    assert slab.forces is not None
    assert slab.forces[:, 2].sum() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.slow
def test_the_odd_electron_of_a_metals_cell_is_calculated_with_and_without_spin() -> None:
    energies = []
    for spin in (0, 1):
        metal = Atoms("H", cell=[2.6, 2.6, 2.6], pbc=True, info={"spin": spin})
        label = cp2k(basis_set="DZVP-MOLOPT-SR-GTH", smearing_K=5000.0, added_orbitals=4).label(metal)
        assert label.status == "ok", label.message
        assert label.forces is not None
        assert np.abs(label.forces).max() < 1e-3
        energies.append(label.energy)
    # Alone, it is unpaired in either case.
    assert energies[0] == pytest.approx(energies[1], abs=1e-4)


def test_a_periodic_frame_needs_a_cell() -> None:
    with pytest.raises(InputError, match="without three cell vectors"):
        CP2KLabeler(CP2KOptions(), Settings()).check(Atoms("He", cell=[3, 3, 0], pbc=True))
