"""PySCF: known energies, refusals, and an SCF that does not converge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Bohr, Hartree
from pydantic import ValidationError

from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.labelers.pyscf import PySCFLabeler, PySCFOptions
from sparc_fw.settings import Settings


def labeler(**options: Any) -> PySCFLabeler:
    return PySCFLabeler(PySCFOptions(**options), Settings())


def test_hartree_fock_energy_of_water_in_sto3g() -> None:
    """T. D. Crawford's programming project 3: -74.942079928192 hartree at this geometry, in bohr."""
    places = np.array(
        [
            [0.000000000000, -0.143225816552, 0.000000000000],
            [1.638036840407, 1.136548822547, -0.000000000000],
            [-1.638036840407, 1.136548822547, -0.000000000000],
        ]
    )
    label = labeler(functional="hf", basis="sto-3g", density_fit=False).label(Atoms("OH2", places * Bohr))
    assert label.energy is not None
    assert label.energy / Hartree == pytest.approx(-74.942079928192, abs=1e-7)


def test_density_fitting_changes_little() -> None:
    frame = molecule("H2O")
    fitted, exact = labeler().label(frame), labeler(density_fit=False).label(frame)
    assert fitted.energy != exact.energy
    assert fitted.energy == pytest.approx(exact.energy, abs=0.01)
    assert fitted.forces == pytest.approx(exact.forces, abs=0.01)


def test_triplet_oxygen_lies_below_singlet() -> None:
    singlet, triplet = molecule("O2"), molecule("O2")
    triplet.info["spin"] = 2
    low, high = labeler().label(triplet).energy, labeler().label(singlet).energy
    assert low is not None
    assert high is not None
    assert 0.8 < high - low < 2.5


def test_forces_at_the_default_grid_are_within_1_mev() -> None:
    frame = molecule("NH3")
    coarse, fine = labeler().label(frame).forces, labeler(grid_level=5, conv_tol=1e-10).label(frame).forces
    assert coarse is not None
    assert np.abs(coarse - fine).max() < 1e-3


def test_unconverged_scf_is_a_failed_label() -> None:
    label = labeler(max_cycle=1, second_order=False, retries={}).label(molecule("H2O"))
    assert (label.status, label.reason, label.energy, label.forces) == ("failed", "not_converged", None, None)
    assert "1 attempt(s) of 1 cycles; last energies -76." in label.message


def test_second_order_rescues_what_the_first_scf_did_not_converge() -> None:
    rescued = labeler(max_cycle=5).label(molecule("H2O"))
    assert (rescued.status, rescued.attempts) == ("ok", 2)
    assert rescued.energy == pytest.approx(labeler().label(molecule("H2O")).energy, abs=1e-5)


def test_heavy_element_gets_its_core_potential() -> None:
    frame = Atoms("IH", [[0, 0, 0], [0, 0, 1.61]])
    label = labeler().label(frame)
    assert label.energy is not None
    # 28 core electrons are in the potential: with all 53 the energy would lie near -6,900 hartree.
    assert -310 < label.energy / Hartree < -290


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"basis": "def2-svpx"}, "basis: found 'def2-svpx', which has no functions for element H"),
        ({"auxbasis": "nothing"}, "auxbasis: found 'nothing', which has no functions for element H"),
        ({"functional": "pbee"}, "functional: found 'pbee', which PySCF does not know"),
    ],
)
def test_what_pyscf_does_not_know_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        labeler(**options).check(molecule("H2O"))


def test_element_without_basis_is_named() -> None:
    with pytest.raises(InputError, match="basis: found '6-31g', which has no functions for element Au"):
        labeler(basis="6-31g").check(Atoms("AuH", [[0, 0, 0], [0, 0, 1.5]]))


def test_dispersion_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="pip install pyscf-dispersion"):
        labeler(functional="pbe-d4").check(molecule("H2O"))


def test_periodic_frame_is_refused() -> None:
    frame = molecule("H2O", vacuum=5, pbc=True)
    with pytest.raises(InputError, match="found a periodic frame"):
        labeler().check(frame)


def test_restricted_with_unpaired_electrons_is_refused() -> None:
    frame = molecule("O2")
    frame.info["spin"] = 2
    with pytest.raises(InputError, match="method: found rks with spin 2"):
        labeler(method="rks").check(frame)


def test_misspelt_option_is_an_error() -> None:
    with pytest.raises(ValidationError, match="functionl"):
        PySCFOptions(functionl="pbe")  # type: ignore[call-arg]


def test_options_decide_the_key() -> None:
    frame = molecule("H2O")
    keys = {labeler().key(frame), labeler(basis="def2-tzvp").key(frame), labeler(grid_level=3).key(frame)}
    assert len(keys) == 3


def slope(pyscf: PySCFLabeler, frame: Atoms, atom: int, axis: int, step: float = 2e-3) -> float:
    energies = []
    for sign in (1, -1):
        moved = frame.copy()
        moved.positions[atom, axis] += sign * step
        energies.append(pyscf.calculate(moved)[0])
    return (energies[0] - energies[1]) / (2 * step)


