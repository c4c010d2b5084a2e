"""Quantum ESPRESSO: input, pseudopotentials, smearing, spin, retries."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.units import Bohr
from pydantic import ValidationError

from external_codes import CHEAP_QE, hydrogen, layer, qe
from sparc_fw.errors import InputError
from sparc_fw.labelers.qe import QELabeler, QEOptions
from sparc_fw.settings import Settings


def labeler(settings: Settings | None = None, **options: Any) -> QELabeler:
    return QELabeler(QEOptions.model_validate(CHEAP_QE | options), settings or Settings())


def input_lines(frame: Atoms, **options: Any) -> list[str]:
    return [" ".join(line.split()) for line in labeler(**options).input_text(frame).splitlines()]


def test_input_of_a_molecule() -> None:
    frame = molecule("O2")
    frame.info.update(charge=1, spin=1)
    lines = input_lines(frame, smearing="gaussian", smearing_width_eV=0.2, namelists={"system": {"nbnd": 14}})
    wanted = {"tot_charge = 1", "nspin = 2", "tot_magnetization = 1", "assume_isolated = 'martyna-tuckerman'"}
    assert wanted | {"K_POINTS gamma", "nbnd = 14", "tstress = .false.", "nat = 2"} <= set(lines)
    (width,) = [line for line in lines if line.startswith("degauss")]
    assert float(width.split()[-1]) * 13.605693 == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(
    ("spacing", "pbc", "grid"), [(0.5, True, "4 4 2"), (1.1, True, "2 2 1"), (0.5, (True, True, False), "4 4 1")]
)
def test_grid_of_kpoints_from_their_distance(spacing: float, pbc: Any, grid: str) -> None:
    # Reciprocal vectors of 1.57, 1.57 and 0.79 per Å.
    lines = input_lines(Atoms("H2", cell=[4, 4, 8], pbc=pbc), kpoints=None, kpoint_spacing_per_A=spacing)
    assert lines[lines.index("K_POINTS automatic") + 1] == f"{grid} 0 0 0"


def test_missing_pseudopotential_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pseudopotentials: found none for element F"):
        labeler().check(molecule("HF"))
    elsewhere = labeler(Settings(pseudo_dir=tmp_path), pseudopotentials={"H": "H.none.UPF"})
    assert f"found no file {tmp_path / 'H.none.UPF'}, the pseudopotential of H" in elsewhere.missing()[-1]


def test_without_pw_it_says_how_to_get_it() -> None:
    sentence = labeler(Settings(pw_command="no-such-pw.x")).missing()[0]
    assert "apt install quantum-espresso" in sentence
    assert "SPARC_FW_PW_COMMAND" in sentence


def test_soft_pseudopotentials_need_a_cut_off_of_the_density(tmp_path: Path) -> None:
    (tmp_path / "H.UPF").write_text('<UPF version="2.0.1">\n<PP_HEADER\npseudo_type="PAW"\n')
    options: dict[str, Any] = {"pseudopotentials": {"H": "H.UPF"}, "ecutwfc_Ry": 40.0}
    with pytest.raises(InputError, match=r"ecutrho_Ry: .* H\.UPF, which is ultrasoft or PAW; expected .* 320 to 480"):
        labeler(Settings(pseudo_dir=tmp_path), **options, ecutrho_Ry=None).check(hydrogen())
    labeler(Settings(pseudo_dir=tmp_path), **options, ecutrho_Ry=400.0).check(hydrogen())


@pytest.mark.parametrize("namelists", [{"system": {"NAT": 3}}, {"ions": {}}, {"electrons": {"x": [1]}}])
def test_namelists_that_cannot_work_are_refused(namelists: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="namelists"):
        QEOptions(pseudopotentials={}, namelists=namelists)


@pytest.mark.parametrize(
    ("system", "spin", "told"),
    [
        ({"tot_charge": 1}, 0, "tot_charge: found 1 .* expected 0"),
        ({"NSPIN": 2, "tot_magnetization": 2}, 0, "tot_magnetization: found 2 .* expected 0"),
        ({"nspin": 2}, 0, "nspin: found 2 .* expected 1"),
        ({"nspin": 1}, 2, "nspin: found 1 .* expected 2"),
        ({"tot_magnetization": -1}, 2, "tot_magnetization: found -1 .* charge 0 and spin 2, expected 2"),
        ({"nspin": 2, "tot_magnetization": 2}, 2, None),
        ({"nspin": 2, "tot_magnetization": 0, "starting_magnetization(1)": 0.5}, 0, None),
    ],
)
def test_electrons_that_contradict_the_frame_are_refused(system: dict[str, Any], spin: int, told: str | None) -> None:
    frame = hydrogen()
    frame.info["spin"] = spin
    by_words = labeler(namelists={"system": system})
    if told is None:
        by_words.check(frame)
        return
    with pytest.raises(InputError, match=rf"labeler qe: namelists\.system\.{told}"):
        by_words.check(frame)


def test_machine_settings_are_not_part_of_the_key(tmp_path: Path) -> None:
    (tmp_path / "H.UPF").write_text("a pseudopotential")
    table = {"H": "H.UPF"}
    here = labeler(Settings(pseudo_dir=tmp_path), pseudopotentials=table)
    there = labeler(Settings(pw_command="srun pw.x", pseudo_dir=tmp_path, cores=16), pseudopotentials=table)
    assert here.key(hydrogen()) == there.key(hydrogen())
    assert there.cores == 16


@pytest.mark.slow
def test_an_scf_that_did_not_converge_is_rescued() -> None:
    wanted = qe().label(hydrogen())
    rescued = qe(electron_maxstep=3).label(hydrogen())
    assert (rescued.status, rescued.attempts) == ("ok", 3)
    assert rescued.energy == pytest.approx(wanted.energy, abs=1e-6)


def test_a_slab_is_cut_off_from_its_images_or_repeated_as_its_cell_says() -> None:
    cut = input_lines(layer(0.0, 1.0), vacuum_A=2.0, kpoints=(3, 3, 3))
    assert {"assume_isolated = '2D'", "tstress = .false.", "3 3 1 0 0 0"} <= set(cut)
    assert cut == input_lines(layer(30.0, -9.0), vacuum_A=2.0, kpoints=(3, 3, 3))
    assert float(cut[cut.index("CELL_PARAMETERS bohr") + 3].split()[-1]) * Bohr == pytest.approx(11.0)
    repeated = input_lines(layer(15.0, 1.0), assume_isolated="none")
    assert {"tstress = .true.", "2 2 2 0 0 0"} <= set(repeated)
    assert not [line for line in repeated if "assume_isolated" in line]
    with pytest.raises(InputError, match=r"labeler qe: found a partly periodic frame, pbc \[True, False, False\]"):
        labeler().check(Atoms("H2", cell=[3, 9, 9], pbc=(True, False, False)))


@pytest.mark.slow
def test_a_slab_cut_off_from_its_images_has_the_numbers_of_one_far_from_them() -> None:
    options: dict[str, Any] = {"kpoints": (1, 1, 1), "ecutwfc_Ry": 15.0, "ecutrho_Ry": 60.0}
    cut = qe(**options, vacuum_A=2.0).label(layer(0.0, 0.0))
    far = qe(**options, assume_isolated="none").label(layer(16.0, 8.0))
    assert (cut.status, cut.stress) == ("ok", None), cut.message
    assert far.stress is not None
    assert cut.energy == pytest.approx(far.energy, abs=5e-3)
    assert cut.forces == pytest.approx(far.forces, abs=5e-2)


@pytest.mark.slow
def test_triplet_hydrogen_lies_above_singlet() -> None:
    singlet, triplet = hydrogen(), hydrogen()
    triplet.info["spin"] = 2
    low, high = qe().label(singlet).energy, qe().label(triplet).energy
    assert low is not None
    assert high is not None
    assert 8 < high - low < 13


@pytest.mark.slow
def test_with_smearing_forces_are_the_slope_of_the_free_energy() -> None:
    frame, step = bulk("Si"), 2e-3
    frame.positions[1] += (0.3, 0.1, -0.2)
    hot = qe(smearing="fermi-dirac", smearing_width_eV=1.0)
    forces = hot.label(frame).forces
    assert forces is not None
    energies = []
    for sign in (1, -1):
        moved = frame.copy()
        moved.positions[1, 0] += sign * step
        energies.append(hot.calculate(moved)[0])
    assert forces[1, 0] == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=2e-3)


@pytest.mark.slow
def test_a_program_that_is_not_pw_has_crashed(tmp_path: Path) -> None:
    false = shutil.which("false")
    assert false is not None
    qe()
    label = labeler(Settings(pw_command=false)).label(hydrogen())
    assert (label.status, label.reason, label.version) == ("failed", "crashed", "unknown")
