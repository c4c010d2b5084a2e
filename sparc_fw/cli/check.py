"""``sparc-fw check``: everything that can be known about a campaign before it costs anything."""

from __future__ import annotations

from pathlib import Path

import typer

from sparc_fw.cli.screen import CampaignFile, Json, print_json, print_warnings


def check(file: CampaignFile, as_json: Json = False) -> None:
    """Check schema, structures, executables and packages, and show what drives reactions; changes nothing."""
    from sparc_fw.loading import bias_texts, campaign_warnings, check_campaign, load_campaign
    from sparc_fw.settings import load_settings

    loaded = load_campaign(Path(file))
    settings = load_settings()
    check_campaign(loaded, settings)
    campaign = loaded.campaign
    texts = bias_texts(loaded, settings)
    warnings = campaign_warnings(loaded, settings)
    if as_json:
        print_json({"ok": True, "campaign": campaign.as_dict(), "bias": texts, "warnings": warnings})
        return
    print_warnings(warnings)
    explorers = ", ".join(explorer.summary for explorer in campaign.explorer)
    systems = ", ".join(system.name for system in campaign.systems)
    told = f" ({campaign.description})" if campaign.description else ""
    typer.echo(
        f"{file}: campaign {campaign.name!r}{told} can run here: {systems}; labels by {campaign.labeler.kind}, "
        f"committee of {campaign.committee} {campaign.potential.kind}, explored by {explorers}, at most "
        f"{campaign.budget.labels} labels in {campaign.budget.iterations} iterations"
    )
    for title, text in texts.items():
        typer.echo(f"\nWhat drives {title}, as its engine reads it:\n{text}")
