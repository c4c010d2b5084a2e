"""``sparc-fw explain``: why frames were picked, or were not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from sparc_fw.cli.control import CampaignName
from sparc_fw.cli.screen import Json, print_json, print_table

if TYPE_CHECKING:
    from sparc_fw.explained_frame import ExplainedFrame
    from sparc_fw.explaining import Explained, Pick

SHOWN = 40
"""Picks on the terminal; JSON has all."""


def explain(
    campaign: CampaignName,
    iteration: Annotated[int | None, typer.Option("--iteration", min=0, help="The last one where unset.")] = None,
    frame: Annotated[
        str | None, typer.Option("--frame", help="One frame: its number in the iteration, or REPLICA:INDEX.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what became of the frames that an iteration explored, what its picks' labels showed, and why of one frame."""
    from sparc_fw.explained_frame import explain_frame
    from sparc_fw.explaining import explain_iteration, last_iteration
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    settings = load_settings()
    with open_session(settings) as session:
        number = last_iteration(session.store, campaign) if iteration is None else iteration
        explained = explain_iteration(session.store, settings, campaign, number)
        one = None if frame is None else explain_frame(session.store, explained, frame)
    if as_json:
        print_json(explained.as_dict() | ({} if one is None else {"frame": one.as_dict()}))
    elif one is not None:
        _print_frame(explained, one)
    else:
        _print_iteration(explained)


def _print_iteration(explained: Explained) -> None:
    from sparc_fw.fates import told
    from sparc_fw.measure_names import TITLES, in_unit

    selection, total = explained.selection, len(explained.selection.frames)
    typer.echo(
        f"{selection.campaign_id}, iteration {selection.iteration}: {total:,} frames of {len(explained.replicas)} "
        f"replicas, {len(explained.picks)} picks"
        + (f" and {len(selection.copies)} copies of them" if selection.copies else "")
    )
    typer.echo(selection.sentence)
    for name, window in (selection.windows or {"": selection.window}).items():
        low, high = (in_unit(f"{bound:.4g}", selection.measure) for bound in window)
        typer.echo(f"candidates{f' of {name}' if name else ''} have a {TITLES[selection.measure]} of {low} to {high}")
    typer.echo("")
    rows = [
        (fate, f"{count:,}", f"{100 * count / total:.1f}", told(fate)) for fate, count in explained.fates.most_common()
    ]
    print_table(("fate", "frames", "%", "what it means"), rows)
    typer.echo("")
    fates = [", ".join(f"{count:,} {fate}" for fate, count in replica.fates.items()) for replica in explained.replicas]
    print_table(
        ("replica", "system", "frames", "fates"),
        [
            (replica.replica, replica.system, f"{replica.frames:,}", told)
            for replica, told in zip(explained.replicas, fates, strict=True)
        ],
    )
    if explained.picks:
        typer.echo("")
        _print_picks(explained)


def _print_picks(explained: Explained) -> None:
    from sparc_fw.measure_names import titled

    measure = titled(explained.selection.measure)
    columns = ("pick", "frame", "system", measure, "label", "force error (eV/Å)", "key")
    print_table(columns, [_pick_cells(pick) for pick in explained.picks[:SHOWN]])
    if len(explained.picks) > SHOWN:
        typer.echo(f"the first {SHOWN} of {len(explained.picks)} picks are shown, --json gives the rest")
    typer.echo(
        f"force error: largest over the atoms, of member {explained.member} of this iteration, which had not seen "
        "the label"
        if explained.member is not None
        else f"no force errors: {explained.no_errors}"
    )


def _pick_cells(pick: Pick) -> tuple[str, ...]:
    number = f"{pick.number} (lot)" if pick.drawn else str(pick.number)
    error = "–" if pick.force_error is None else f"{pick.force_error:.3g}"
    place, key = f"{pick.replica}:{pick.index}", (pick.key or "–")[:10]
    return (number, place, pick.system, f"{pick.value:.3g}", _label(pick), error, key)


def _label(pick: Pick) -> str:
    return f"failed: {pick.reason}" if pick.status == "failed" else pick.status


def _print_frame(explained: Explained, frame: ExplainedFrame) -> None:
    selection = explained.selection
    part = f", {frame.part}" if frame.part else ""
    typer.echo(
        f"{selection.campaign_id}, iteration {selection.iteration}, frame {frame.number}: replica {frame.replica}, "
        f"index {frame.index} ({frame.system}, {frame.explorer}{part})"
    )
    typer.echo(f"{frame.fate}: {frame.sentence}")
    print_table(("", ""), _frame_rows(explained, frame))


def _frame_rows(explained: Explained, frame: ExplainedFrame) -> Iterator[tuple[str, str]]:
    from sparc_fw.measure_names import TITLES, in_unit

    selection = explained.selection
    low, high = (f"{bound:.4g}" for bound in selection.windows.get(frame.system, selection.window))
    judged = "not finite" if frame.value is None else in_unit(f"{frame.value:.4g}", selection.measure)
    yield "class", f"{frame.frame_class}: {TITLES[selection.measure]} {judged}, thresholds {low} and {high}"
    if frame.taken_by is not None:
        yield "taken by", frame.taken_by
    if frame.turn is not None:
        yield "turn", f"{frame.turn}, in the order in which frames came up for a place"
    if frame.pick is not None:
        drawn = ", drawn by lot, to tell of frames as they come" if frame.pick.drawn else ""
        yield "pick", f"{frame.pick.number} of {len(explained.picks)}{drawn}"
        yield "label", _told_label(frame.pick)
    if frame.nearest is not None:
        yield "nearest", f"{frame.nearest.name}: every sorted distance within {frame.nearest.distance_A:.3g} Å"
    if frame.time_fs is not None:
        yield "time", f"{frame.time_fs:g} fs"
    for name, value in frame.measures.items():
        yield TITLES[name], "not finite" if value is None else in_unit(f"{value:.4g}", name)
    for name, number in frame.series.items():
        yield name, f"{number:.6g}"


def _told_label(pick: Pick) -> str:
    if pick.key is None:
        return "none"
    error = "" if pick.force_error is None else f", force error {pick.force_error:.3g} eV/Å"
    last = pick.message.strip().splitlines()[-1:]
    return f"{pick.key[:10]}: {_label(pick)}{error}" + "".join(f" ({line.strip()})" for line in last)
