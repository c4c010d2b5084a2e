"""A run of SPARC (Verma et al. 2025, github.com/rahulumrao/sparc) as a campaign and its labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ase import Atoms

from sparc_fw.documents import Label
from sparc_fw.errors import InputError
from sparc_fw.formats.ase_files import write_extxyz
from sparc_fw.formats.reading import read_labels
from sparc_fw.geometry.files import read_structure
from sparc_fw.loading import validate_campaign
from sparc_fw.same_frames import frame_hash
from sparc_fw.sparc_deepmd import deepmd_section
from sparc_fw.sparc_explorer import explorer_section, plumed_texts
from sparc_fw.sparc_labeler import labeler_section
from sparc_fw.sparc_options import CARRIED, INPUT, NotCarried, read_options

STRUCTURE, LABELS = "structure.extxyz", "labels.extxyz"


@dataclass
class SparcRun:
    """What a run becomes.

    Attributes
    ----------
    campaign : dict
        The campaign file's values; the files that it names are `structure`, `labels` and `texts`.
    refused : Counter
        Labelled configurations that were left out, by reason.
    """

    campaign: dict[str, Any]
    structure: Atoms
    labels: list[Label]
    texts: dict[str, str] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    not_carried: list[NotCarried] = field(default_factory=list)


REASONS = {
    "dft_calculator.exe_command": "an executable of that machine: a setting of this one (sparc-fw settings)",
    "dft_calculator.xc": "write it into the INCAR (GGA, METAGGA, ...): SPARC takes PBE where it says nothing",
    "dft_calculator.pp": "set 'user_potcar_functional' of the labeler, which takes PBE",
    "dft_calculator.directory": "a folder of that machine",
    "md_simulation.tdamp": "in units of its own; 'friction_per_ps' keeps its default",
    "md_simulation.thermostat.tdamp": "in units of its own; 'friction_per_ps' keeps its default",
    "md_simulation.friction": "in units of its own; 'friction_per_ps' keeps its default",
    "md_simulation.thermostat.friction": "in units of its own; 'friction_per_ps' keeps its default",
    "md_simulation.timestep_fs": "of dynamics driven by DFT, which a campaign has none of",
    "md_simulation.steps": "of dynamics driven by DFT, which a campaign has none of; their labels are carried over",
    "md_simulation.log_frequency": "of dynamics driven by DFT, which a campaign has none of",
    "md_simulation.restart": "a campaign goes on by 'sparc-fw run FILE --resume'",
    "md_simulation.use_dft_plumed": "of dynamics driven by DFT, which a campaign has none of",
    "deepmd_setup.training": "a campaign trains in every iteration",
    "deepmd_setup.MdSimulation": "a campaign explores in every iteration",
    "deepmd_setup.data_dir": "data live in the store; those of 00.data are the labels again",
    "deepmd_setup.skip_min": "all labels are carried over",
    "deepmd_setup.skip_max": "all labels are carried over",
    "deepmd_setup.epot_threshold": "set 'energy_window_eV' of the explorer, which counts from a run's first frame",
    "active_learning": "a campaign is active learning",
    "learning_restart": "a campaign goes on by 'sparc-fw run FILE --resume'",
    "latest_model": "a file of that machine; the committee is trained anew",
}
"""Why options of ``input.yaml`` are not carried over; of a section or list the name of the whole."""
WHOLE_SECTIONS = {
    "dft_plumed": "PLUMED in dynamics driven by DFT, which a campaign has none of",
    "output": "names of files, which the store takes the place of",
}


def read_run(folder: Path, name: str | None = None) -> SparcRun:
    """Read a run; nothing in its folder changes.

    Parameters
    ----------
    name : str, optional
        Name of the campaign; that of the folder where unset.

    Raises
    ------
    InputError
        Names the file or key that is missing or cannot be read.
    """
    options, values = read_options(folder / INPUT)
    setup, window = options.deepmd_setup, options.model_dev
    structure = _structure(folder / options.general.structure_file)
    deepmd_input = folder / setup.input_file
    potential, lost = deepmd_section(_json(deepmd_input), deepmd_input)
    labeler, texts, more = labeler_section(folder, options.dft_calculator)
    plumed = plumed_texts(folder, setup)
    explorer, timing = explorer_section(options, biased=bool(plumed), cell=structure.cell.rank == 3)
    bounds = {"f_lo": window.f_min_dev, "f_hi": window.f_max_dev}
    labels, refused = _labels(folder)
    campaign = {
        "name": name or folder.absolute().name,
        "description": f"From a SPARC run with {len(labels)} labels",
        "systems": [{"name": structure.get_chemical_formula(), "structure": STRUCTURE}],
        "start": [{"kind": "labelled", "path": LABELS, "trust_settings": True}],
        "labeler": labeler,
        "potential": potential,
        "committee": setup.num_models,
        "explorer": explorer,
        "select": [
            {"kind": "overlap"},
            {"kind": "window", **{key: value for key, value in bounds.items() if value is not None}},
            {"kind": "difference"},
            {"kind": "budget"},
        ],
        "budget": {"iterations": options.iteration},
    }
    lost_input = [NotCarried(f"{deepmd_input.name}: {key}", found, why) for key, found, why in lost]
    if labeler["kind"] == "vasp":
        # What is wrong with options of the run was told with their own names.
        validate_campaign(campaign, f"{folder}, as a campaign")
    notes = [*_left_out(values), *lost_input, *more, *timing]
    return SparcRun(campaign, structure, labels, texts | plumed, refused, notes)


def _left_out(values: Mapping[str, Any]) -> Iterator[NotCarried]:
    for key, value in _flat(values):
        section = key.split(".")[0]
        if key in CARRIED:
            continue
        why = WHOLE_SECTIONS.get(section) or REASONS.get(key) or "sparc_fw has no such option"
        yield NotCarried(f"{INPUT}: {key}", str(value), why)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; expected DeePMD-kit's input") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: cannot be understood: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: found {type(values).__name__}, expected options by name")
    return values


def _structure(path: Path) -> Atoms:
    try:
        return read_structure(path.name, path.parent).atoms()
    except InputError as error:
        raise InputError(f"{path.parent / INPUT}: general.structure_file: {error}") from error


def _labels(folder: Path) -> tuple[list[Label], Counter[str]]:
    """The labels of every iteration in order, and how many configurations were left out."""
    labels: list[Label] = []
    refused: Counter[str] = Counter()
    seen: set[str] = set()
    for path in sorted(folder.glob("iter_*/00.dft/*.traj")):
        for reading in read_labels(path):
            label = reading.label
            if label is None:
                refused[reading.reason] += 1
            elif label.energy is None or label.forces is None:
                refused["no_energy" if label.energy is None else "no_forces"] += 1
            elif frame_hash(label.frame) in seen:
                refused["duplicate"] += 1
            else:
                seen.add(frame_hash(label.frame))
                label.frame.info["origin"] = path.parts[-3]
                labels.append(label)
    if not labels:
        raise InputError(f"{folder}: found no labels in iter_*/00.dft/*.traj ({dict(refused)})")
    return labels, refused


def write_run(run: SparcRun, folder: Path) -> list[Path]:
    """Write campaign, structure, labels and text files into a new folder; returns them, the campaign first.

    Raises
    ------
    InputError
        If the folder exists.
    """
    if folder.exists():
        raise InputError(f"{folder}: exists already, expected a new folder (--to)")
    folder.mkdir(parents=True)
    head = ["# A SPARC run, translated. What could not be carried over:"]
    # Without the values: paths of somebody else's machine have no place in a file that is passed on.
    head += [f"#   {note.option}: {note.why}" for note in run.not_carried]
    text = yaml.safe_dump(run.campaign, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    paths = [folder / "campaign.yaml", folder / STRUCTURE, folder / LABELS, *(folder / name for name in run.texts)]
    paths[0].write_text("\n".join([*head, "", text]), encoding="utf-8")
    run.structure.write(paths[1], format="extxyz")
    write_extxyz(run.labels, paths[2])
    for name, content in run.texts.items():
        (folder / name).write_text(content)
    return paths
