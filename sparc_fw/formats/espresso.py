"""Quantum ESPRESSO's ``pw.x`` output."""

from __future__ import annotations

from pathlib import Path

from ase.io import read

from sparc_fw.formats.base import Reading, make_label

CONVERGED = "convergence has been achieved"
NOT_CONVERGED = "convergence NOT achieved"


def read_espresso(path: Path) -> list[Reading]:
    """Every configuration of an output whose SCF converged; the energy is the one that the forces are the slope of."""
    text = path.read_text(errors="replace")
    # pw.x prints a final energy ('!') only where the SCF converged, and stops at the first that did not.
    readings = [
        Reading(path, f"SCF {text.count(CONVERGED)}", None, "not_converged", line.strip())
        for line in text.splitlines()
        if NOT_CONVERGED in line
    ]
    found = list(read(path, index=":", format="espresso-out")) if "!    total energy" in text else []
    if not found and not readings:
        return [Reading(path, "", None, "unreadable", "found no final energy of pw.x")]
    version = next((line.split("v.")[1].split()[0] for line in text.splitlines() if "Program PWSCF v." in line), "")
    taken = []
    for number, frame in enumerate(found):
        results = frame.calc.results if frame.calc is not None else {}
        energy = results.get("free_energy", results.get("energy"))
        label = make_label(frame, energy, results.get("forces"), results.get("stress"), code="qe", version=version)
        taken.append(Reading(path, f"SCF {number}", label))
    return taken + readings
