"""Pydantic's findings as one sentence: file, line, key, what was found, what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sparc_fw.campaign_schema import Place, known_keys, meaning
from sparc_fw.plain_words import expectation, nearest, short, unknown_key

OTHERS = ("missing", "value_error", "union_tag_invalid", "union_tag_not_found", "extra_forbidden")
"""Findings that are told in words of their own."""

FIRST = ("extra_forbidden", "union_tag_invalid", "union_tag_not_found")
"""What explains the other errors: a misspelt key is also a missing one."""


def explain(error: ValidationError, values: dict[str, Any], where: str, node: yaml.Node | None) -> str:
    """The one error to mend first, in the user's words.

    Parameters
    ----------
    values : dict
        What was validated.
    where : str
        Names the origin: a file, or a parameter.
    node : yaml.Node or None
        The YAML that the values were made of, for line numbers.
    """
    found = error.errors(include_url=False)
    details = min(found, key=lambda each: (each["type"] not in FIRST, _not_meant(each)))
    place = _place(details["loc"], values)
    # One of several types may stand at many a key: what each of them expects.
    choices = [each for each in found if each["type"] not in OTHERS and _place(each["loc"], values) == place]
    line = _line(place, node)
    at = where if line is None else f"{where}, line {line}"
    key = _dotted(place)
    told = _finding(details, choices, place, values)
    return f"{at}: {key}: {told}" if key else f"{at}: {told}"


def _not_meant(details: ErrorDetails) -> bool:
    """Whether an error is that of a text, where 'key: value' lines can stand for it and do."""
    return details["type"] == "string_type" and isinstance(details["input"], dict)


def _finding(details: ErrorDetails, choices: list[ErrorDetails], place: Place, values: dict[str, Any]) -> str:
    kind, message = details["type"], details["msg"]
    described = meaning(place, values)
    if details["loc"][-1:] == ("[key]",):
        return f"found the key {details['input']!r}, expected {expectation(details)}"
    if kind == "extra_forbidden":
        return unknown_key(str(place[-1]), known_keys(place[:-1], values))
    if kind == "missing":
        what = "entry" if isinstance(place[-1], int) else "key"
        return f"the {what} is missing; expected {_within_a_sentence(described)}"
    if kind == "union_tag_invalid":
        context = details["ctx"]
        known = [name.strip(" '") for name in context["expected_tags"].split(",")]
        found = str(context["tag"])
        return f"kind: found {found!r}, expected one of {', '.join(known)}{nearest(found, known)}"
    if kind == "union_tag_not_found":
        return f"found {short(details['input'])}, expected 'key: value' lines, among them 'kind'"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    expected = " or ".join(dict.fromkeys(expectation(each) for each in [details, *choices]))
    return f"found {short(details['input'])}, expected {expected}" + (f" ({described})" if described else "")


def _place(location: Sequence[str | int], values: Any) -> Place:
    """The path of keys as the user wrote them: pydantic's own also has the kind of each union on the way."""
    place: list[str | int] = []
    here = values
    kind_passed = False
    for count, step in enumerate(location, start=1):
        last = count == len(location)
        of_kind = isinstance(here, dict) and step == here.get("kind") and (not last or step not in here)
        # Once only: a key may be called like the kind that it belongs to.
        if of_kind and not kind_passed:
            kind_passed = True
            continue
        if isinstance(step, int) and not isinstance(here, list):
            continue  # one entry that stands without the list around it
        if isinstance(step, str) and _is_type(step, here):
            continue
        place.append(step)
        inside = step in here if isinstance(here, dict) else isinstance(step, int) and step < len(here)
        here = here[step] if inside else None
        kind_passed = False
    return tuple(place)


def _is_type(step: str, here: Any) -> bool:
    """Whether a step is no key but the type that pydantic tried, or its word for the key of a dictionary."""
    if not isinstance(here, dict) or step == "[key]":
        return True
    return step not in here and (step[:1].isupper() or "[" in step)


def _line(place: Place, node: yaml.Node | None) -> int | None:
    """The line of the last key on the path that stands in the file."""
    line: int | None = None
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def _dotted(place: Place) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def _within_a_sentence(described: str) -> str:
    """A description as it goes on after a few words; DeePMD-kit and PLUMED stay as they are."""
    first = described.partition(" ")[0]
    return described if first[1:] != first[1:].lower() else described[:1].lower() + described[1:]
