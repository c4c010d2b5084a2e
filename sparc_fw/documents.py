"""Typed records that backends return and the store keeps.

Units throughout: energy eV, length Å, force eV/Å, stress eV/Å^3 (ASE's sign and Voigt order), time fs unless a
name says otherwise.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from ase import Atoms

from sparc_fw.measure_names import FORCE_MAX
from sparc_fw.same_frames import canonical_order, frame_hash, same_atoms

Reason = Literal["not_converged", "timeout", "crashed", "overlap", "force_cap", "nan", "wrong_state", "bad_input"]
REASONS: tuple[str, ...] = get_args(Reason)
FrameClass = Literal["accurate", "candidate", "failed"]
Verdict = Literal["continue", "converged", "exploded", "stalled", "exhausted"]


FROM_FILE = "file"
"""``code`` of a label that a campaign brought along."""


PICK = "pick"
"""``origin`` of frames that a selection chose, and their fate."""
AUGMENTED = "augmented"
"""``origin`` of copies of picks that are labelled beside them."""
IMPORT = "import"
"""``origin`` of frames that files brought while a campaign runs, and role of their frame sets."""
ON_THE_FLY = "on_the_fly"
"""``origin`` of frames that were labelled while an exploration waited, and role of their frame sets."""


def json_hash(value: Any) -> str:
    """SHA-256 of a JSON-able value in canonical form (sorted keys)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_key(frame: Atoms, energy: float, forces: np.ndarray) -> str:
    """Key of a label whose numbers a file brought: never a labeler's, so that none passes for what it computed."""
    sorted_forces = np.asarray(forces)[canonical_order(frame)]
    return json_hash([frame_hash(frame), FROM_FILE, energy, sorted_forces.tolist()])


@dataclass
class Label:
    """A frame with its reference energy and forces, or the reason why there is none.

    Attributes
    ----------
    frame : Atoms
        The configuration; ``info`` carries ``system``, ``charge``, ``spin`` (number of unpaired electrons) and
        ``origin`` (the kind of source that it came from, or ``pick``).
    energy : float or None
        eV; with smeared occupations the free energy, whose slope the forces are.
    forces : ndarray of shape (n_atoms, 3) or None
        eV/Å.
    stress : ndarray of shape (6,) or None
        eV/Å^3, only where the frame is periodic.
    message : str
        The code's own last words where it failed.
    attempts : int
        Calculations that were begun, those of retry rules included.
    settings_hash : str
        Hash of all that decides the labeler's numbers; labels of one hash belong together.
    effort_hash : str
        Hash of how much was tried (limits, rules for further attempts): with more, what failed may converge.
    """

    frame: Atoms
    status: Literal["ok", "failed"]
    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    reason: Reason | None = None
    message: str = ""
    seconds: float = 0.0
    attempts: int = 1
    cores: int = 1
    code: str = ""
    version: str = ""
    host: str = ""
    settings_hash: str = ""
    effort_hash: str = ""
    key: str = ""

    def for_frame(self, frame: Atoms) -> Label:
        """The label as that of a frame that was asked for: atoms and forces in its order, ``info`` its own.

        Whoever paid for a label may have had other names for its system and origin, and, where the labeler takes like
        atoms for alike, another order of the atoms. Whatever a stored label is handed out for, it comes through here.

        Raises
        ------
        ValueError
            If it is the label of another frame.
        """
        try:
            order = same_atoms(self.frame, frame)
        except ValueError as error:
            raise ValueError(f"label {self.key[:12]}…: {error}") from error
        own = self.frame
        asked = Atoms(own.numbers[order], own.positions[order], cell=own.cell, pbc=own.pbc, info=dict(frame.info))
        return replace(self, frame=asked, forces=None if self.forces is None else self.forces[order])


@dataclass
class Dataset:
    """Labels to train on and labels held out, both in a fixed order; all are ``ok``.

    Lists, or `sparc_fw.label_arrays.Labels`, which has the same labels as arrays; the functions of that module take
    either.

    Attributes
    ----------
    left_out : int
        Good labels that are in neither, because their energy is too high.
    held_out : dict of int to sequence of Label
        What is held out, by the iteration that it came from; empty where nobody asked.
    """

    train: Sequence[Label]
    validation: Sequence[Label]
    left_out: int = 0
    held_out: dict[int, Sequence[Label]] = field(default_factory=dict)


