"""``sparc-fw status|list|report``: look at campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sparc_fw.cli.control import CampaignName
from sparc_fw.cli.screen import Json, print_json, print_table


def status(
    campaign: Annotated[str | None, typer.Argument(metavar="[CAMPAIGN]", help="The latest one where unset.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a campaign has done so far."""
    from sparc_fw.cli.tables import happenings, iteration_tables
    from sparc_fw.errors import InputError
    from sparc_fw.sentences import closing_sentences
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings
    from sparc_fw.status import campaign_status
    from sparc_fw.unregistered import unregistered_status

    with open_session(load_settings()) as session:
        if campaign is None:
            latest = session.store.campaigns.find_one({}, {"_id": 1}, sort=[("created", -1)])
            if latest is None:
                raise InputError("there is no campaign in the store yet: begin one with 'sparc-fw run FILE'")
            campaign = str(latest["_id"])
        waiting = unregistered_status(session.store, session.lpad, campaign)
        values = waiting or campaign_status(session.store, session.lpad, campaign)
        if as_json:
            print_json(values)
        elif waiting is not None:
            typer.echo(f"{campaign}: {waiting['state']}: {waiting['sentence']}")
        else:
            Console().print(iteration_tables(values), happenings(session.store, values, []), sep="\n")
            for sentence in closing_sentences(values):
                typer.echo(sentence)


def list_campaigns(as_json: Json = False) -> None:
    """List all campaigns, oldest first."""
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings
    from sparc_fw.status import campaign_rows

    with open_session(load_settings()) as session:
        rows = campaign_rows(session.store, session.lpad)
    if as_json:
        print_json({"campaigns": rows})
        return
    columns = ("campaign", "state", "verdict", "iterations", "labels")
    print_table(columns, [[row[c] if row[c] is not None else "–" for c in columns] for row in rows])


def report(
    campaign: CampaignName,
    to: Annotated[Path | None, typer.Option("--to", help="Folder; ./CAMPAIGN-report where unset.")] = None,
    as_json: Json = False,
) -> None:
    """Write a campaign's report: Markdown and pictures; --json prints free energies and work profiles, too."""
    from sparc_fw.biased_runs import as_dicts
    from sparc_fw.folders import make_folder
    from sparc_fw.report import write_report
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings
    from sparc_fw.status import campaign_status

    with open_session(load_settings()) as session:
        values = campaign_status(session.store, session.lpad, campaign)
        folder = to or Path(f"{campaign}-report")
        make_folder(folder, "--to")
        files, biased = write_report(session.store, values, folder)
    if as_json:
        print_json({"files": files, "biased": list(as_dicts(biased))})
        return
    for path in files:
        typer.echo(str(path))
