"""The strictness that every section of a campaign file shares."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

Positive = Annotated[float, Field(gt=0)]


def _make_strict(schema: Any) -> None:
    """Make numbers and truth values in a core schema refuse text and each other; keys of dictionaries may be text."""
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool"):
            schema["strict"] = True
        for name, part in schema.items():
            if name not in ("keys_schema", "metadata", "default"):
                _make_strict(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _make_strict(part)


class Section(BaseModel):
    """Typed keys of a campaign file, which nothing changes once they are read.

    Unknown ones, numbers written as text, NaN and infinity are errors; a whole number may stand where any number may.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        # Not pydantic's `strict` for whole sections: it would also refuse the lists of YAML where tuples are meant.
        _make_strict(handler.resolve_ref_schema(schema))
        return schema
