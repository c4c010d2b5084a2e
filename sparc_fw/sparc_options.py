"""The options of a SPARC run that are carried over, checked; and what is lost of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from sparc_fw.errors import InputError
from sparc_fw.section import Positive
from sparc_fw.validation_message import explain

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


class Part(BaseModel):
    """Keys of SPARC's input that are carried over; others may stand beside them."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {key: value for key, value in values.items() if value is not None}


def _one_of(*names: str) -> BeforeValidator:
    """Names in any case, as they are written here."""
    known = {name.lower(): name for name in names}
    return BeforeValidator(lambda value: known.get(value.lower(), value) if isinstance(value, str) else value)


Ensemble = Literal["NVT", "NVE", "NPT"]
Precision = Literal["Low", "Medium", "High", "Normal", "Single", "SingleN", "Accurate"]
"""VASP's PREC."""


class General(Part):
    """Section ``general``."""

    structure_file: str = "POSCAR"


class Reference(Part):
    """Section ``dft_calculator``."""

    name: str = "VASP"
    prec: Annotated[Precision, _one_of(*get_args(Precision))] | None = None
    kgamma: bool = True
    incar_file: str = "INCAR"


class Thermostat(Part):
    """A heat bath by its name; some versions of SPARC want more keys beside it."""

    type: str = "Nose"


class Dynamics(Part):
    """Section ``md_simulation``, of which the dynamics of the potential take ensemble and temperature."""

    ensemble: Annotated[Ensemble, _one_of(*get_args(Ensemble))] = "NVT"
    thermostat: Annotated[
        Thermostat, BeforeValidator(lambda found: found if isinstance(found, Mapping) else {"type": found})
    ] = Thermostat()
    temperature: Positive = 300.0


class Exploration(Part):
    """Section ``deepmd_setup``."""

    input_file: str = "input.json"
    use_plumed: bool = False
    plumed_file: str = "plumed.dat"
    num_models: int = Field(2, ge=2, le=32)
    timestep_fs: Positive = 1.0
    md_steps: int = Field(0, ge=0)
    multiple_run: int = Field(1, ge=1)
    log_frequency: int = Field(1, ge=1)


class Window(Part):
    """Section ``model_dev``."""

    f_min_dev: Positive | None = None
    f_max_dev: Positive | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self.f_min_dev, self.f_max_dev
        if low is not None and high is not None and low >= high:
            raise ValueError(f"f_min_dev, f_max_dev: found {low:g} and {high:g} eV/Å, expected f_min_dev < f_max_dev")
        return self


class DistanceMetric(Part):
    """An entry of ``distance_metrics``: bounds (Å) whose break ends a run; atoms are counted from 0."""

    pair: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
    min_distance: Positive | None = None
    max_distance: Positive | None = None

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, found: Any) -> Any:
        known = isinstance(found, Mapping) and set(found) <= set(cls.model_fields)
        if not known or "pair" not in found or len(found) < 2:
            raise ValueError(f"found {found!r}, expected 'pair' and 'min_distance' or 'max_distance' (Å)")
        return found

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self.min_distance, self.max_distance
        if low is not None and high is not None and low >= high:
            raise ValueError(f"found min_distance {low:g} Å and max_distance {high:g} Å, expected the first to be less")
        return self


class SparcOptions(Part):
    """What of ``input.yaml`` is carried over; defaults are SPARC's own where it has them."""

    general: General = General()
    dft_calculator: Reference = Reference()
    md_simulation: Dynamics = Dynamics()
    deepmd_setup: Exploration = Exploration()
    iteration: int = Field(10, ge=1)
    model_dev: Window = Window()
    distance_metrics: list[DistanceMetric] = []


def _keys(part: type[Part], prefix: str = "") -> Iterator[str]:
    for name, field in part.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Part):
            yield from _keys(field.annotation, f"{prefix}{name}.")


CARRIED = frozenset(_keys(SparcOptions))
"""Dotted keys that are carried over, or that whoever translates them names."""


def read_options(path: Path) -> tuple[SparcOptions, dict[str, Any]]:
    """The options that are carried over, and everything that the file says.

    Raises
    ------
    InputError
        Names the file or the key, what was found and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; expected the folder of a SPARC run") from error
    try:
        values, node = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: cannot be understood: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: found {type(values).__name__}, expected options by name")
    return checked(values, str(path), node), values


def checked(values: dict[str, Any], where: str = INPUT, node: yaml.Node | None = None) -> SparcOptions:
    """The options that plain values state; raises as `read_options` does."""
    try:
        return SparcOptions.model_validate(values)
    except ValidationError as error:
        raise InputError(explain(error, values, where, node)) from error
