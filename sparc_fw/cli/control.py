"""``sparc-fw pause|resume|cancel|repair``: steer a campaign that is in the LaunchPad."""

from __future__ import annotations

from typing import Annotated

import typer

CampaignName = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.")]


def pause(campaign: CampaignName) -> None:
    """Let running Fireworks finish and start no more."""
    from sparc_fw import submission
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    with open_session(load_settings()) as session:
        changed = submission.pause(session.store, session.lpad, campaign)
    now = "is paused: what runs now will finish" if changed else "is paused already"
    typer.echo(f"{campaign} {now}, 'sparc-fw resume {campaign}' goes on")


def resume(campaign: CampaignName) -> None:
    """Let a paused campaign go on, and try again what fizzled; workers pick it up."""
    from sparc_fw import submission
    from sparc_fw.repair import repair as mend
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    with open_session(load_settings()) as session:
        submission.resume(session.store, session.lpad, campaign)
        mend(session.store, session.lpad, campaign)
    typer.echo(f"{campaign} goes on as soon as a worker is there")


def cancel(campaign: CampaignName) -> None:
    """End a campaign; what it labelled and learned stays."""
    from sparc_fw import submission
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    with open_session(load_settings()) as session:
        submission.cancel(session.store, session.lpad, campaign)
    typer.echo(f"{campaign} is cancelled; its labels and models stay in the store")


def repair(campaign: CampaignName) -> None:
    """Mend what killed workers left behind in the LaunchPad."""
    from sparc_fw.repair import repair as mend
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    with open_session(load_settings()) as session:
        done = mend(session.store, session.lpad, campaign).done
    for sentence in done or ["nothing to mend"]:
        typer.echo(sentence)
