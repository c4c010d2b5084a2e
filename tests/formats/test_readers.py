"""What each reader takes from real outputs, and what it refuses. The outputs were made for this test: hydrogen and
water in a box by CP2K 2023.1 (GFN1-xTB), hydrogen by Quantum ESPRESSO 6.7 (LDA)."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.units import Bohr, GPa, Hartree, Rydberg

from sparc_fw.documents import Label
from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.formats.base import Reading
from sparc_fw.formats.reading import kind_of, read_labels
from sparc_fw.geometry.files import Files
from vasp_outputs import NELM, write_vasprun

OUTPUTS = Path(__file__).parent / "outputs"


def only(readings: list[Reading]) -> Label:
    assert len(readings) == 1
    assert readings[0].label is not None, readings[0].message
    return readings[0].label


def boxed(count: int = 2) -> list[Atoms]:
    """Water in a box with numbers that no two frames share."""
    frames = []
    rng = np.random.default_rng(1)
    for number in range(count):
        frame = molecule("H2O", vacuum=4.0, pbc=True)
        frame.positions += 0.01 * number
        results = {"energy": -14.0 - number, "forces": rng.normal(size=(3, 3)), "stress": rng.normal(size=6) / 100}
        frame.calc = SinglePointCalculator(frame, **results)
        frames.append(frame)
    return frames


def test_cp2k_energy_forces_and_stress() -> None:
    label = only(read_labels(OUTPUTS / "cp2k.out"))
    assert label.frame.get_chemical_symbols() == ["H", "H", "O", "H", "H"]
    assert label.frame.cell.lengths() == pytest.approx([6, 6, 6])
    assert label.frame.pbc.all()
    assert label.energy == pytest.approx(-6.773659054388403 * Hartree)
    assert label.forces is not None
    assert label.forces[2] == pytest.approx(np.array([-0.22119686, -0.05369767, 0.01583115]) * Hartree / Bohr)
    assert label.stress is not None
    expected = np.array([7.69067384301, 1.19246739512, -0.440524704618, 0.404487634456, -1.28592759236, 0.146316097904])
    assert label.stress == pytest.approx(-expected * GPa)
    assert (label.code, label.version) == ("cp2k", "2023.1")


@pytest.mark.parametrize("name", ["cp2k_not_converged.out", "qe_not_converged.out"])
def test_an_scf_that_did_not_converge_is_refused(name: str) -> None:
    readings = read_labels(OUTPUTS / name)
    assert [(reading.reason, reading.label) for reading in readings] == [("not_converged", None)]


def test_cp2k_dynamics(tmp_path: Path) -> None:
    readings = read_labels(OUTPUTS / "cp2k_md")
    labels = [reading.label for reading in readings if reading.label is not None]
    assert len(labels) == len(readings) == 5
    assert labels[0].energy == pytest.approx(-6.7736590544 * Hartree)
    assert labels[0].forces is not None
    assert labels[0].forces[2] == pytest.approx(
        np.array([-0.22119686, -0.05369767, 0.01583115]) * Hartree / Bohr, abs=1e-6
    )
    folder = tmp_path / "run"
    shutil.copytree(OUTPUTS / "cp2k_md", folder)
    log = (folder / "md.out").read_text()
    (folder / "md.out").write_text(log.replace("SCF run converged in     5", "SCF run NOT converged in 5"))
    assert [reading.reason for reading in read_labels(folder)] == ["", "", "", "not_converged", ""]


def test_quantum_espresso() -> None:
    label = only(read_labels(OUTPUTS / "qe.out"))
    assert label.energy == pytest.approx(-2.23467475 * Rydberg, abs=1e-5)
    assert label.forces is not None
    assert label.forces.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)
    # ibrav=0, cell 4.5 x 4 x 4 Å: compressed by its own images, P = -42.53 kbar.
    assert label.stress is not None
    assert label.stress[:3].mean() == pytest.approx(4.253 * GPa, abs=1e-4)
    assert (label.code, label.version) == ("qe", "6.7MaX")


def test_vasp_steps_that_used_up_nelm_are_refused(tmp_path: Path) -> None:
    frames = boxed(3)
    write_vasprun(tmp_path / "vasprun.xml", frames, [7, NELM, 9])
    readings = read_labels(tmp_path)
    assert [reading.reason for reading in readings] == ["", "not_converged", ""]
    label = readings[2].label
    assert label is not None
    # The free energy, not the one extrapolated to zero smearing.
    assert label.energy == pytest.approx(-16.0)
    assert label.forces == pytest.approx(frames[2].calc.results["forces"])
    assert label.stress == pytest.approx(frames[2].calc.results["stress"], abs=1e-8)
    assert label.frame.positions == pytest.approx(frames[2].positions)
    assert (label.code, label.version) == ("vasp", "6.0.0")


def test_atomate_folders_are_walked_and_unpacked(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / "block" / f"launcher_{number}"
        folder.mkdir(parents=True)
        write_vasprun(folder / "plain", boxed(1), [5])
        with gzip.open(folder / "vasprun.xml.gz", "wb") as stream:
            stream.write((folder / "plain").read_bytes())
        (folder / "FW.json.gz").write_bytes(b"")
    (tmp_path / "block" / "launcher_1" / "vasprun.xml.gz").write_bytes(gzip.compress(b"<modeling><calc"))
    readings = read_labels(tmp_path)
    assert [reading.reason for reading in readings] == ["", "unreadable", ""]


def test_vasp_restores_the_order_of_atoms(tmp_path: Path) -> None:
    frame = boxed(1)[0]
    write_vasprun(tmp_path / "vasprun.xml", [frame], [5])
    # The user's structure was H, O, H: ASE notes for each of its atoms where it went.
    (tmp_path / "ase-sort.dat").write_text("1 1\n0 0\n2 2\n")
    label = only(read_labels(tmp_path / "vasprun.xml"))
    assert label.frame.get_chemical_symbols() == ["H", "O", "H"]
    assert label.forces == pytest.approx(frame.calc.results["forces"][[1, 0, 2]])


def test_outcar_and_vasprun_of_a_real_run_agree(test_data: Path) -> None:
    folder = test_data / "nh3bh3_sparc" / "vasp"
    one, other = (only(read_labels(folder / name)) for name in ("vasprun.xml", "OUTCAR"))
    assert one.energy == other.energy == pytest.approx(-35.44986034)
    assert one.forces == pytest.approx(other.forces, abs=1e-5)
    assert one.stress == pytest.approx(other.stress, abs=1e-7)


def test_deepmd_folder_of_a_real_run(test_data: Path) -> None:
    readings = read_labels(test_data / "nh3bh3_sparc" / "DeePMD_training")
    assert len(readings) == 200
    assert all(reading.label is not None and reading.label.frame.pbc.all() for reading in readings)


def test_ani_1x_names_and_units(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'sparc_fw[formats]'")
    rng = np.random.default_rng(2)
    coordinates, forces = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3, 3))
    with h5py.File(tmp_path / "ani.h5", "w") as file:
        group = file.create_group("H2O")
        group["atomic_numbers"], group["coordinates"] = [8, 1, 1], coordinates
        group["wb97x_dz.energy"], group["wb97x_dz.forces"] = [-76.1, -76.2], forces
    readings = read_labels(tmp_path / "ani.h5")
    label = readings[1].label
    assert label is not None
    assert label.energy == pytest.approx(-76.2 * Hartree)
    assert label.forces == pytest.approx(forces[1] * Hartree)
    assert not label.frame.pbc.any()


def test_other_names_of_energy_and_forces(tmp_path: Path) -> None:
    frame = molecule("H2O")
    frame.info["REF_energy"], frame.arrays["REF_forces"] = -5.0, np.ones((3, 3))
    write(tmp_path / "mace.xyz", frame, format="extxyz")
    assert only(read_labels(tmp_path / "mace.xyz")).energy is None
    label = only(read_labels(tmp_path / "mace.xyz", energy_key="REF_energy", forces_key="REF_forces"))
    assert label.energy == -5.0
    assert label.forces == pytest.approx(np.ones((3, 3)))


def test_broken_and_unknown_files(tmp_path: Path) -> None:
    (tmp_path / "broken.extxyz").write_text("3\nProperties=species:S:1\nH\n")
    assert [reading.reason for reading in read_labels(tmp_path / "broken.extxyz")] == ["unreadable"]
    (tmp_path / "note.txt").write_text("no labels here")
    empty = tmp_path / "nowhere"
    empty.mkdir()
    with pytest.raises(InputError, match="found nothing in this folder"):
        read_labels(empty)
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "absent.extxyz")
    with pytest.raises(InputError, match="expected one of extxyz"):
        read_labels(tmp_path / "note.txt", "unheard-of")


def test_a_broken_system_does_not_hide_what_lies_beside_it(tmp_path: Path) -> None:
    shutil.copy(OUTPUTS / "cp2k.out", tmp_path)
    system = tmp_path / "system"
    (system / "set.000").mkdir(parents=True)
    (system / "type.raw").write_text("0\none\n")
    (system / "type_map.raw").write_text("H\n")
    readings = read_labels(tmp_path)
    assert [reading.reason for reading in readings] == ["unreadable", ""]
    assert readings[0].message.startswith("as deepmd: ValueError")


def test_a_folder_that_needs_a_package_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(OUTPUTS / "cp2k.out", tmp_path)
    (tmp_path / "labels.h5").write_bytes(b"")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="pip install"):
        read_labels(tmp_path)
    with pytest.raises(MissingDependency, match="need the Python package 'dpdata'"):
        read_labels(tmp_path / "cp2k.out", "dpdata:cp2k/output")


def test_dpdata_reads_what_has_no_reader_here(tmp_path: Path) -> None:
    pytest.importorskip("dpdata", reason="dpdata is not installed: pip install 'sparc_fw[formats]'")
    frames = boxed(2)
    write_vasprun(tmp_path / "vasprun.xml", frames, [5, 5])
    readings = read_labels(tmp_path / "vasprun.xml", "dpdata:vasp/xml")
    assert [reading.place for reading in readings] == ["frame 0", "frame 1"]
    for reading, frame in zip(readings, frames, strict=True):
        label = reading.label
        assert label is not None
        assert label.code == "vasp/xml"
        assert label.frame.get_chemical_symbols() == frame.get_chemical_symbols()
        assert label.frame.pbc.all()
        assert label.energy == pytest.approx(frame.calc.results["energy"])
        assert label.forces == pytest.approx(frame.calc.results["forces"], abs=1e-6)
        assert label.stress == pytest.approx(frame.calc.results["stress"], abs=1e-6)


def test_labelled_sources_read_every_kind_and_count_what_they_refuse(tmp_path: Path) -> None:
    write_vasprun(tmp_path / "vasprun.xml", boxed(3), [7, NELM, 9])
    files = Files.read(["vasprun.xml"], tmp_path, labelled=["vasprun.xml"])
    again = Files.unpack(files.pack())
    assert len(again.frames("vasprun.xml")) == 2
    assert again.refused("vasprun.xml") == {"not_converged": 1}


def test_kinds_are_found_out() -> None:
    assert kind_of(OUTPUTS / "cp2k.out") == "cp2k"
    assert kind_of(OUTPUTS / "qe.out") == "espresso"
    assert kind_of(Path("x/OUTCAR.relax2.gz")) == "outcar"
    assert kind_of(Path("vasprun.xml.relax1.gz")) == "vasprun"
