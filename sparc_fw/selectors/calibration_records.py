"""What a calibration rests on, and what it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from sparc_fw.selectors.conformal import Bound

Kind = Literal["random", "picks"]


class Goal(NamedTuple):
    """What thresholds are fitted to: a force error (eV/Å), a confidence, and thresholds (eV/Å) for want of labels."""

    target: float
    confidence: float
    wide: tuple[float, float]


@dataclass(frozen=True)
class Pairs:
    """What the committee said of frames of one system, and what their labels showed.

    Attributes
    ----------
    sigma : ndarray of shape (n_labels,)
        Force deviation, eV/Å, of the committee before it saw the label; finite.
    error : ndarray of shape (n_labels,)
        Largest force error over the atoms, eV/Å; NaN where the label failed (SCF, force cap, ...).
    force : ndarray of shape (n_labels,)
        Largest force on an atom by the label, eV/Å; NaN where it failed.
    random : ndarray of bool, shape (n_labels,)
        Drawn at random from the explored frames, not picked for its deviation.
    weight : ndarray of shape (n_labels,)
        Positive; less than 1 for labels of earlier committees, which were others.
    """

    sigma: np.ndarray
    error: np.ndarray
    force: np.ndarray
    random: np.ndarray
    weight: np.ndarray

    def __post_init__(self) -> None:
        shapes = {name: np.shape(getattr(self, name)) for name in ("sigma", "error", "force", "random", "weight")}
        if len(set(shapes.values())) > 1 or self.sigma.ndim != 1:
            raise ValueError(f"pairs: found columns of shapes {shapes}, expected one length")
        if not (np.isfinite(self.sigma).all() and (self.sigma >= 0).all()):
            raise ValueError("pairs.sigma: found numbers that are negative or not finite: such frames have no label")
        if not (self.weight > 0).all():
            raise ValueError(f"pairs.weight: found {self.weight.min()}, expected positive numbers")

    def __len__(self) -> int:
        return len(self.sigma)

    @property
    def kinds(self) -> np.ndarray:
        """``random`` or ``picks`` of every label."""
        return np.where(self.random, "random", "picks")

    @property
    def good(self) -> Pairs:
        """Those whose label did not fail."""
        return self.part(np.isfinite(self.error))

    @classmethod
    def joined(cls, parts: Sequence[Pairs], weights: Sequence[float]) -> Pairs:
        """Several sets as one, the weights of each multiplied by a number."""
        scaled = [replace(part, weight=weight * part.weight) for part, weight in zip(parts, weights, strict=True)]
        empty = [cls(*(np.zeros(0, dtype=kind) for kind in (float, float, float, bool, float)))]
        columns = ([getattr(part, one.name) for part in empty + scaled] for one in fields(cls))
        return cls(*(np.concatenate(column) for column in columns))

    def part(self, rows: np.ndarray) -> Pairs:
        """Some of them, by a mask or by indices."""
        return Pairs(self.sigma[rows], self.error[rows], self.force[rows], self.random[rows], self.weight[rows])


@dataclass(frozen=True)
class Coverage:
    """How often the error was below the bound, on labels that the bound was not fitted to.

    Attributes
    ----------
    kind : {"random", "picks"}
        Which labels; either is compared with the bound that is made for it.
    source : {"held out", "new labels"}
        Labels of the same iteration that were left out in turn, or labels that came after the fit.
    """

    kind: Kind
    source: Literal["held out", "new labels"]
    labels: int
    aimed: float
    found: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Labels of similar deviation: what was predicted of them, and what was found; eV/Å but for the fraction."""

    sigma: float
    labels: int
    predicted: float
    found: float
    covered: float


@dataclass(frozen=True)
class Calibration:
    """What is known of one system's force deviation after an iteration; plain numbers, as JSON takes them.

    Attributes
    ----------
    confidence : float
    target : float
        Force error that the user cares about, eV/Å.
    f_lo, f_hi : float
        Thresholds, eV/Å; see `sparc_fw.selectors.calibration.thresholds`.
    calibrated : bool
        False where they are the wide ones that were given, since labels are too few.
    labels, drawn, failed : int
        Labels, those of them that were drawn at random, and that failed.
    explored, picks, typical : Bound or None
        For frames drawn at random from the explorations; for frames that are picked; and of the error that is as likely
        larger as smaller, for labels as they are.
    below_labels, above_labels : float
        Fraction of the explored frames with a smaller deviation than any label's, where the bound is the one of the
        nearest labels; and with a larger one, of which no bound speaks.
    accurate_labels, accurate_within, accurate_effective : int, float or None, and float
        Labels with a deviation below `f_lo`; the fraction of them, by weight, whose error is at most the target, which
        that of a failed one is not; and how many labels of equal weight tell as much. Where they are few the lower
        threshold rests on the shape of the bound: on a real committee it held where a tenth of the frames lay below it,
        and was too bold where hardly any did.
    mean_bound, median_bound : float or None
        Sharpness: bounds of the other explored frames, eV/Å.
    rank_correlation : float or None
        Spearman's, of deviation and error.
    coverage : list of Coverage
    curve : list of Coverage
        As `coverage`, at other confidences.
    bins : list of ReliabilityBin
    sentence : str
        All this for people.
    """

    system: str
    confidence: float
    target: float
    f_lo: float
    f_hi: float
    calibrated: bool
    labels: int
    drawn: int
    failed: int
    explored: Bound | None = None
    picks: Bound | None = None
    typical: Bound | None = None
    below_labels: float = 0.0
    above_labels: float = 0.0
    accurate_labels: int = 0
    accurate_within: float | None = None
    accurate_effective: float = 0.0
    mean_bound: float | None = None
    median_bound: float | None = None
    rank_correlation: float | None = None
    coverage: list[Coverage] = field(default_factory=list)
    curve: list[Coverage] = field(default_factory=list)
    bins: list[ReliabilityBin] = field(default_factory=list)
    sentence: str = ""

    def document(self) -> dict[str, Any]:
        """As a dictionary of plain values."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Calibration:
        """The inverse of `document`."""
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_python(document)
