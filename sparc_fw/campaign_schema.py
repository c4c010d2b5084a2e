"""What the JSON Schema of campaigns says about a key: whether it may stand there, and what it means."""

from __future__ import annotations

from functools import cache
from typing import Any

from sparc_fw.campaign import Campaign

Schema = dict[str, Any]
Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""


@cache
def campaign_schema() -> Schema:
    """The JSON Schema of the campaign file."""
    schema = Campaign.model_json_schema()
    for part in schema["$defs"].values():
        kind = part.get("properties", {}).get("kind")
        if kind is not None:
            # Pydantic's defaults serve those who build options in Python; in a file the kind decides what the rest is.
            kind.pop("default", None)
            kind.setdefault("description", "Decides which keys stand beside it.")
            part["required"] = ["kind", *(name for name in part.get("required", []) if name != "kind")]
    return schema


def known_keys(place: Place, values: Any) -> list[str]:
    """The keys that may stand at a place."""
    return list(schema_at(place, values).get("properties", {}))


def meaning(place: Place, values: Any) -> str:
    """The description, with its unit, of the last named key on the path; empty where it has none."""
    while place and isinstance(place[-1], int):
        place = place[:-1]
    if not place:
        return ""
    field = schema_at(place[:-1], values).get("properties", {}).get(place[-1], {})
    return " ".join(str(field.get("description", "")).split()).rstrip(".")


def schema_at(place: Place, values: Any) -> Schema:
    """The JSON Schema that applies at a place, the choice among kinds taken as the values take it."""
    whole = campaign_schema()
    schema, here = _chosen(whole, values, whole), values
    for step in place:
        inside = step in here if isinstance(here, dict) else isinstance(here, list) and step in range(len(here))
        here = here[step] if inside else None
        part = schema.get("items", {}) if isinstance(step, int) else schema.get("properties", {}).get(step, {})
        schema = _chosen(part, here, whole)
    return schema


def _chosen(schema: Schema, value: Any, whole: Schema) -> Schema:
    """Follow references and, where there is a choice, the branch that fits the value."""
    while True:
        if "$ref" in schema:
            schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
        elif "discriminator" in schema:
            kind = value.get("kind") if isinstance(value, dict) else None
            schema = {"$ref": schema["discriminator"]["mapping"].get(kind)} if kind is not None else {}
            if schema.get("$ref") is None:
                return {}
        elif "anyOf" in schema:
            branches = [branch for branch in schema["anyOf"] if branch.get("type") != "null"]
            lists = [branch for branch in branches if branch.get("type") == "array"]
            keyed = [branch for branch in branches if "$ref" in branch or branch.get("type") == "object"]
            fitting = lists if isinstance(value, list) else keyed if isinstance(value, dict) else []
            schema = (fitting or branches)[0]
        else:
            return schema
