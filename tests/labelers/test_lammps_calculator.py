"""LAMMPS' classical potentials as an ASE calculator: numbers, one process for all frames, and what is missing."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from sparc_fw.errors import MissingDependency
from sparc_fw.explorers.lammps_command import lammps_command
from sparc_fw.labelers.lammps_calculator import lammps_calculator
from sparc_fw.labelers.potential import PotentialLabeler, PotentialLabelerOptions
from sparc_fw.settings import Settings

CARBON: dict[str, Any] = {"pair_style": "tersoff", "pair_coeff": ["* * SiC.tersoff C"], "elements": ["C"]}


@pytest.fixture(autouse=True)
def _lammps() -> None:
    try:
        lammps_command(Settings().lmp_command)
    except MissingDependency as error:
        pytest.skip(str(error))


def diamond(edge: float = 3.566) -> Atoms:
    return bulk("C", "diamond", a=edge, cubic=True)


def test_energy_forces_and_stress_belong_together() -> None:
    crystal = diamond(3.6)
    crystal.rattle(0.05, seed=1)
    crystal.cell[1, 0] = 0.2
    crystal.calc = lammps_calculator(**CARBON)
    np.testing.assert_allclose(
        crystal.get_forces()[:1], calculate_numerical_forces(crystal, 1e-4, iatoms=[0]), atol=1e-4
    )
    np.testing.assert_allclose(crystal.get_stress(), calculate_numerical_stress(crystal, 1e-4), atol=1e-5)


def test_it_labels_frame_after_frame_and_leaves_no_folder() -> None:
    labeler = PotentialLabeler(
        PotentialLabelerOptions(calculator="sparc_fw.labelers.lammps_calculator:lammps_calculator", arguments=CARBON),
        Settings(),
    )
    assert labeler.missing() == []
    labels = [labeler.label(diamond(edge)) for edge in (3.5, 3.566, 3.65)]
    assert [label.status for label in labels] == ["ok"] * 3
    energies = [label.energy or np.nan for label in labels]
    # Tersoff's diamond: 3.57 Å and 7.37 eV (J. Tersoff, Phys. Rev. Lett. 61 (1988) 2879).
    assert energies.index(min(energies)) == 1
    assert min(energies) / 8 == pytest.approx(-7.37, abs=0.02)
    folder = Path(labeler._calculator.parameters["tmp_dir"])
    assert folder.is_dir()
    del labeler
    # ASE's calculators hold themselves.
    gc.collect()
    assert not folder.exists()


def test_without_lammps_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARC_FW_LMP_COMMAND", "no_such_lmp")
    with pytest.raises(MissingDependency, match=r"lmp_command: found no executable 'no_such_lmp'"):
        lammps_calculator(**CARBON)
