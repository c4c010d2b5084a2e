"""``sparc-fw replay``: what another selection would have picked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparc_fw.cli.control import CampaignName
from sparc_fw.cli.screen import Json, print_json, print_table

if TYPE_CHECKING:
    from sparc_fw.replaying import Outcome, Replayed


def replay(
    campaign: CampaignName,
    select: Annotated[
        Path, typer.Option("--select", help="YAML: a list of steps, or the key 'select' with one, as campaigns have.")
    ],
    iteration: Annotated[int | None, typer.Option("--iteration", min=0, help="All where unset.")] = None,
    as_json: Json = False,
) -> None:
    """Select again from the stored explorations by other steps, and compare; nothing is labelled or stored."""
    from sparc_fw.loading import LoadedCampaign, with_other_steps
    from sparc_fw.replaying import replay as again
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    settings = load_settings()
    with open_session(settings) as session:
        stored = LoadedCampaign(session.store.campaign(campaign), session.store.campaign_files(campaign), Path())
        changed = with_other_steps(stored, select, settings)
        found = again(session.store, settings, changed, None if iteration is None else [iteration])
    if as_json:
        steps = changed.as_dict()["select"]
        print_json({"campaign": campaign, "select": steps, "iterations": [each.as_dict() for each in found]})
        return
    _print(campaign, select, found)


def _print(campaign: str, file: Path, found: list[Replayed]) -> None:
    typer.echo(f"{campaign}: its own selection (then) and that of {file} (now), from the same explored frames")
    print_table(
        ("it.", "picks then", "now", "in common", "accurate %", "candidate %", "failed %"),
        [
            (each.iteration, len(each.then.picks), len(each.now.picks), each.common, *_classes(each))
            for each in found
        ],
    )  # fmt: skip
    typer.echo("")
    windows = [(each.iteration, _window(each.then), _window(each.now)) for each in found]
    print_table(("it.", "candidates then", "candidates now"), windows)
    typer.echo("")
    print_table(("it.", "fate", "frames then", "frames now"), [row for each in found for row in _fates(each)])
    if len(found) > 1:
        typer.echo(
            "\nOther picks would have led later iterations elsewhere: beyond the first, this compares what the steps "
            "make of the same frames"
        )


def _classes(each: Replayed) -> list[str]:
    then, now = each.then.fractions, each.now.fractions
    return [f"{100 * then[name]:.1f} → {100 * now[name]:.1f}" for name in then]


def _window(outcome: Outcome) -> str:
    from sparc_fw.measure_names import TITLES, in_unit

    low, high = outcome.window
    return f"{TITLES[outcome.measure]} of {low:.4g} to {in_unit(f'{high:.4g}', outcome.measure)}"


def _fates(each: Replayed) -> list[tuple[str, ...]]:
    names = sorted({*each.then.fates, *each.now.fates}, key=lambda name: (-each.then.fates.get(name, 0), name))
    return [
        (str(each.iteration), name, f"{each.then.fates.get(name, 0):,}", f"{each.now.fates.get(name, 0):,}")
        for name in names
    ]
