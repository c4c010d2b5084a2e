"""What is left of a campaign's label budget, for all systems and for each share of it."""

from __future__ import annotations

from sparc_fw.campaign import Campaign
from sparc_fw.selectors.shares import Share
from sparc_fw.store import Store


def labels_spent(store: Store, campaign: Campaign, iteration: int, explored: bool = True) -> int:
    """Labels asked for up to an iteration, failed ones included; with or without what its exploration asked for."""
    return store.count_paid(store.paid_keys(campaign.name, iteration, explored))


def shares_left(store: Store, campaign: Campaign, iteration: int, explored: bool = True) -> list[Share]:
    """What the systems may have of the picks and have left of the budget; empty where they compete for everything."""
    limits = campaign.label_limits()
    if not limits:
        return []
    asked = store.paid_keys_by_system(campaign.name, iteration, explored)
    fractions = [fraction for _, fraction in campaign.label_shares()]
    shares = []
    for (names, limit), fraction in zip(limits, fractions, strict=True):
        spent = store.count_paid(key for name in names for key in asked.get(name, []))
        shares.append(Share(names, fraction, max(0, limit - spent)))
    return shares


def labels_for_replica(store: Store, campaign: Campaign, iteration: int, explorer: int, system: str) -> int:
    """Labels that a replica may ask for while it runs.

    What was left before the iteration's exploration is divided among all of its replicas that may ask, whether they
    ask or not: they run side by side, and one that runs again must be allowed what it was the first time.
    """
    options = [each.at(iteration) for each in campaign.explorer]
    asking = {
        s.name: sum(each.runs for each in options if each.most_labels and each.explores(s.name))
        for s in campaign.systems
    }
    left = max(0, campaign.budget.labels - labels_spent(store, campaign, iteration, explored=False))
    allowed = min(options[explorer].most_labels, left // sum(asking.values()))
    for share in shares_left(store, campaign, iteration, explored=False):
        if system in share.systems:
            allowed = min(allowed, share.left // sum(asking[name] for name in share.systems))
    return allowed
