"""Labels that can share arrays."""

from __future__ import annotations

from collections.abc import Sequence

from sparc_fw.documents import Label

Indexed = tuple[int, Label]


def alike(labels: Sequence[Label], by_order: bool = True) -> list[tuple[Label, list[Indexed]]]:
    """Group labels with as many atoms, equally periodic, all with or all without stress.

    Parameters
    ----------
    by_order : bool
        Whether the atoms of a group are the same in the same order, too.

    Returns
    -------
    list of (Label, list of (int, Label))
        The first label of each group, and all of them with their place in `labels`.
    """
    groups: dict[tuple[object, ...], list[Indexed]] = {}
    for index, label in enumerate(labels):
        atoms: object = label.frame.numbers.tobytes() if by_order else len(label.frame)
        key = (atoms, tuple(label.frame.pbc), label.stress is not None)
        groups.setdefault(key, []).append((index, label))
    return [(members[0][1], members) for members in groups.values()]
