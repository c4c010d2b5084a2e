"""Frames that are drawn to be labelled: what they show holds for frames as they come, which picks do not tell of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from sparc_fw.same_frames import frame_hash
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.shares import Share


def draw_lots(pool: Pool, sound: np.ndarray, count: int, shares: Sequence[Share], seed: int) -> None:
    """Pick frames by lot; the systems take turns, since each is calibrated for itself.

    Where the lot falls on a frame that has a label, or on the twin of one that was drawn, it falls again: a model that
    was trained on it tells nothing of frames as they come. Labels go by the frame's hash, whatever its system is.

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
    known = {frame_hash(frame) for frame in pool.labelled} if count else set()
    drawn: list[int] = []
    turns: deque[tuple[Iterator[int], list[int]]] = deque()
    for code, name in enumerate(pool.systems):
        rows = random.permutation(np.flatnonzero(sound & (pool.system == code)))
        mine = [place for place, share in enumerate(shares) if name in share.systems]
        turns.append((_new(pool, rows, known), mine))
    while turns and len(drawn) < count:
        queue, mine = turns.popleft()
        if all(left[place] > 0 for place in mine) and (row := next(queue, None)) is not None:
            drawn.append(row)
            for place in mine:
                left[place] -= 1
            turns.append((queue, mine))
    pool.draw(drawn)


def _new(pool: Pool, rows: np.ndarray, known: set[str]) -> Iterator[int]:
    """Those of some rows whose frames are not known, which they are from then on."""
    # One at a time: there may be millions of rows, of which few are asked for.
    for row in map(int, rows):
        content = frame_hash(pool.frame(row))
        if content not in known:
            known.add(content)
            yield row
