"""Pydantic's findings as one sentence: file, line, key, what was found, what is expected."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sparc_fw.campaign_schema import Place, known_keys, meaning

FIRST = ("extra_forbidden", "union_tag_invalid", "union_tag_not_found")
"""What explains the other errors: a misspelt key is also a missing one."""

PLAIN = {
    "a valid dictionary": "'key: value' lines",
    "a valid integer": "a whole number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid ": "a ",
}
"""Pydantic's words for types, and those of somebody who writes YAML."""


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
    details = min(error.errors(include_url=False), key=lambda each: (each["type"] not in FIRST, _not_meant(each)))
    place = _place(details["loc"], values)
    line = _line(place, node)
    at = where if line is None else f"{where}, line {line}"
    key = _dotted(place)
    return f"{at}: {key}: {_finding(details, place, values)}" if key else f"{at}: {_finding(details, place, values)}"


def _not_meant(details: ErrorDetails) -> bool:
    """Whether an error is that of a text, where 'key: value' lines can stand for it and do."""
    return details["type"] == "string_type" and isinstance(details["input"], dict)


def _finding(details: ErrorDetails, place: Place, values: dict[str, Any]) -> str:
    kind, message = details["type"], details["msg"]
    if kind == "extra_forbidden":
        return _unknown_key(str(place[-1]), known_keys(place[:-1], values))
    if kind == "missing":
        return f"the key is missing; expected {meaning(place, values)}"
    if kind == "union_tag_invalid":
        context = details["ctx"]
        known = [name.strip(" '") for name in context["expected_tags"].split(",")]
        found = str(context["tag"])
        return f"kind: found {found!r}, expected one of {', '.join(known)}{_nearest(found, known)}"
    if kind == "union_tag_not_found":
        return f"found {_short(details['input'])}, expected 'key: value' lines, among them 'kind'"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    expected = message.removeprefix("Input should be ").split(", unable to")[0].split(" or instance of")[0]
    for theirs, ours in PLAIN.items():
        expected = expected.replace(theirs, ours)
    described = meaning(place, values)
    return f"found {_short(details['input'])}, expected {expected}" + (f" ({described})" if described else "")


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
        if isinstance(here, dict) and isinstance(step, int):
            continue  # one entry that stands without the list around it
        if isinstance(step, str) and _is_type(step, here):
            continue
        place.append(step)
        inside = (isinstance(here, dict) and step in here) or (isinstance(here, list) and isinstance(step, int))
        here = here[step] if inside else None
        kind_passed = False
    return tuple(place)


def _is_type(step: str, here: Any) -> bool:
    """Whether a step is no key but the type that pydantic tried: of a text, or of keys in its place."""
    if isinstance(here, dict):
        return step not in here and (step[:1].isupper() or step.startswith("function-"))
    return step == "str" or step[:1].isupper()


def _line(place: Place, node: yaml.Node | None) -> int | None:
    """The line of the last key on the path that stands in the file."""
    line: int | None = None
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def _dotted(place: Place) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def _unknown_key(key: str, known: list[str]) -> str:
    return f"no such key{_nearest(key, known)}; the keys here are {', '.join(known)}"


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
