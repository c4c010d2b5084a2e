"""A campaign file read, understood, and checked against this machine, with errors that say where and what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from sparc_fw.campaign import Campaign
from sparc_fw.errors import InputError, MissingDependency, named
from sparc_fw.explorers.base import ExplorerOptions
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.sources import DynamicsSource, NormalModeSource
from sparc_fw.named_files import filled_steps, with_texts
from sparc_fw.registry import Group, backend_classes
from sparc_fw.validation_message import explain
from sparc_fw.yaml_files import read_yaml

if TYPE_CHECKING:
    from ase import Atoms

    from sparc_fw.backend import Backend, Options
    from sparc_fw.settings import Settings


@dataclass(frozen=True)
class LoadedCampaign:
    """A campaign with the frames of the files that it names.

    Attributes
    ----------
    path : Path
        The campaign file, or the folder of one that was given inline.
    """

    campaign: Campaign
    files: Files
    path: Path


def load_campaign(path: Path, changes: dict[str, Any] | None = None) -> LoadedCampaign:
    """Read a campaign file and every file that it names.

    Parameters
    ----------
    path : Path
    changes : dict, optional
        Top-level values that take the place of the file's.

    Raises
    ------
    InputError
        Names file, line and key, what was found and what is expected.
    """
    campaign = read_campaign(path, changes)
    with named(str(path)):
        return _with_files(campaign, path.absolute().parent, path)


def read_campaign(path: Path, changes: dict[str, Any] | None = None) -> Campaign:
    """Read a campaign file alone; raises as `load_campaign` does."""
    values, node = read_yaml(path, "campaign file")
    if isinstance(values, dict):
        values |= changes or {}
    return validate_campaign(values, str(path), node)


def parse_campaign(values: Any, folder: Path) -> LoadedCampaign:
    """Make a campaign of plain values, paths relative to `folder`; raises as `load_campaign` does."""
    campaign = validate_campaign(values, "campaign")
    with named("campaign"):
        return _with_files(campaign, folder, folder)


def _with_files(campaign: Campaign, folder: Path, path: Path) -> LoadedCampaign:
    """Read all files that a campaign names, relative to `folder`."""
    campaign = with_texts(campaign, folder)
    files = Files.read(campaign.paths(), folder, campaign.labelled_paths(), campaign.path_keys())
    return LoadedCampaign(campaign, files, path)


def with_other_steps(loaded: LoadedCampaign, path: Path, settings: Settings) -> Campaign:
    """A campaign with the steps of another file in the place of its own.

    Parameters
    ----------
    path : Path
        A list of steps, or 'key: value' lines of which only ``select`` is looked at, as those of a campaign file.

    Raises
    ------
    InputError
        Names file, line and key, what was found and what is expected.
    """
    values, node = read_yaml(path, "file of steps")
    if isinstance(values, list) and node is not None:
        key = yaml.ScalarNode("tag:yaml.org,2002:str", "select", node.start_mark)
        values, node = {"select": values}, yaml.MappingNode("tag:yaml.org,2002:map", [(key, node)], node.start_mark)
    if not isinstance(values, dict) or "select" not in values:
        raise InputError(f"{path}: found no steps, expected a list of them, or the key 'select' with one")
    campaign = validate_campaign(loaded.campaign.as_dict() | {"select": values["select"]}, str(path), node)
    with named(str(path)):
        campaign = campaign.model_copy(update={"select": filled_steps(campaign, path.absolute().parent)})
        for name, step in campaign.steps().items():
            _require(name, _backend("step", step, settings))
        _check_steps(LoadedCampaign(campaign, loaded.files, path), settings)
    return campaign


def validate_campaign(values: Any, where: str, node: yaml.Node | None = None) -> Campaign:
    """Make a campaign of plain values.

    Parameters
    ----------
    values : dict
        As YAML gives them.
    where : str
        Names the origin in messages: a file, or a parameter.
    node : yaml.Node, optional
        The YAML that the values were made of, for line numbers.

    Raises
    ------
    InputError
        Names the key, what was found and what is expected.
    """
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        raise InputError(f"{where}: found {found}, expected a campaign; 'sparc-fw init' writes one to start from")
    try:
        return Campaign.model_validate(values)
    except ValidationError as error:
        raise InputError(explain(error, values, where, node)) from error


def check_campaign(loaded: LoadedCampaign, settings: Settings) -> None:
    """Check all that can be known before anything is computed; changes nothing.

    Raises
    ------
    InputError
        For the first of: a package or executable that is missing, a structure that the labeler, potential or explorer
        cannot take, a source that asks for what is not there.
    """
    from sparc_fw.geometry.source_checks import check_sources

    with named(str(loaded.path)):
        _check_backends(loaded.campaign, settings)
        labeler: Any = _backend("labeler", loaded.campaign.labeler, settings)
        check_sources(loaded.campaign, loaded.files, labeler)
        _check_structures(loaded, settings)


def _backend(group: Group, options: Options, settings: Settings) -> Backend[Any]:
    return backend_classes(group)[options.kind](options, settings)


def _check_backends(campaign: Campaign, settings: Settings) -> None:
    backends: dict[str, tuple[Group, Options]] = {
        "labeler": ("labeler", campaign.labeler),
        "potential": ("potential", campaign.potential),
    }
    for key, step in campaign.steps().items():
        backends[key] = ("step", step)
    for key, explorer in _scheduled(campaign):
        backends[key] = ("explorer", explorer)
    for key, source in campaign.sources_by_key().items():
        if isinstance(source, DynamicsSource | NormalModeSource) and source.driver is not None:
            backends[f"{key}.driver"] = ("labeler", source.driver)
    for name, (group, options) in backends.items():
        _require(name, _backend(group, options, settings))


def _require(name: str, backend: Backend[Any]) -> None:
    missing = backend.missing()
    if missing:
        raise MissingDependency(f"{name}: {'; '.join(missing)}")


def _scheduled(campaign: Campaign) -> Iterator[tuple[str, ExplorerOptions]]:
    """Every explorer as it begins, and as its schedule makes it later, by key."""
    for key, options in campaign.explorers().items():
        yield key, options.at(0)
        for iteration in sorted(options.schedule.keys() - {0}):
            yield f"{key}.schedule[{iteration}]", options.at(iteration)


def _structures(loaded: LoadedCampaign) -> dict[str, Atoms]:
    from sparc_fw.geometry.build import structure_of

    return {x.name: structure_of(loaded.campaign, loaded.files, x.name) for x in loaded.campaign.systems}


def _check_steps(loaded: LoadedCampaign, settings: Settings) -> None:
    structures = _structures(loaded)
    for key, step_options in loaded.campaign.steps().items():
        step: Any = _backend("step", step_options, settings)
        with named(key):
            step.check(structures)


def _check_structures(loaded: LoadedCampaign, settings: Settings) -> None:
    from sparc_fw.goal_checks import check_goals

    _check_steps(loaded, settings)
    structures = _structures(loaded)
    check_goals(loaded.campaign, structures, loaded.files)
    potential: Any = _backend("potential", loaded.campaign.potential, settings)
    # Their messages begin with the key themselves.
    potential.check()
    potential.check_origins(loaded.campaign.origins())
    for key, options in _scheduled(loaded.campaign):
        if options.most_labels:
            with named(key):
                potential.check_refit()
        explorer: Any = _backend("explorer", options, settings)
        for system in loaded.campaign.systems:
            if options.explores(system.name):
                with named(f"{key}: system {system.name!r}"):
                    explorer.check(structures[system.name])
                    explorer.check_geometries(structures[system.name], loaded.files)


def bias_texts(loaded: LoadedCampaign, settings: Settings) -> dict[str, str]:
    """What the engines of explorers with a bias read of it, by title, for the first run of the first system of each."""
    from sparc_fw.geometry.build import structure_of

    texts: dict[str, str] = {}
    for options in loaded.campaign.explorer:
        system = next(x.name for x in loaded.campaign.systems if options.explores(x.name))
        explorer: Any = _backend("explorer", options, settings)
        title = ", ".join(filter(None, [options.title, options.place(0)]))
        texts[title] = explorer.bias_text(structure_of(loaded.campaign, loaded.files, system))
    return {title: text.strip() for title, text in texts.items() if text}


def _target_warnings(campaign: Campaign) -> list[str]:
    """A sentence where a target is set, and no run may tell how far it is met."""
    aimed = [key for key, step in campaign.steps().items() if step.goal is not None]
    if not aimed or not all(options.most_labels for _, options in _scheduled(campaign)):
        return []
    return [
        f"{aimed[0]}: target_force_error_eV_per_A: all explorers learn on the fly, so that their committee is another "
        "at the end; its frames set no thresholds, which may stay at f_lo and f_hi: add an explorer that does not"
    ]


def campaign_warnings(loaded: LoadedCampaign, settings: Settings) -> list[str]:
    """What of a checked campaign is allowed, but hardly meant; one sentence each, with key and numbers."""
    from sparc_fw.explorers.timestep import timestep_warning

    structures = _structures(loaded)
    told: list[str] = []
    for source in loaded.campaign.sources():
        if isinstance(source, DynamicsSource):
            system = source.system or loaded.campaign.systems[0].name
            sentence = timestep_warning(source.timestep_fs, structures[system].numbers)
            told += [f"{source.kind} frames: system {system!r}: timestep_fs: {sentence}"] if sentence else []
    for key, options in _scheduled(loaded.campaign):
        explorer: Any = _backend("explorer", options, settings)
        for system, structure in structures.items():
            if options.explores(system):
                told += [f"{key}: system {system!r}: {x}" for x in explorer.warnings(structure, loaded.files)]
    told += _target_warnings(loaded.campaign)
    return list(dict.fromkeys(told))
