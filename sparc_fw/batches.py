"""How many frames go into one label Firework."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

from ase import Atoms

from sparc_fw.campaign import Campaign
from sparc_fw.registry import backend_classes
from sparc_fw.settings import Settings
from sparc_fw.store import Store


def label_batches(
    store: Store, campaign: Campaign, frames: Sequence[tuple[str, Atoms]], known: Container[str]
) -> Iterator[tuple[int, int]]:
    """Split the frames of one system into consecutive batches, by count or by the wall time that they will take.

    Parameters
    ----------
    frames : sequence of (str, Atoms)
        Label key and frame.
    known : container of str
        Keys that have a label already, which takes no time.

    Yields
    ------
    tuple of int
        First and last (exclusive) place in `frames`.
    """
    limit = campaign.labeling.batch_seconds
    share = 1.0 / campaign.labeling.batch  # of a batch, where nothing is known of the composition
    costs: dict[str, float] = {}
    first, filled = 0, 0.0
    for place, (key, frame) in enumerate(frames):
        formula = frame.get_chemical_formula()
        if formula not in costs:
            seconds = None if limit is None else store.typical_seconds(_settings_hash(campaign), formula)
            costs[formula] = share if limit is None or seconds is None else seconds / limit
        cost = 0.0 if key in known and limit is not None else costs[formula]
        # The tolerance keeps ten shares of a tenth from being more than one.
        if place > first and filled + cost > 1.0 + 1e-9:
            yield first, place
            first, filled = place, 0.0
        filled += cost
    if frames:
        yield first, len(frames)


def _settings_hash(campaign: Campaign) -> str:
    labeler: Any = backend_classes("labeler")[campaign.labeler.kind](campaign.labeler, Settings())
    return str(labeler.settings_hash)
