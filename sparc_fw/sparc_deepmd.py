"""DeePMD-kit's ``input.json`` as the options of the potential ``deepmd``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sparc_fw.errors import InputError
from sparc_fw.potentials.deepmd_input import OWN_KEYS, DeepMDOptions
from sparc_fw.validation_message import explain

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
PAIRS = {"e": ("pref_energy", (0.02, 1.0)), "f": ("pref_force", (1000.0, 1.0)), "v": ("pref_virial", (0.0, 0.0))}
"""Weights in the loss at start and limit: our option, and what DeePMD-kit takes for the one of two that is missing."""
DEFAULTS = {"model.descriptor.type_one_side": False}
"""What DeePMD-kit takes where its input says nothing, and our own template takes otherwise."""
PRECISION = "float64"
"""DeePMD-kit's default, which ours is not."""

Lost = list[tuple[str, str, str]]


def deepmd_section(values: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], Lost]:
    """The campaign's section ``potential``.

    Parameters
    ----------
    path : Path
        Where the values come from, for errors.

    Returns
    -------
    section : dict
    lost : list of (str, str, str)
        Key, value and reason of what is not in it.

    Raises
    ------
    InputError
        Names the key whose value no potential takes.
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
    for letter, (option, usual) in PAIRS.items():
        ends = [_take(left, f"loss.{end}_pref_{letter}") for end in ("start", "limit")]
        if ends != [None, None]:
            section[option] = [other if end is None else end for end, other in zip(ends, usual, strict=True)]
    for key, value in DEFAULTS.items():
        if _peek(left, key) is None and _peek(left, "model.descriptor.type") == "se_e2_a":
            _peek(left, key.rpartition(".")[0])[key.rpartition(".")[2]] = value
    rest = _without_empty(left)
    section |= {"input": rest} if rest else {}
    _check(section, path)
    return section, lost


def _check(section: dict[str, Any], path: Path) -> None:
    try:
        DeepMDOptions.model_validate(section)
    except ValidationError as error:
        theirs = {option: key for key, option in NAMED.items()}
        theirs |= {option: f"loss.start_pref_{letter}" for letter, (option, _) in PAIRS.items()}
        place = error.errors()[0]["loc"]
        key = theirs.get(str(place[0]), "model") if place else "model.descriptor"
        raise InputError(explain(error, section, f"{path}: {key}, here", None)) from error


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
