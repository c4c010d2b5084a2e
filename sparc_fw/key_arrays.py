"""Keys as arrays of bytes: what many arrays have in common with one is found without an object per key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def key_array(keys: Sequence[str]) -> np.ndarray:
    """ASCII keys, sorted, as bytes of equal width, which numpy compares without making an object of each."""
    width = max(map(len, keys), default=1)
    return np.array(sorted(keys), dtype=f"S{width + -width % 8}")


def in_common(wanted: np.ndarray, arrays: Sequence[np.ndarray]) -> list[list[str]]:
    """Those keys of each array that are in `wanted`.

    Parameters
    ----------
    wanted : ndarray
        Of `key_array`.
    arrays : sequence of ndarray
        Of `key_array`, too; of any widths.

    Returns
    -------
    list of list of str
        For each array, in its order.
    """
    found: list[list[str]] = [[] for _ in arrays]
    if not len(wanted) or not arrays:
        return found
    # Integers are compared ten times faster than text, and hashes nearly always differ in their first 8 bytes.
    firsts = _beginnings(wanted)
    begun = np.concatenate([_beginnings(array) for array in arrays])
    places = np.minimum(np.searchsorted(firsts, begun), len(firsts) - 1)
    ends = np.cumsum([len(array) for array in arrays])
    exact = set(wanted.tolist())
    for place in np.flatnonzero(firsts[places] == begun).tolist():
        number = int(np.searchsorted(ends, place, side="right"))
        key = bytes(arrays[number][place - ends[number]])
        if key in exact:
            found[number].append(key.decode())
    return found


def _beginnings(keys: np.ndarray) -> np.ndarray:
    """The first 8 bytes of keys as integers of the same order."""
    return np.ascontiguousarray(keys).view(">u8")[:: keys.itemsize // 8].astype(np.uint64)
