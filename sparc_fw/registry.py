"""kind -> backend class, open to third parties by entry points.

A package adds a labeler by an entry point in the group ``sparc_fw.labeler`` (likewise ``sparc_fw.potential``,
``sparc_fw.explorer``, ``sparc_fw.step``) whose name is the kind and whose object is a `Backend` subclass.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sparc_fw.backend import Backend

Group = Literal["labeler", "potential", "explorer", "step"]

BUILT_IN: dict[Group, dict[str, str]] = {
    "labeler": {
        "pyscf": "sparc_fw.labelers.pyscf:PySCFLabeler",
        "xtb": "sparc_fw.labelers.xtb:XTBLabeler",
        "cp2k": "sparc_fw.labelers.cp2k:CP2KLabeler",
        "qe": "sparc_fw.labelers.qe:QELabeler",
        "vasp": "sparc_fw.labelers.vasp:VASPLabeler",
        "ase": "sparc_fw.labelers.ase_calculator:ASELabeler",
        "command": "sparc_fw.labelers.command:CommandLabeler",
        "potential": "sparc_fw.labelers.potential:PotentialLabeler",
    },
    "potential": {"deepmd": "sparc_fw.potentials.deepmd:DeepMDPotential"},
    "explorer": {
        "lammps": "sparc_fw.explorers.lammps:LAMMPSExplorer",
        "ase_md": "sparc_fw.explorers.ase_md:ASEExplorer",
        "phases": "sparc_fw.explorers.phases:PhasesExplorer",
        "uncertainty": "sparc_fw.explorers.uncertainty:UncertaintyExplorer",
        "on_the_fly": "sparc_fw.explorers.on_the_fly:OnTheFlyExplorer",
        "neb": "sparc_fw.explorers.neb:NEBExplorer",
        "saddle": "sparc_fw.explorers.saddle:SaddleExplorer",
        "normal_modes": "sparc_fw.explorers.normal_modes:NormalModesExplorer",
    },
    "step": {
        "overlap": "sparc_fw.selectors.screens:Overlap",
        "fragments": "sparc_fw.selectors.structure_screens:Fragments",
        "distances": "sparc_fw.selectors.structure_screens:Distances",
        "force_cap": "sparc_fw.selectors.energy_screens:ForceCap",
        "energy_range": "sparc_fw.selectors.energy_screens:EnergyRange",
        "window": "sparc_fw.selectors.window:Window",
        "random": "sparc_fw.selectors.baselines:Random",
        "uniform": "sparc_fw.selectors.baselines:Uniform",
        "energy": "sparc_fw.selectors.baselines:Energy",
        "time_windows": "sparc_fw.selectors.thinning:TimeWindows",
        "reaction_step": "sparc_fw.selectors.thinning:ReactionStep",
        "spacing": "sparc_fw.selectors.spacing:Spacing",
        "difference": "sparc_fw.selectors.difference:Difference",
        "diversity": "sparc_fw.selectors.diverse:Diversity",
        "budget": "sparc_fw.selectors.budget:Budget",
    },
}


@cache
def backend_classes(group: Group) -> dict[str, type[Backend[Any]]]:
    """All known backends of a group, by kind; third parties' come after the package's own.

    Raises
    ------
    ValueError
        If a third party's entry point takes a kind that is built in.
    """
    classes: dict[str, type[Backend[Any]]] = {}
    for kind, location in BUILT_IN[group].items():
        module, name = location.split(":")
        classes[kind] = getattr(importlib.import_module(module), name)
    for point in entry_points(group=f"sparc_fw.{group}"):
        if point.name in classes:
            raise ValueError(f"entry point {point.value} takes the {group} kind '{point.name}', which exists already")
        classes[point.name] = point.load()
    return classes


class OneOrMore:
    """Pydantic annotation of a list of sections or numbers: a single entry may stand without the list around it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def listed(value: Any) -> Any:
            return [value] if isinstance(value, dict | int | float) else value

        return core_schema.no_info_before_validator_function(listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


class ByKind:
    """Pydantic annotation: the options of whichever backend of `group` the key ``kind`` names."""

    def __init__(self, group: Group) -> None:
        self.group = group

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {kind: handler.generate_schema(cls.Options) for kind, cls in backend_classes(self.group).items()}
        return core_schema.tagged_union_schema(choices=choices, discriminator="kind")
