"""Every screen, against frames of which it is known whether they are sound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from explored import choose, exploration, fates, step
from pydantic import ValidationError

from sparc_fw.errors import InputError
from sparc_fw.selectors.base import Choice, Context
from sparc_fw.selectors.pipeline import select
from sparc_fw.selectors.structure_screens import count_pieces
from sparc_fw.trajectories import Exploration, Uncertainty

WINDOW: dict[str, Any] = {"kind": "window"}


def explored(frames: list[Atoms], said: Uncertainty | None = None, system: str = "water") -> Exploration:
    """Frames of one composition that the committee disagrees about."""
    run = exploration([0.5] * len(frames), system=system)
    part = replace(
        run.trajectories[0],
        numbers=frames[0].numbers,
        positions=np.array([frame.positions for frame in frames]),
        cells=np.array([frame.cell.array for frame in frames]),
        pbc=tuple(frames[0].pbc),
    )
    return replace(run, trajectories=[part], uncertainty=[] if said is None else [said])


def waters(*apart: float, cell: float | None = None) -> list[Atoms]:
    """Two molecules of water, so far apart."""
    frames = []
    for distance in apart:
        second = molecule("H2O")
        second.translate([distance, 0, 0])
        frame = molecule("H2O") + second
        if cell is not None:
            frame.set_cell([cell] * 3)
            frame.pbc = True
        frames.append(frame)
    return frames


def screened(run: Exploration, screen: dict[str, Any]) -> list[str]:
    choice = choose([run], [screen, WINDOW])
    reason = screen["kind"]
    assert all((frame.frame_class == "failed") == (frame.fate == reason) for frame in choice.frames)
    return fates(choice)


def test_pieces_are_what_no_bond_connects() -> None:
    frames = [*waters(3.0, 1.4), *waters(3.0)]
    frames[2].positions[5] += [0, 40, 0]
    positions = np.array([frame.positions for frame in frames])
    cells = np.zeros((3, 3, 3))
    counts = count_pieces(frames[0].numbers, positions, cells, (False, False, False), 1.5)
    assert counts.tolist() == [2, 1, 3]
    # Covalent radii of O, H: 0.66, 0.31 Å; the bond of 0.97 Å is that long.
    assert count_pieces(frames[0].numbers, positions, cells, (False, False, False), 0.9).tolist() == [6, 6, 6]


def test_pieces_go_across_the_edge_of_a_cell() -> None:
    [inside] = waters(0.0, cell=12.0)
    whole = inside[:3]
    assert isinstance(whole, Atoms)
    # One H is written on the other side.
    whole.positions[1] += whole.cell.array[1]
    for pbc, pieces in (((True, True, True), 1), ((False, False, False), 2)):
        found = count_pieces(whole.numbers, whole.positions[None], whole.cell.array[None], pbc, 1.5)
        assert found.tolist() == [pieces]


def test_frames_that_fell_apart_fail() -> None:
    run = explored(waters(3.0, 1.4, 6.0))
    assert screened(run, {"kind": "fragments", "most": 1}) == ["fragments", "pick", "fragments"]
    assert screened(run, {"kind": "fragments", "most": 2}) == ["pick", "pick", "pick"]


def test_frames_that_an_atom_left_fail() -> None:
    frames = waters(3.0, 3.0)
    frames[1].positions[2] += [0, 9, 0]
    assert screened(explored(frames), {"kind": "fragments", "within_A": 4.0}) == ["pick", "fragments"]
    # Two molecules that went apart are no atoms that left.
    assert screened(explored(waters(9.0)), {"kind": "fragments", "within_A": 4.0}) == ["pick"]


def test_distances_of_the_users_choice() -> None:
    # The oxygen atoms are 0 and 3.
    run = explored(waters(2.5, 2.9, 3.5, 4.2))
    bounds = [{"atoms": [0, 3], "min_A": 2.6, "max_A": 4.0}, {"atoms": [0, 1], "max_A": 1.2}]
    assert screened(run, {"kind": "distances", "bounds": bounds}) == ["distances", "pick", "pick", "distances"]
    others: dict[str, Any] = {"kind": "distances", "bounds": bounds, "systems": ["methane"]}
    assert screened(run, others) == ["pick"] * 4
    # Compositions without these atoms break no bound of theirs.
    assert screened(run, {"kind": "distances", "bounds": [{"atoms": [0, 9], "max_A": 1.0}]}) == ["pick"] * 4


def test_distances_are_those_of_the_nearest_image() -> None:
    run = explored(waters(2.5, 7.0, cell=10.0))
    assert screened(run, {"kind": "distances", "bounds": [{"atoms": [0, 3], "max_A": 2.8}]}) == ["pick", "distances"]


def test_atoms_and_systems_that_do_not_exist_are_told() -> None:
    systems = {"water": Atoms("OH2"), "methane": Atoms("CH4")}
    bounds = [{"atoms": [0, 1], "max_A": 2.0}, {"atoms": [0, 4], "max_A": 2.0}]
    step("distances", bounds=bounds).check(systems)
    with pytest.raises(InputError, match=r"bounds\[1\]: atoms: found atom 4, but the structure has 3 atoms"):
        step("distances", bounds=bounds, systems=["water"]).check(systems)
    with pytest.raises(InputError, match="systems: found 'ice', expected of"):
        step("distances", bounds=bounds, systems=["ice"]).check(systems)


@pytest.mark.parametrize(
    ("options", "told"),
    [({}, "found neither 'most' nor 'within_A'"), ({"within_A": 3.0, "bonded": 1.2}, "found it without 'most'")],
)
def test_fragments_must_look_for_something(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        step("fragments", **options)


# Three frames; two members.
SAID = Uncertainty(
    force_deviation=np.zeros((3, 6), dtype=np.float32),
    mean_force=np.array([[1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 31], [0, 0, 0, 0, 0, 30]], dtype=np.float32),
    energies=np.array([[-10.0, -9.0, -6.4], [-10.0, -8.0, -6.4]]),
)


def test_extreme_forces_fail() -> None:
    run = explored(waters(2.5, 2.8, 3.1), SAID)
    assert screened(run, {"kind": "force_cap"}) == ["pick", "force_cap", "pick"]
    assert screened(run, {"kind": "force_cap", "max_force_eV_A": 5.5}) == ["force_cap"] * 3


def in_range(above: float, labelled: list[Atoms], energies: list[float]) -> Choice:
    steps = [step("energy_range", above_eV=above), step("window")]
    return select([explored(waters(2.5, 2.8, 3.1), SAID)], steps, Context(labelled, 99, 1, energies=energies))


def test_energies_far_above_all_labels_fail() -> None:
    known = waters(2.6, 2.7, 2.9)
    # The committee's mean is -10, -8.5 and -6.4 eV; a label that failed has no energy.
    assert fates(in_range(1.0, known, [-11.0, -9.0, np.nan])) == ["pick", "pick", "energy_range"]
    assert fates(in_range(0.4, known, [-11.0, -9.0, np.nan])) == ["pick", "energy_range", "energy_range"]


def test_energies_of_other_atoms_or_charges_say_nothing() -> None:
    others = [Atoms("N2"), waters(2.6)[0]]
    others[1].info = {"charge": 1, "spin": 1}
    assert fates(in_range(0.0, others, [-900.0, -900.0])) == ["pick"] * 3


def test_what_the_committee_says_must_have_been_kept() -> None:
    with pytest.raises(InputError, match=r"^select\[0\] \(force_cap\): max_force_eV_A: of the explorations nothing"):
        choose([explored(waters(2.5))], [{"kind": "force_cap"}, WINDOW])