HF = Atoms("HF", [(0, 0, 0), (0.3, 0, 1.0)])


@pytest.mark.parametrize(
    "options",
    [
        {"functional": "tpss", "grid_level": 3},
        {"functional": "r2scan", "grid_level": 4},
        {"functional": "b3lyp"},
        {"functional": "b3lyp", "dispersion": "d3bj"},
        {"functional": "pbe0", "dispersion": "d4"},
        {"solvent": "ddcosmo", "dielectric_constant": 78.36},
        {"solvent": "c-pcm", "dielectric_constant": 78.36},
        {"solvent": "ief-pcm", "dielectric_constant": 4.7},
        {"functional": "hf", "density_fit": False, "method": "ccsd(t)", "basis": "6-31g"},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_forces_are_slopes_for_every_method(options: dict[str, Any]) -> None:
    if "dispersion" in options:
        pytest.importorskip(
            "pyscf.dispersion", reason="pyscf-dispersion is not installed: pip install 'sparc_fw[pyscf]'"
        )
    pyscf = labeler(**options)
    pyscf.check(HF)
    label = pyscf.label(HF)
    assert label.status == "ok", label.message
    assert label.forces is not None
    assert label.forces[0, 2] == pytest.approx(-slope(pyscf, HF, 0, 2), abs=3e-3)
    assert abs(label.forces[0, 2]) > 0.1


def test_open_shell_ccsdt_is_refused() -> None:
    frame = Atoms("OH", [(0, 0, 0), (0.2, 0, 1.1)], info={"spin": 1})
    with pytest.raises(InputError, match=r"found ccsd\(t\) with spin 1, expected 0"):
        labeler(functional="hf", density_fit=False, method="ccsd(t)", basis="sto-3g").check(frame)


def test_ccsdt_energy_of_water_in_sto3g() -> None:
    """T. D. Crawford's programming projects 3, 5 and 6: -74.942079928 - 0.070680088 - 0.000099877 hartree."""
    places = [(0, -0.143225816552, 0), (1.638036840407, 1.136548822547, 0), (-1.638036840407, 1.136548822547, 0)]
    options = {"functional": "hf", "basis": "sto-3g", "density_fit": False, "method": "ccsd(t)"}
    label = labeler(**options).label(Atoms("OH2", np.array(places) * Bohr))
    assert label.energy is not None
    assert label.energy / Hartree == pytest.approx(-75.012859893, abs=1e-7)


def test_ccsdt_of_what_is_too_large_is_refused() -> None:
    options = {"functional": "hf", "density_fit": False, "method": "ccsd(t)", "max_basis_functions": 20}
    with pytest.raises(InputError, match=r"found ccsd\(t\) for H2O with 24 basis functions, expected at most"):
        labeler(**options).check(molecule("H2O"))


def test_dispersion_and_solvent_lower_the_energy() -> None:
    pytest.importorskip("pyscf.dispersion", reason="pyscf-dispersion is not installed: pip install 'sparc_fw[pyscf]'")
    plain = labeler().label(HF).energy
    assert plain is not None
    assert -0.1 < labeler(dispersion="d3bj").calculate(HF)[0] - plain < -1e-5
    assert -1 < labeler(solvent="ddcosmo", dielectric_constant=78.36).calculate(HF)[0] - plain < -0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solvent": "ddcosmo"}, "dielectric_constant: expected it exactly where there is a solvent"),
        ({"dielectric_constant": 2.0}, "dielectric_constant: expected it exactly"),
        ({"method": "ccsd(t)"}, "functional: found 'pbe' with method ccsd"),
        ({"method": "ccsd(t)", "functional": "hf"}, "density_fit: found True with method ccsd"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        labeler(**options)


def test_dispersion_twice_or_without_parameters_is_refused() -> None:
    pytest.importorskip("pyscf.dispersion", reason="pyscf-dispersion is not installed: pip install 'sparc_fw[pyscf]'")
    with pytest.raises(InputError, match="beside the functional 'pbe-d4', which brings d4 along"):
        labeler(functional="pbe-d4", dispersion="d3bj").check(HF)
    with pytest.raises(InputError, match="d4 has no parameters for the functional 'lda,vwn'"):
        labeler(functional="lda,vwn", dispersion="d4").check(HF)


def test_another_guess_and_a_level_shift_arrive_at_the_same_place() -> None:
    usual = labeler(basis="sto-3g").label(HF)
    for options in ({"guess": "huckel"}, {"guess": "1e"}, {"level_shift": 0.3}):
        other = labeler(basis="sto-3g", **options).label(HF)
        assert other.energy == pytest.approx(usual.energy, abs=1e-5)
        assert other.key != usual.key


def test_own_rules_rescue_what_does_not_converge() -> None:
    label = labeler(basis="sto-3g", max_cycle=2, second_order=False).label(HF)
    assert (label.status, label.attempts) == ("ok", 3)
    assert label.energy == pytest.approx(labeler(basis="sto-3g").label(HF).energy, abs=1e-5)
