"""What an iteration selects from, and all else that its selection knows: the same whenever somebody asks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sparc_fw.campaign import Campaign
from sparc_fw.documents import Label
from sparc_fw.errors import StageFailed
from sparc_fw.firetasks.budget import labels_spent, shares_left
from sparc_fw.seeds import derive_seed
from sparc_fw.selectors.base import Context
from sparc_fw.selectors.calibration_records import Calibration
from sparc_fw.store import Store
from sparc_fw.trajectories import Exploration


def explorations_of(store: Store, campaign: Campaign, iteration: int) -> list[Exploration]:
    """What every replica of an iteration saw.

    Raises
    ------
    StageFailed
        If one of them is not in the store.
    """
    found = []
    for replica in range(sum(1 for _ in campaign.runs())):
        exploration = store.exploration(campaign.name, iteration, replica)
        if exploration is None:
            raise StageFailed(f"iteration {iteration}: exploration {replica} is not in the store; rerun it")
        found.append(exploration)
    return found


def labels_before(store: Store, campaign: Campaign, iteration: int) -> dict[str, Label]:
    """The labels that an iteration does not ask for again, failed ones included, by key; none of what it picked."""
    trained = [key for keys in store.training_keys(campaign.name, iteration) for key in keys]
    asked = dict.fromkeys(trained + store.paid_keys(campaign.name, iteration))
    labels = store.labels_by_key(asked)
    return {key: labels[key] for key in asked if key in labels}


def context_of(store: Store, campaign: Campaign, iteration: int, calibration: Mapping[str, Calibration]) -> Context:
    """What the selection of an iteration knows besides the frames."""
    known = labels_before(store, campaign, iteration).values()
    return Context(
        labelled=[label.frame for label in known],
        energies=[np.nan if label.energy is None else label.energy for label in known],
        limit=max(0, campaign.budget.labels - labels_spent(store, campaign, iteration)),
        seed=derive_seed(campaign.seed, iteration, "select"),
        shares=shares_left(store, campaign, iteration),
        iteration=iteration,
        kept_apart=store.test_hashes(campaign.name),
        most_failed=campaign.convergence.max_failed_fraction,
        before_failure=campaign.convergence.frames_before_failure,
        calibration=calibration,
    )
