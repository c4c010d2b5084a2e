"""What the translation of a SPARC run shares: its options by their dotted keys, and what of them is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INPUT = "input.yaml"


@dataclass(frozen=True)
class NotCarried:
    """An option of the run that the campaign does not have.

    Attributes
    ----------
    option : str
        File and key.
    found : str
        Its value.
    why : str
        The reason, or what stands in its place.
    """

    option: str
    found: str
    why: str


def option(options: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """The value of a dotted key, or the default where it is absent or null."""
    value: Any = options
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return default if value is None else value
