"""What can become of an explored frame, in words for people."""

from __future__ import annotations

from sparc_fw.documents import PICK

NOT_LABELLED = "pick_not_labelled"
"""What a pick is called that no iteration was there for."""

FATES: dict[str, str] = {
    PICK: "It was picked for a label.",
    NOT_LABELLED: "It was picked, but no iteration came after that would have labelled it.",
    "accurate": "The members agree about it: what it is judged by lies below the lower threshold.",
    "failed": "What it is judged by lies above the upper threshold: such a frame is not worth a label.",
    "nan": "A position is no finite number, or a member gives no finite force or energy.",
    "in_test_set": "It is a frame of the test set, on which nothing is ever trained.",
    "overlap": "Two of its atoms are on top of each other.",
    "fragments": "It fell into too many pieces, or an atom left it.",
    "distances": "It breaks a bound on a distance that the campaign sets.",
    "force_cap": "The committee's mean force on an atom is larger than the step allows.",
    "energy_range": "Its energy lies too far above the highest label of the same atoms.",
    "after_failure": "Its run had failed for so long before that all that comes later counts as lost.",
    "not_worst_of_window": "The members disagree more about another frame of the same window in time.",
    "too_close_in_time": "A pick of the same run is too near in time.",
    "too_similar": "It is too similar to a labelled frame, or to one that came before it.",
    "over_number_of_run": "As many frames of its run as the step keeps came before it along the reaction.",
    "not_compared": "Too many frames that deserve a label more were there to be compared with each other.",
    "less_diverse": "Others differ more from each other and from what is labelled.",
    "not_at_crossing": "Most frames failed, and it is none of those where its run began to fail.",
    "over_cap": "Frames that deserve a label more took all places that there were.",
    "over_share": "Its system has had its share of the labels; without shares there would have been a place for it.",
}
"""Every fate that a step of this package gives, with what it means."""


def told(fate: str) -> str:
    """What a fate means, in a sentence; of one that is not known here, what its step calls it."""
    return FATES.get(fate, f"The step that took it calls that {fate!r}.")