@dataclass
class TrainedModel:
    """What a training leaves: a frozen model file and how it came about.

    Attributes
    ----------
    file : bytes
        The frozen model.
    suffix : str
        File name ending that the framework expects, with the dot.
    elements : list of str
        Chemical symbols in the model's own type order.
    curve : list of dict
        Learning curve: ``step`` and the errors that the framework printed.
    """

    file: bytes
    suffix: str
    elements: list[str]
    seed: int
    steps: int
    seconds: float
    framework: str
    version: str
    curve: list[dict[str, float]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class FrameVerdict:
    """What became of one explored frame.

    Attributes
    ----------
    deviation : float
        What the selection judged it by: the force deviation, eV/Å, or another measure of the committee's disagreement.
    fate : str
        ``"pick"``, or the reason why not: one of `sparc_fw.fates.FATES`, or what a step of a third party calls it.
    step : int
        Place in the list of the step that took it; -1 for a pick, and where it was none of them: frames that are broken
        go before the first step, those that the campaign's label budget has no room for after the last.
    turn : int
        Counted from 0, when it came up for a place among the picks, best first; -1 where it never did.
    drawn : bool
        Picked by lot among the sound frames, so that its label tells of frames as they come.
    """

    replica: int
    index: int
    deviation: float
    frame_class: FrameClass
    fate: str
    step: int = -1
    turn: int = -1
    drawn: bool = False


@dataclass
class Selection:
    """All that an iteration's selection concluded; written down before anything is done about it."""

    campaign_id: str
    iteration: int
    frames: list[FrameVerdict]
    picks: list[Atoms]
    fractions: dict[str, float]
    counts: dict[str, int]
    quantiles: dict[str, float]
    """Quantiles of the measure over all finite frames, keyed ``"0.05"`` … ``"1.0"``."""
    window: tuple[float, float]
    verdict: Verdict
    sentence: str
    go_on: bool
    """Whether the next iteration is to be appended."""
    calm: bool = False
    """Whether nothing but patience, or observables that still move, was missing to call it converged."""
    copies: list[Atoms] = field(default_factory=list)
    """Copies of the picks that are labelled beside them."""
    copies_dropped: dict[str, int] = field(default_factory=dict)
    """Copies that were left out, by reason."""
    time_factor: float = 1.0
    """Fraction of their planned time that the runs of the next iteration last; below 1 after an explosion."""
    measure: str = FORCE_MAX
    """What the window's thresholds are for, and the quantiles."""
    windows: dict[str, tuple[float, float]] = field(default_factory=dict)
    """The thresholds of each system, where they have their own; then `window` spans them all."""
    places: list[tuple[int, int]] = field(default_factory=list)
    """Replica and index of each of `picks`."""
    observed: list[dict[str, Any]] = field(default_factory=list)
    """What the observables that convergence names were, each an `Observed` with its ``key``."""


@dataclass
class Errors:
    """Errors on a fixed set of labels.

    Attributes
    ----------
    force_rmse, force_mae : float
        Root mean square and mean absolute value over all components, eV/Å.
    energy_rmse : float
        Per atom, eV/atom.
    frames, atoms : int
        How many there are, atoms over all frames.
    """

    force_rmse: float
    force_mae: float
    energy_rmse: float
    frames: int
    atoms: int

    @classmethod
    def pooled(cls, parts: Sequence[Errors]) -> Errors:
        """The errors on several sets taken together, none of them empty."""
        frames, atoms = sum(part.frames for part in parts), sum(part.atoms for part in parts)
        return cls(
            force_rmse=math.sqrt(sum(part.force_rmse**2 * part.atoms for part in parts) / atoms),
            force_mae=sum(part.force_mae * part.atoms for part in parts) / atoms,
            energy_rmse=math.sqrt(sum(part.energy_rmse**2 * part.frames for part in parts) / frames),
            frames=frames,
            atoms=atoms,
        )


@dataclass
class Report:
    """What the members of an iteration's committee can do, against labels they never saw.

    Attributes
    ----------
    members : list of dict
        Per member: ``validation``, ``test`` (`Errors` as dict or None), ``held_out`` (`Errors` as dict, by the
        iteration that the held-out labels came from, as text), ``scan_rmse`` (eV or None), ``scan`` (energies along the
        scan, eV, or None), ``differences`` (energies between the end states that convergence names, eV, by its place).
    best : int
        Member with the least validation force error.
    left_out : int
        Good labels that were not trained on, because their energy is too high.
    """

    campaign_id: str
    iteration: int
    members: list[dict[str, Any]]
    best: int
    left_out: int = 0
    seconds: float = 0.0
