"""What pydantic expected, in the words of somebody who writes YAML."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

PLAIN = {
    "a valid dictionary": "'key: value' lines",
    "a valid integer": "a whole number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid ": "a ",
}
"""Pydantic's words for types, and those of the user."""


def short(value: object) -> str:
    """A value as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def expectation(details: ErrorDetails) -> str:
    """What one of pydantic's findings expected: "a whole number", "at least 1 entry", …"""
    kind, context = details["type"], details.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return f"text of the form {context['pattern']}"
    if kind in ("too_short", "too_long"):
        least = kind == "too_short"
        number = context["min_length" if least else "max_length"]
        return f"at {'least' if least else 'most'} {number} {'entry' if number == 1 else 'entries'}"
    expected = details["msg"].removeprefix("Input should be ").removeprefix("Value error, expected ")
    expected = expected.split(", unable to")[0].split(" or instance of")[0]
    for theirs, ours in PLAIN.items():
        expected = expected.replace(theirs, ours)
    return expected


def nearest(word: str, known: Iterable[str]) -> str:
    """Ask whether the nearest of the known words was meant; empty where none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What there is to say about a key that nobody knows."""
    return f"no such key{nearest(key, known)}; the keys here are {', '.join(known)}"


def first_finding(error: ValidationError, known: Iterable[str]) -> str:
    """The first thing that is wrong with one section: key, what was found and what is expected.

    Parameters
    ----------
    known : iterable of str
        The keys of the section.
    """
    details = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in details["loc"] if part != "[key]")
    if details["type"] == "extra_forbidden":
        return f"{key}: {unknown_key(key, known) if len(details['loc']) == 1 else 'no such key'}"
    if details["type"] == "missing":
        return f"{key}: the key is missing"
    told = (
        details["msg"].removeprefix("Value error, ")
        if details["type"] == "value_error"
        else f"found {short(details['input'])}, expected {expectation(details)}"
    )
    return f"{key}: {told}" if key else told
