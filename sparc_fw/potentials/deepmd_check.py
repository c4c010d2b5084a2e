"""What of DeePMD-kit's input can be found wrong before a training begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sparc_fw.errors import InputError
from sparc_fw.plain_words import short
from sparc_fw.potentials.deepmd_input import OWN_KEYS, DeepMDOptions, merged, template, training_input

SECTIONS = (
    "model",
    "model.descriptor",
    "model.fitting_net",
    "learning_rate",
    "loss",
    "training",
    "training.training_data",
    "training.validation_data",
)
"""Sections of DeePMD-kit's input that are filled in, which takes keys and values."""
PARAMETERISED = ("silut", "custom_silu")
"""Activation functions that may be followed by a number: ``silut:3.0``."""


def check_input(options: DeepMDOptions) -> None:
    """Let DeePMD-kit's own checker read the input that the options make.

    Raises
    ------
    InputError
        Names a key that DeePMD-kit does not know, a value of the wrong type, or a key that the campaign decides.
    """
    from deepmd.utils.argcheck import normalize

    for key in OWN_KEYS:
        found = _at(options.input, key)
        if found is not None:
            raise InputError(
                f"potential.input.{key}: found {found!r}, expected no such key: the campaign decides it; remove it"
            )
    _check_shape(merged(template(options, ["H"], [1], {"systems": 1.0}, True), options.input))
    plan = training_input(options, ["H"], [1], {"systems": 1.0}, ["validation"], True, 1)
    try:
        normalize(plan)
    except Exception as error:
        # Its checker raises whatever it stumbles on, besides an error class of its own.
        words = str(error) if type(error).__name__ == "ArgumentError" else f"{type(error).__name__}: {error}"
        raise InputError(f"potential.input: DeePMD-kit refuses it: {words}") from error
    _check_activations(options, plan["model"])


def _at(values: Any, key: str) -> Any:
    """What stands at a dotted key; None for nothing."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _check_shape(plan: Mapping[str, Any]) -> None:
    """Raise `InputError` where the user's keys put something else in the place of a section or a list of them."""
    for key in SECTIONS:
        above, _, name = key.rpartition(".")
        section = _at(plan, above) if above else plan
        if name in section and not isinstance(section[name], Mapping):
            raise InputError(f"potential.input.{key}: found {short(section[name])}, expected keys and values")
    descriptor = plan["model"]["descriptor"]
    _require_type(descriptor, "model.descriptor")
    if descriptor["type"] != "hybrid":
        return
    parts = descriptor.get("list")
    if not isinstance(parts, list) or not parts:
        raise InputError(
            f"potential.input.model.descriptor.list: found {short(parts) if parts is not None else 'none'}, expected "
            "the list of descriptors of a hybrid one"
        )
    for number, part in enumerate(parts):
        where = f"model.descriptor.list[{number}]"
        if not isinstance(part, Mapping):
            raise InputError(f"potential.input.{where}: found {short(part)}, expected keys and values")
        _require_type(part, where)


def _require_type(descriptor: Mapping[str, Any], where: str) -> None:
    found = descriptor.get("type")
    if not isinstance(found, str):
        raise InputError(
            f"potential.input.{where}.type: found {short(found) if found is not None else 'none'}, expected the name "
            "of a descriptor, such as se_e2_a"
        )


def _check_activations(options: DeepMDOptions, model: Any) -> None:
    """Raise `InputError` for an activation function that DeePMD-kit does not know; its checker takes any text."""
    from deepmd.common import VALID_ACTIVATION

    for found in _activations(model):
        if found.lower() not in VALID_ACTIVATION and found.lower().partition(":")[0] not in PARAMETERISED:
            key = "potential.activation" if found == options.activation else "potential.input: activation_function"
            raise InputError(f"{key}: found {found!r}, expected one of {', '.join(sorted(VALID_ACTIVATION))}")


def _activations(section: Any) -> Iterator[str]:
    """Every activation function that a section of the input names, at any depth."""
    if isinstance(section, Mapping):
        if isinstance(section.get("activation_function"), str):
            yield section["activation_function"]
        for below in section.values():
            yield from _activations(below)
    elif isinstance(section, list):
        for below in section:
            yield from _activations(below)
