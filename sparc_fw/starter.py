"""The campaign that ``sparc-fw init`` writes: ammonia borane, every key explained by the schema's own words."""

from __future__ import annotations

from typing import Any

import yaml

from sparc_fw.campaign_schema import Place, meaning

STRUCTURE_NAME = "nh3bh3.xyz"
HEAD = """\
# A campaign of sparc_fw: what reacts, how it is labelled, learned and explored, and when it is enough.
#   sparc-fw check FILE    looks for mistakes, computes nothing
#   sparc-fw run FILE      runs it on this machine
#   sparc-fw schema        prints every key that there is, with its meaning, unit and default
# Energies in eV, lengths in Å, forces in eV/Å. Atoms are counted from 0.
"""
CAMPAIGN: dict[str, Any] = {
    "name": "my-campaign",
    "description": "Dissociation of the B-N bond in ammonia borane",
    "seed": 1,
    "systems": [{"name": "nh3bh3", "structure": STRUCTURE_NAME, "charge": 0, "spin": 0}],
    "start": [
        {"kind": "scan", "atoms": [0, 1], "first": 1.3, "last": 4.0, "points": 20},
        {
            "kind": "dynamics",
            "driver": {"kind": "xtb", "method": "GFN1-xTB"},
            "starts": {"kind": "scan", "atoms": [0, 1], "first": 1.4, "last": 3.5, "points": 8},
            "temperature_K": [700.0],
            "duration_ps": 1.0,
            "frames": 80,
        },
    ],
    "labeler": {"kind": "pyscf", "functional": "pbe", "basis": "def2-svp"},
    "potential": {"kind": "deepmd"},
    "committee": 4,
    "explorer": {
        "kind": "lammps",
        "replicas": 2,
        "duration_ps": [1.5, 4.0],
        "timestep_fs": 0.5,
        "temperature_K": [300.0],
    },
    "select": [
        {"kind": "overlap"},
        {"kind": "window", "f_lo": 0.15, "f_hi": 1.0},
        {"kind": "difference", "min_difference_A": 0.15},
        {"kind": "budget", "cap": 45},
    ],
    "convergence": {"max_unsure_fraction": 0.05, "patience": 1},
    "budget": {"labels": 300, "iterations": 8},
    "test": {"scan": {"kind": "scan", "atoms": [0, 1], "first": 1.3, "last": 4.0, "points": 20}},
}
# Staggered, C3v; bond lengths and angles close to PBE's. B is atom 0, N is atom 1.
STRUCTURE = """\
8
pbc="F F F"
B   0.00000   0.00000   0.00000
N   0.00000   0.00000   1.65000
H   1.17000   0.00000  -0.30700
H  -0.58500   1.01325  -0.30700
H  -0.58500  -1.01325  -0.30700
H   0.47500   0.82272   2.02200
H   0.47500  -0.82272   2.02200
H  -0.95000   0.00000   2.02200
"""


def starter_structure() -> str:
    """The start structure, extended XYZ."""
    return STRUCTURE


def starter_campaign() -> str:
    """The campaign file, each key with the description that the schema has for it."""
    lines = HEAD.splitlines()
    for key, value in CAMPAIGN.items():
        lines += ["", *_entry(key, value, (key,), 0)]
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any, place: Place, depth: int) -> list[str]:
    """The lines of one key; the comment stands above sections and behind plain values."""
    pad = "  " * depth
    comment = meaning(place, CAMPAIGN) if key != "kind" else ""
    note = f"# {comment}" if comment else ""
    if isinstance(value, dict):
        inner = [line for name, item in value.items() for line in _entry(name, item, (*place, name), depth + 1)]
        return [*([pad + note] if note else []), f"{pad}{key}:", *inner]
    if isinstance(value, list) and isinstance(value[0], dict):
        return [*([pad + note] if note else []), f"{pad}{key}:", *_items(value, place, depth + 1)]
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).removesuffix("...\n").strip()
    return [f"{pad}{key}: {text}" + (f"  {note}" if note else "")]


def _items(values: list[dict[str, Any]], place: Place, depth: int) -> list[str]:
    lines: list[str] = []
    for number, item in enumerate(values):
        entry = [
            line for name, value in item.items() for line in _entry(name, value, (*place, number, name), depth + 1)
        ]
        lines += ["  " * depth + "- " + entry[0].lstrip(), *entry[1:]]
    return lines
