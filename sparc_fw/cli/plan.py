"""``sparc-fw plan``: what a campaign will take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparc_fw.cli.screen import CampaignFile, Json, print_json, print_warnings
from sparc_fw.errors import InputError

if TYPE_CHECKING:
    from sparc_fw.campaign import Campaign
    from sparc_fw.experience import Experience
    from sparc_fw.loading import LoadedCampaign
    from sparc_fw.settings import Settings


def plan(
    file: CampaignFile,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time a label, short trainings and short dynamics here.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Fireworks that run side by side.")] = 1,
    as_json: Json = False,
) -> None:
    """Say what a campaign takes at most, with --measure how many hours, and what others like it took."""
    from sparc_fw import planning
    from sparc_fw.loading import check_campaign, load_campaign
    from sparc_fw.settings import load_settings

    settings = load_settings()
    loaded = load_campaign(Path(file))
    check_campaign(loaded, settings)
    found = planning.plan_campaign(loaded)
    values: dict[str, Any] = {
        "campaign": loaded.campaign.name,
        "iterations": len(found.labels),
        "labels": found.labels,
        "test_labels": found.test_labels,
        "fireworks": found.fireworks,
    }
    known = _experience(loaded, settings)
    if known is not None:
        values["experience"] = asdict(known) | {"hours": known.hours(loaded.campaign, workers)}
    if measure:
        costs = planning.measure(loaded, settings)
        values["seconds_per_label"] = costs.label
        values["hours"] = planning.hours(found, costs, loaded.campaign, workers, settings)
    if as_json:
        print_json(values)
        return
    typer.echo(
        f"{loaded.campaign.name}: at most {len(found.labels)} iterations, {found.fireworks} Fireworks, "
        f"{sum(found.labels)} labels ({', '.join(map(str, found.labels))}) and {found.test_labels} test labels"
    )
    if measure:
        stages = values["hours"]
        parts = ", ".join(f"{stage} {value:.2f} h" for stage, value in stages.items())
        typer.echo(
            f"with {workers} workers about {sum(stages.values()):.2f} h: {parts}; a label takes {costs.label:.2f} s"
        )
    else:
        typer.echo("--measure times its parts on this machine and adds the hours")
    if known is not None:
        for sentence in _told(known, loaded.campaign, workers):
            typer.echo(sentence)


def _experience(loaded: LoadedCampaign, settings: Settings) -> Experience | None:
    """What earlier campaigns tell, where a store is at hand: no server is started for that."""
    from sparc_fw.experience import experience
    from sparc_fw.session import running_store

    try:
        store = running_store(settings)
    except InputError as error:
        print_warnings([f"nothing is known of earlier campaigns: {error}"])
        return None
    return None if store is None else experience(store, loaded, settings)


def _told(known: Experience, campaign: Campaign, workers: int) -> Iterator[str]:
    """What earlier campaigns let expect."""
    if known.label_seconds is not None:
        yield f"a label of the same settings and atoms took {known.label_seconds:.3g} s (median in the store)"
    if known.iterations is None or known.labels is None:
        return
    count = len(known.campaigns)
    yield (
        f"{count} {'campaign' if count == 1 else 'campaigns'} with such labels came to a verdict after "
        f"{known.iterations:g} iterations and {known.labels:g} labels (medians)"
    )
    stages = known.hours(campaign, workers)
    parts = ", ".join(f"{stage} {hours:.2f} h" for stage, hours in stages.items())
    yield f"as much with {workers} workers would take about {sum(stages.values()):.2f} h: {parts}"
