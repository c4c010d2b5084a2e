"""DeePMD-kit's ``input.json`` as the options of the potential ``deepmd``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from sparc_fw.potentials.deepmd_input import OWN_KEYS

NAMED = {
    "model.descriptor.rcut": "rcut",
    "model.descriptor.rcut_smth": "rcut_smth",
    "model.descriptor.neuron": "descriptor_neurons",
    "model.descriptor.axis_neuron": "axis_neurons",
    "model.fitting_net.neuron": "fitting_neurons",
    "learning_rate.start_lr": "learning_rate",
    "learning_rate.stop_lr": "learning_rate_stop",
    "training.numb_steps": "steps",
    "training.training_data.batch_size": "batch_size",
}
"""Keys that have an option of their own; the rest goes into ``input`` as it is."""
PAIRS = {"e": "pref_energy", "f": "pref_force", "v": "pref_virial"}
DEFAULTS = {"model.descriptor.type_one_side": False}
"""What DeePMD-kit takes where its input says nothing, and our own template takes otherwise."""
PRECISION = "float64"
"""DeePMD-kit's default, which ours is not."""

Lost = list[tuple[str, str, str]]


def deepmd_section(values: Mapping[str, Any]) -> tuple[dict[str, Any], Lost]:
    """The campaign's section ``potential``.

    Returns
    -------
    section : dict
    lost : list of (str, str, str)
        Key, value and reason of what is not in it.
    """
    left = _without_comments(copy.deepcopy(dict(values)))
    lost: Lost = []
    for key in OWN_KEYS:
        found = _take(left, key)
        if found is not None:
            lost.append((key, str(found), "the campaign decides data, seeds, type order and files by itself"))
    if _take_if(left, "model.descriptor.sel", "auto"):
        lost.append(("model.descriptor.sel", "auto", "the potential counts neighbours in all labels by itself"))
    section: dict[str, Any] = {"kind": "deepmd", "precision": PRECISION}
    for key, option in NAMED.items():
        found = _take(left, key)
        if found is not None:
            section[option] = found
    for letter, option in PAIRS.items():
        ends = [_take(left, f"loss.{end}_pref_{letter}") for end in ("start", "limit")]
        if None not in ends:
            section[option] = ends
    for key, value in DEFAULTS.items():
        if _peek(left, key) is None and _peek(left, "model.descriptor.type") == "se_e2_a":
            _peek(left, key.rpartition(".")[0])[key.rpartition(".")[2]] = value
    rest = _without_empty(left)
    return (section | {"input": rest} if rest else section), lost


def _without_comments(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {key: _without_comments(value) for key, value in values.items() if not key.startswith("_comment")}
    return values


def _without_empty(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    kept = {key: _without_empty(value) for key, value in values.items()}
    return {key: value for key, value in kept.items() if value != {}}


def _peek(values: Mapping[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _take(values: dict[str, Any], key: str) -> Any:
    """The value of a dotted key, which is removed; None where there is none."""
    section, _, name = key.rpartition(".")
    below = _peek(values, section) if section else values
    return below.pop(name, None) if isinstance(below, dict) else None


def _take_if(values: dict[str, Any], key: str, value: Any) -> bool:
    if _peek(values, key) != value:
        return False
    _take(values, key)
    return True
