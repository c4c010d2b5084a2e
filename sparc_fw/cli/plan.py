"""``sparc-fw plan``: what a campaign will take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparc_fw.cli.screen import CampaignFile, Json, print_json


def plan(
    file: CampaignFile,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time a label, short trainings and short dynamics here.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Fireworks that run side by side.")] = 1,
    as_json: Json = False,
) -> None:
    """Say how many Fireworks and labels a campaign takes at most, and with --measure how many hours."""
    from sparc_fw import planning
    from sparc_fw.loading import check_campaign, load_campaign
    from sparc_fw.settings import load_settings

    settings = load_settings()
    loaded = load_campaign(Path(file))
    check_campaign(loaded, settings)
    found = planning.plan_campaign(loaded)
    values = {
        "campaign": loaded.campaign.name,
        "iterations": len(found.labels),
        "labels": found.labels,
        "test_labels": found.test_labels,
        "fireworks": found.fireworks,
    }
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
        assert isinstance(stages, dict)
        parts = ", ".join(f"{stage} {value:.2f} h" for stage, value in stages.items())
        typer.echo(
            f"with {workers} workers about {sum(stages.values()):.2f} h: {parts}; a label takes {costs.label:.2f} s"
        )
    else:
        typer.echo("--measure times its parts on this machine and adds the hours")
