"""What all labelers can be told, and which of it decides the numbers."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from sparc_fw.backend import Options
from sparc_fw.documents import Reason
from sparc_fw.plain_words import first_finding


class LabelerOptions(Options):
    """Options that every labeler has."""

    effort: ClassVar[frozenset[str]] = frozenset({"retries", "key_with_version"})
    """Options that decide whether there is a number, and not which: limits of time and steps, who mends what. They are
    no part of the hash of the settings; a calculation that did not converge is tried again where they changed."""
    steering: ClassVar[frozenset[str]] = frozenset()
    """Options by which SCF finds its way. As they may find another state they are part of the hash, but a rule for a
    further attempt that changes nothing else leaves the settings what they are."""

    # The cap is part of the hash, though it changes no number: a label is kept under its key as good or failed, once
    # for all campaigns, and under another cap the same label would have to be the other.
    force_cap: float | None = Field(30.0, gt=0)
    """A label with a longer force on an atom fails, eV/Å: it would spoil a training; null for no limit."""
    retries: dict[Reason, list[dict[str, Any]]] | None = None
    """For each reason of failure, the options to change in a further attempt, one after the other; where unset, the
    labeler's own rules."""
    key_with_version: bool = False
    """Whether another version of the code computes a label anew; where false, a label of any version is a hit."""

    @model_validator(mode="after")
    def _retries_are_options(self) -> Self:
        for reason, rules in (self.retries or {}).items():
            for changes in rules:
                try:
                    self.attempting(changes)
                except ValidationError as error:
                    raise ValueError(f"retries.{reason}: {first_finding(error, type(self).model_fields)}") from error
        return self

    def changed(self, changes: dict[str, Any]) -> Self:
        """The same options with some of them changed, validated; the changes win over what `yielding` takes out."""
        return type(self).model_validate({**self.model_dump(), **self.yielding(changes), **changes})

    def attempting(self, changes: dict[str, Any]) -> Self:
        """The options of a further attempt, which has no rules for another one."""
        return self.changed({**changes, "retries": {}})

    def yielding(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Options in a code's own words without those that say the same as the keys of `changes`.

        Such words win over the keys of the campaign, but not over those of a further attempt or a second calculation,
        which would be the first one over again.
        """
        return {}

    def deciding(self) -> dict[str, Any]:
        """The options that decide the numbers, as plain values."""
        values = self.model_dump(mode="json", exclude=set(self.effort))
        beside = self.effort | self.steering
        for reason, rules in (self.retries or {}).items():
            parts = [{key: value for key, value in rule.items() if key not in beside} for rule in rules]
            if any(parts):
                values.setdefault("retries", {})[reason] = [part for part in parts if part]
        return values
