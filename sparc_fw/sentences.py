"""What a status says, in sentences: for the end of a run, the report and whoever else tells people."""

from __future__ import annotations

from typing import Any


def closing_sentences(status: dict[str, Any]) -> list[str]:
    """What there is to say below the table: the last verdict, the promoted model, and what was lost."""
    found = [status["sentence"]] if status["sentence"] else []
    if status["promoted"]:
        found.append(promoted_sentence(status))
    return found + learning_sentences(status) + saving_sentences(status) + loss_sentences(status)


def promoted_sentence(status: dict[str, Any]) -> str:
    """Which model was promoted, and what it can do."""
    promoted = status["promoted"]
    member = status["iterations"][promoted["iteration"]]["members"][promoted["member"]]
    return (
        f"Promoted: member {promoted['member']} of iteration {promoted['iteration']}, best of all on the "
        f"validation set ({promoted['validation_force_rmse']:.3f} eV/Å). {_member_sentence(member)}"
    )


def counted(counts: dict[str, int] | None) -> str:
    """Counts by name in a few words."""
    return ", ".join(f"{key} {value}" for key, value in sorted((counts or {}).items())) or "none"


def loss_sentences(status: dict[str, Any]) -> list[str]:
    """What was lost on the way and why: failed labels, frames that were left out, reference frames without a label."""
    found = []
    last: dict[str, Any] = status["iterations"][-1] if status["iterations"] else {"labels_failed": 0}
    if last["labels_failed"]:
        total = last["labels"] + last["labels_failed"]
        found.append(f"{last['labels_failed']} labels failed of {total} ({counted(last['label_failures'])})")
    if last.get("labels_left_out"):
        found.append(
            f"{last['labels_left_out']} good labels were not trained on: they lie above 'labeling.energy_window_eV'"
        )
    if last.get("labels_on_the_way"):
        found.append(
            f"{last['labels_on_the_way']} labels were spent on frames that no model was trained on: steps on the way "
            "to start frames, or what the last exploration asked for"
        )
    for row in status["iterations"]:
        dropped = {reason: number for reason, number in row["frames_dropped"].items() if number}
        if dropped:
            found.append(f"Iteration {row['iteration']}: frames left out before labeling ({counted(dropped)})")
    for role, counts in status["reference"].items():
        if counts["failed"] or any(counts["dropped"].values()):
            lost = [counted(reasons) for reasons in (counts["failures"], counts["dropped"]) if any(reasons.values())]
            found.append(f"The {role} set lacks frames that could not be made or labelled ({', '.join(lost)})")
    return suspect_sentences(status) + [f"{sentence}." for sentence in found]


def learning_sentences(status: dict[str, Any]) -> list[str]:
    """What explorations labelled and learned on the fly, and how each of them ended."""
    return [
        f"Iteration {row['iteration']}: replica {run['replica']} learned {run['labels']} labels on the fly and ended: "
        f"{run['ended']}."
        for row in status["iterations"]
        for run in row["learned"]
    ]


def saving_sentences(status: dict[str, Any]) -> list[str]:
    """What was not computed because somebody had computed it, and whether the labels come from one code."""
    found, hits = [], status["label_hits"]
    if hits["labels"]:
        found.append(f"{hits['labels']} labels were there already, which saved {duration(hits['seconds'])}.")
    versions: dict[str, set[str]] = {}
    for source in status["label_sources"]:
        versions.setdefault(source["code"], set()).add(source["version"])
    for code, several in sorted(versions.items()):
        if len(several) > 1:
            found.append(f"The labels come from {len(several)} versions of {code} ({', '.join(sorted(several))}).")
    return found


def suspect_sentences(status: dict[str, Any]) -> list[str]:
    """What became of labels that the committee could not believe."""
    counts = status["iterations"][-1]["suspects"] if status["iterations"] else {}
    unchecked = counts.get("unchecked", 0)
    total, found = sum(counts.values()) - unchecked, []
    if total:
        pending = f", {counts['pending']} still to be done" if counts["pending"] else ""
        found.append(
            f"{total} labels were suspected of a wrong state and computed again: {counts['confirmed']} confirmed, "
            f"{counts['dropped']} dropped{pending}."
        )
    if unchecked:
        found.append(
            f"{unchecked} labels are suspected of a wrong state and could not be checked: the labeler knows no other "
            "way to their numbers, or with these options it would do the first calculation over again. They are "
            "trained on; look at them, or leave the labeler's first guess as it comes."
        )
    return found


def duration(seconds: float) -> str:
    """A time span in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _member_sentence(member: dict[str, Any]) -> str:
    parts = []
    if member["test"]:
        parts.append(f"on the test set {member['test']['force_rmse']:.3f} eV/Å")
        parts.append(f"{1000 * member['test']['energy_rmse']:.1f} meV/atom")
    if member["scan_rmse"] is not None:
        parts.append(f"on the scan {1000 * member['scan_rmse']:.1f} meV")
    sentence = ", ".join(parts)
    return sentence[:1].upper() + sentence[1:] + ("." if parts else "")
