"""Labels by tblite: the extended tight-binding methods GFN1-xTB and GFN2-xTB."""

from __future__ import annotations

import importlib
import os
from functools import cache, cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.units import Bohr, Hartree, kB
from pydantic import Field

from sparc_fw.backend import package_version
from sparc_fw.documents import Reason
from sparc_fw.errors import InputError
from sparc_fw.labelers.base import LabelError, charge_and_spin, check_electrons
from sparc_fw.labelers.in_process import InProcessLabeler, InProcessOptions

HEAVIEST = 86
"""Both methods are parametrised up to radon."""
GUESSES = {"sad": 0, "eeq": 1}
"""As tblite's interface numbers them."""


class XTBOptions(InProcessOptions):
    """Options of the labeler ``xtb``."""

    effort: ClassVar[frozenset[str]] = InProcessOptions.effort | {"max_iterations"}
    steering: ClassVar[frozenset[str]] = frozenset({"guess", "mixer_damping"})

    kind: Literal["xtb"] = "xtb"
    method: Literal["GFN1-xTB", "GFN2-xTB"] = "GFN2-xTB"
    """Parametrisation."""
    accuracy: float = Field(1.0, gt=0)
    """Factor on tblite's thresholds; smaller is tighter."""
    electronic_temperature_K: float = Field(300.0, gt=0)
    """Temperature of the occupation numbers, K."""
    max_iterations: int = Field(250, ge=1)
    """Most iterations of the charges."""
    guess: Literal["sad", "eeq"] = "sad"
    """First charges: neutral atoms, or those of electronegativity equilibration. Where there is more than one solution,
    another guess may find another one."""
    mixer_damping: float = Field(0.4, gt=0, le=1)
    """How much of the new charges the first iterations take over; less is slower and safer."""


class XTBLabeler(InProcessLabeler[XTBOptions]):
    """Tight-binding energies, forces and stresses of molecules and periodic systems.

    References
    ----------
    GFN1-xTB: S. Grimme et al., J. Chem. Theory Comput. 13 (2017) 1989; GFN2-xTB: C. Bannwarth et al., ibid. 15 (2019)
    1652.
    """

    Options: ClassVar[type[XTBOptions]] = XTBOptions
    packages: ClassVar[tuple[str, ...]] = ("tblite",)
    extra: ClassVar[str] = "xtb"
    code: ClassVar[str] = "tblite"
    # A higher electronic temperature would converge, too, but to another energy.
    own_retries: ClassVar[dict[Reason, list[dict[str, Any]]]] = {
        "not_converged": [{"guess": "eeq"}, {"mixer_damping": 0.1, "max_iterations": 1000}]
    }
    rechecks: ClassVar[list[dict[str, Any]]] = [
        {"guess": guess, **stricter} for guess in ("eeq", "sad") for stricter in ({"accuracy": 0.1}, {})
    ]

    @cached_property
    def like_atoms_alike(self) -> bool:
        """They are: no option names an atom."""
        return True

    def version(self) -> str:
        """Version of tblite."""
        return package_version("tblite")

    def check(self, frame: Atoms) -> None:
        """Raise `InputError` if a frame can never be labelled: unknown element, wrong electron count, no cell."""
        if frame.pbc.any() and frame.cell.rank < 3:
            raise InputError(
                f"labeler xtb: found a periodic frame, pbc {frame.pbc.tolist()}, with the cell {frame.cell.tolist()}; "
                "expected three cell vectors, with vacuum where it does not repeat, or pbc false"
            )
        outside = sorted({int(number) for number in frame.numbers if not 1 <= number <= HEAVIEST})
        if outside:
            symbol = frame.symbols[int(np.flatnonzero(frame.numbers == outside[0])[0])]
            raise InputError(
                f"labeler xtb: method: {self.options.method} has no parameters for element {symbol}, expected H to Rn"
            )
        check_electrons(frame)

    def calculate(self, frame: Atoms) -> tuple[float, np.ndarray, np.ndarray | None, int]:
        """Energy (eV), forces (eV/Å), stress (eV/Å^3) where periodic, and one attempt."""
        self.check(frame)
        charge, spin = charge_and_spin(frame)
        periodic = bool(frame.pbc.any())
        interface = _load("tblite.interface", self.settings.threads)
        try:
            # A new object per frame: tblite restarts from the last charges of an old one.
            solver = interface.Calculator(
                self.options.method,
                frame.numbers,
                frame.positions / Bohr,
                charge=float(charge),
                uhf=spin,
                lattice=frame.cell.array / Bohr if periodic else None,
                periodic=frame.pbc if periodic else None,
                color=False,
            )
            solver.set("verbosity", 0)
            solver.set("accuracy", self.options.accuracy)
            solver.set("temperature", self.options.electronic_temperature_K * kB / Hartree)
            solver.set("max-iter", self.options.max_iterations)
            solver.set("guess", GUESSES[self.options.guess])
            solver.set("mixer-damping", self.options.mixer_damping)
            found = solver.singlepoint()
        except RuntimeError as error:
            converged = "not converged" not in str(error)
            raise LabelError("crashed" if converged else "not_converged", f"tblite: {error}") from error
        stress = None
        if periodic:
            virial = found["virial"] * Hartree / frame.get_volume()
            stress = np.asarray(virial).flat[[0, 4, 8, 5, 2, 1]]
        return float(found["energy"]) * Hartree, -np.asarray(found["gradient"]) * Hartree / Bohr, stress, 1

    def calculator(self, charge: int = 0, spin: int = 0) -> Calculator:
        """Give tblite's own ASE calculator with these settings; it restarts from the charges of the frame before."""
        return _load("tblite.ase", self.settings.threads).TBLite(
            method=self.options.method,
            charge=charge,
            multiplicity=spin + 1,
            accuracy=self.options.accuracy,
            electronic_temperature=self.options.electronic_temperature_K,
            max_iterations=self.options.max_iterations,
            verbosity=0,
        )


@cache
def _load(module: str, threads: int) -> Any:
    """Import a module of tblite with its thread pool at `threads`.

    Its OpenMP runtime reads the number of threads from the environment, once, when the library is loaded; sums over
    several threads do not repeat to the bit.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        return importlib.import_module(module)
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
