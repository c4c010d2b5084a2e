"""Measures of how much a committee disagrees about a frame: their names for people, and their units."""

from __future__ import annotations

from typing import Final

FORCE_MAX: Final = "force_max"
"""The force deviation: the largest standard deviation of the force on an atom."""
TITLES: dict[str, str] = {
    FORCE_MAX: "force deviation",
    "force_mean": "mean force deviation",
    "force_quantile": "quantile of the force deviation",
    "force_normalised": "normalised force deviation",
    "energy": "energy deviation",
    "energy_per_atom": "energy deviation per atom",
}
UNITS: dict[str, str] = {
    FORCE_MAX: "eV/Å",
    "force_mean": "eV/Å",
    "force_quantile": "eV/Å",
    "force_normalised": "",
    "energy": "eV",
    "energy_per_atom": "eV/atom",
}
"""Unit of each measure; a ratio has none."""


def in_unit(text: str, measure: str) -> str:
    """A text with the measure's unit behind it: ``"0.15 eV/Å"``; alone where it is a ratio."""
    return f"{text} {UNITS[measure]}".rstrip()


def titled(measure: str) -> str:
    """Name of a measure with its unit: ``"force deviation (eV/Å)"``."""
    return f"{TITLES[measure]} ({UNITS[measure]})" if UNITS[measure] else TITLES[measure]
