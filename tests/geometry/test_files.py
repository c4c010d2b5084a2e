"""Frames of files: read by any format, packed to the bit, and refused with the file's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write

from sparc_fw.errors import InputError
from sparc_fw.geometry.files import Files


def labelled_water(seed: int) -> Atoms:
    rng = np.random.default_rng(seed)
    frame = molecule("H2O")
    frame.positions += rng.normal(0, 0.1, (3, 3))
    frame.calc = SinglePointCalculator(frame, energy=float(rng.normal()), forces=rng.normal(size=(3, 3)))
    return frame


@pytest.fixture
def files(tmp_path: Path) -> Files:
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.05, seed=1)
    crystal.calc = EMT()
    crystal.get_stress()
    write(tmp_path / "water.extxyz", [labelled_water(seed) for seed in range(5)])
    write(tmp_path / "mixed.traj", [molecule("NH3"), crystal, labelled_water(9), molecule("H2")])
    write(tmp_path / "plain.xyz", molecule("CH4"))
    return Files.read(["water.extxyz", "mixed.traj", "plain.xyz"], tmp_path)


def test_reads_every_frame_with_its_numbers(files: Files) -> None:
    assert [len(files.frames(path)) for path in files.paths] == [5, 4, 1]
    water = files.frames("water.extxyz")[3]
    assert water.get_potential_energy() == pytest.approx(labelled_water(3).get_potential_energy(), abs=1e-8)
    assert water.get_forces() == pytest.approx(labelled_water(3).get_forces(), abs=1e-7)
    assert [frame.calc is not None for frame in files.frames("mixed.traj")] == [False, True, True, False]


@pytest.mark.parametrize(("index", "count"), [(":", 5), ("::2", 3), ("-1", 1), ("1:3", 2)])
def test_index_as_ase_writes_it(files: Files, index: str, count: int) -> None:
    assert len(files.frames("water.extxyz", index)) == count


@pytest.mark.parametrize("index", ["7", "5:", "every second"])
def test_index_that_chooses_nothing_names_the_file(files: Files, index: str) -> None:
    with pytest.raises(InputError, match=r"water\.extxyz: index"):
        files.frames("water.extxyz", index)


def test_packs_to_the_bit(files: Files) -> None:
    again = Files.unpack(files.pack())
    assert again.paths == files.paths
    for path in files.paths:
        for before, after in zip(files.frames(path), again.frames(path), strict=True):
            assert after.numbers.tolist() == before.numbers.tolist()
            assert after.positions.tobytes() == before.positions.tobytes()
            assert after.cell.array.tobytes() == before.cell.array.tobytes()
            assert after.pbc.tolist() == before.pbc.tolist()
            assert after.info == before.info
            assert (after.calc is None) == (before.calc is None)
            if before.calc is not None:
                assert after.calc.results.keys() == before.calc.results.keys()
                for name, value in before.calc.results.items():
                    assert np.asarray(after.calc.results[name]).tobytes() == np.asarray(value).tobytes()
    assert again.pack() == files.pack()


def test_stress_is_kept(files: Files) -> None:
    assert Files.unpack(files.pack()).frames("mixed.traj", "1")[0].get_stress().shape == (6,)


def test_frames_are_copies(files: Files) -> None:
    files.frames("plain.xyz")[0].positions += 1
    assert files.frames("plain.xyz")[0].positions == pytest.approx(molecule("CH4").positions, abs=1e-7)


def test_constraints_do_not_change_forces(tmp_path: Path) -> None:
    frame = labelled_water(0)
    frame.set_constraint(FixAtoms([0, 1, 2]))
    write(tmp_path / "fixed.traj", frame)
    forces = Files.read(["fixed.traj"], tmp_path).frames("fixed.traj")[0].get_forces()
    assert forces == pytest.approx(labelled_water(0).get_forces())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("broken.xyz", "3\n\nH 0 0\n", "cannot be read as a structure"),
        ("empty.xyz", "", "cannot be read as a structure|no frames"),
        ("none.extxyz", "0\n\n", "cannot be read as a structure|without atoms"),
        ("prose.txt", "not a structure at all", "cannot be read as a structure"),
        (
            "nan.xyz",
            "1\n\nH 0 0 0\n2\n\nH 0 0 0\nH 0 nan 1\n",
            r"frame 1: found the coordinates .* of atom 1, expected",
        ),
        ("cell.extxyz", '1\nLattice="5 0 0 0 nan 0 0 0 5"\nH 0 0 0\n', "frame 0: found the cell .*, expected numbers"),
    ],
)
def test_unreadable_file_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as error:
        Files.read([name], tmp_path)
    assert str(error.value).startswith(f"{name}: ")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^gone\.xyz: no such file \(looked for .*gone\.xyz\)"):
        Files.read(["gone.xyz"], tmp_path)
