"""Windows of umbrella sampling: runs side by side, each with umbrellas that hold at a place of its own.

G. M. Torrie and J. P. Valleau, J. Comput. Phys. 23 (1977) 187.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.explorers.bias import Bias, Umbrella, Walls
from sparc_fw.explorers.variables import UNITS, impossible
from sparc_fw.registry import OneOrMore
from sparc_fw.section import Section

FAR = 4.0
"""Two equal Gaussians so many standard deviations apart overlap by 0.03, where a flat curve would be lost."""

Centres = Annotated[list[float], Field(min_length=1), OneOrMore()]


class Windows(Section):
    """Where umbrellas hold, window by window: 'centres', or 'first', 'last' and 'count'."""

    centres: list[Centres] | None = Field(None, min_length=2)
    """Where each window holds, in the variable's unit; of several umbrellas without a centre, a value for each, in
    their order."""
    first: float | None = None
    """The first of evenly spaced centres, in the variable's unit."""
    last: float | None = None
    """The last of them."""
    count: int | None = Field(None, ge=2, le=1000)
    """How many there are."""
    starts: list[str] | None = None
    """A file for each window in which it begins (its last frame), relative to the campaign file; where unset, the
    explorer's 'starts' decide."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        line = {key: getattr(self, key) for key in ("first", "last", "count")}
        stated = [key for key, value in line.items() if value is not None]
        if (self.centres is None and len(stated) < 3) or (self.centres is not None and stated):
            found = ", ".join((["centres"] if self.centres is not None else []) + stated) or "none of them"
            raise ValueError(f"found {found}, expected either 'centres', or 'first', 'last' and 'count'")
        places = self.places()
        again = next((place for number, place in enumerate(places) if place in places[:number]), None)
        if again is not None:
            raise ValueError(
                f"centres: found {described(again)} twice, expected every window once; 'replicas' repeats them"
            )
        if self.starts is not None and len(self.starts) != len(places):
            raise ValueError(f"starts: found {len(self.starts)} files for {len(places)} windows, expected one for each")
        return self

    def places(self) -> list[tuple[float, ...]]:
        """The centres of every window."""
        if self.centres is not None:
            return [tuple(centres) for centres in self.centres]
        assert self.first is not None
        assert self.last is not None
        assert self.count is not None
        # Rounded away is what 0.1 + 0.2 has too much.
        return [(round(float(place), 12),) for place in np.linspace(self.first, self.last, self.count)]


def described(centres: Sequence[float]) -> str:
    """The centres of a window in a word."""
    return ", ".join(f"{centre:g}" for centre in centres)


def free_umbrellas(biases: Sequence[Bias]) -> list[int]:
    """Which biases are umbrellas whose centres the windows say."""
    return [index for index, bias in enumerate(biases) if isinstance(bias, Umbrella) and bias.centre is None]


def in_window(biases: Sequence[Bias], windows: Windows | None, number: int) -> list[Bias]:
    """The biases of the run of that number: windows one after the other, over and over."""
    if windows is None:
        return list(biases)
    places = windows.places()
    centres = dict(zip(free_umbrellas(biases), places[number % len(places)], strict=True))
    return [
        bias.model_copy(update={"centre": centres[index]}) if index in centres else bias
        for index, bias in enumerate(biases)
    ]


def window_problem(biases: Sequence[Bias], windows: Windows | None) -> str | None:
    """What keeps biases and windows from going together, in one sentence; None where they do."""
    free = free_umbrellas(biases)
    if windows is None:
        missing = "the key is missing; expected where the umbrella holds, or 'windows' that say it"
        return f"bias[{free[0]}].centre: {missing}" if free else None
    if not free:
        return "windows: found no bias of kind umbrella without 'centre', expected one that the windows hold"
    other = next((bias.kind for bias in biases if not isinstance(bias, Umbrella | Walls)), None)
    if other is not None:
        return (
            f"windows: found a bias of kind {other} beside the umbrellas, which changes along the run; expected "
            "umbrellas and walls alone: the free energy is told from them"
        )
    for place in windows.places():
        if len(place) != len(free):
            return (
                f"windows: found {len(place)} centres ({described(place)}) for {len(free)} umbrellas without 'centre', "
                "expected one for each"
            )
        for index, centre in zip(free, place, strict=True):
            allowed = impossible(biases[index].cv, centre)
            if allowed is not None:
                kind = biases[index].cv.kind
                return f"windows: found centre {centre:g} for the {kind} of bias[{index}], expected {allowed}"
    return None


def window_summary(biases: Sequence[Bias], windows: Windows, kelvin: float) -> str:
    """How many windows there are, where, and how far apart in widths of what each sees."""
    from ase.units import kB

    places = windows.places()
    parts = []
    for column, index in enumerate(free_umbrellas(biases)):
        bias = biases[index]
        assert isinstance(bias, Umbrella)
        centres = sorted({place[column] for place in places})
        part = f"from {centres[0]:g} to {centres[-1]:g} {UNITS[bias.cv.kind]}".rstrip()
        gap = max(np.diff(centres), default=0.0)
        widths = gap / float(np.sqrt(kB * kelvin / bias.stiffness))
        doubt = f", which may be too far: they hardly overlap beyond {FAR:g}" if widths > FAR else ""
        parts.append(f"{part}, at most {gap:.3g} = {widths:.1f} √(kT/k) apart{doubt}")
    return f"{len(places)} windows {'; '.join(parts)}"
