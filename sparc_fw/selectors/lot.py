"""Frames that are drawn to be labelled: what they show holds for frames as they come, which picks do not tell of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

import numpy as np

from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.shares import Share


def draw_lots(pool: Pool, sound: np.ndarray, count: int, shares: Sequence[Share], seed: int) -> None:
    """Pick frames by lot; the systems take turns, since each is calibrated for itself.

    Parameters
    ----------
    sound : ndarray of bool, shape (n_frames,)
        Among which frames to draw; all of them are in.
    count : int
        How many, or all where there are fewer.
    shares : sequence of Share
        No system is given more labels than these leave to it.
    """
    random = np.random.default_rng(seed)
    left = [share.left for share in shares]
    drawn: list[int] = []
    queues = [random.permutation(np.flatnonzero(sound & (pool.system == code))) for code in range(len(pool.systems))]
    for row in chain.from_iterable(zip_longest(*(queue.tolist() for queue in queues))):
        if row is None or len(drawn) == count:
            continue
        name = pool.systems[pool.system[row]]
        mine = [place for place, share in enumerate(shares) if name in share.systems]
        if all(left[place] > 0 for place in mine):
            drawn.append(row)
            for place in mine:
                left[place] -= 1
    pool.draw(drawn)
