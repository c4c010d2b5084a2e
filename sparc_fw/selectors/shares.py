"""What several systems may have of an iteration's picks and of the campaign's label budget."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """What some systems may have together.

    Attributes
    ----------
    systems : frozenset of str
        Their names; every system is in one share.
    fraction : float
        Of the picks of an iteration they are assured this fraction; those of all shares add up to 1.
    left : int
        Labels of the campaign's budget that are left to them: they never get more.
    """

    systems: frozenset[str]
    fraction: float
    left: int


def divided(total: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers that add up to `total`, nearest to its fractions; of equal remainders the first is rounded up.

    Parameters
    ----------
    fractions : sequence of float
        They add up to 1.

    References
    ----------
    The method of largest remainders (Hamilton's).
    """
    # The tolerance keeps 0.29 * 100 from being 28.
    parts = [math.floor(total * fraction + 1e-9) for fraction in fractions]
    remainders = [total * fraction - part for fraction, part in zip(fractions, parts, strict=True)]
    # Rounded, so that equal remainders are equal whatever the last bit says.
    order = sorted(range(len(parts)), key=lambda place: (-round(remainders[place], 9), place))
    for place in order[: total - sum(parts)]:
        parts[place] += 1
    return parts


def allotted(count: int, wants: Sequence[float], sizes: Sequence[int]) -> list[int]:
    """Give away so many places by what each wants, to none more than it has use for; what is left goes to the others.

    Parameters
    ----------
    wants : sequence of float
        In any unit, above 0.
    sizes : sequence of int
        Most places that each has use for.
    """
    given = [0] * len(sizes)
    while (left := min(count, sum(sizes)) - sum(given)) > 0:
        wanting = [place for place, size in enumerate(sizes) if given[place] < size]
        total = math.fsum(wants[place] for place in wanting)
        parts = divided(left, [wants[place] / total for place in wanting])
        for place, part in zip(wanting, parts, strict=True):
            given[place] += min(part, sizes[place] - given[place])
    return given


class Room:
    """How many of an iteration's picks are still to be given away, and to whom.

    Parameters
    ----------
    limit : int
        Most picks of the iteration.
    shares : sequence of Share
        Empty where all systems compete for all picks.
    """

    def __init__(self, limit: int, shares: Sequence[Share]) -> None:
        self.limit = limit
        self._shares = shares
        self._assured = divided(limit, [share.fraction for share in shares]) if shares else []
        self._taken: Counter[int] = Counter()

    @property
    def full(self) -> bool:
        """Whether all picks are given away."""
        return self.taken >= self.limit

    @property
    def taken(self) -> int:
        """Picks that are given away."""
        return self._taken.total()

    def assures(self, system: str) -> bool:
        """Whether a system has a pick left that no other one can have."""
        share = self._share(system)
        return not self._shares or self._taken[share] < min(self._assured[share], self._shares[share].left)

    def allows(self, system: str) -> bool:
        """Whether a system may have a pick that another one did not want."""
        share = self._share(system)
        return not self._shares or self._taken[share] < self._shares[share].left

    def take(self, system: str) -> None:
        """Give a pick to a system."""
        self._taken[self._share(system)] += 1

    def _share(self, system: str) -> int:
        return next((place for place, share in enumerate(self._shares) if system in share.systems), 0)
