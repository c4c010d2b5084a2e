"""``sparc-fw pause|resume|cancel|repair``: steer a campaign that is in the LaunchPad."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sparc_fw.cli.screen import Json, print_json

CampaignName = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.")]


def pause(campaign: CampaignName, as_json: Json = False) -> None:
    """Let running Fireworks finish and start no more."""
    from sparc_fw import submission
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    with open_session(load_settings()) as session:
        changed = submission.pause(session.store, session.lpad, campaign)
    now = "is paused: what runs now will finish" if changed else "is paused already"
    _tell(as_json, campaign, "paused", f"{now}, 'sparc-fw resume {campaign}' goes on")


def resume(campaign: CampaignName, as_json: Json = False) -> None:
    """Let a paused campaign go on, and try again what fizzled; workers pick it up."""
    from sparc_fw import submission
    from sparc_fw.repair import repair as mend
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    with open_session(load_settings()) as session:
        submission.resume(session.store, session.lpad, campaign)
        done = mend(session.store, session.lpad, campaign).done
    _tell(as_json, campaign, "running", "goes on as soon as a worker is there", mended=done)


def cancel(campaign: CampaignName, as_json: Json = False) -> None:
    """End a campaign; what it labelled and learned stays."""
    from sparc_fw import submission
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    with open_session(load_settings()) as session:
        submission.cancel(session.store, session.lpad, campaign)
    _tell(as_json, campaign, "cancelled", "is cancelled; its labels and models stay in the store")


def repair(campaign: CampaignName, as_json: Json = False) -> None:
    """Mend what killed workers left behind in the LaunchPad."""
    from sparc_fw.repair import repair as mend
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    with open_session(load_settings()) as session:
        done = mend(session.store, session.lpad, campaign).done
    if as_json:
        print_json({"campaign": campaign, "mended": done})
        return
    for sentence in done or ["nothing to mend"]:
        typer.echo(sentence)


def _tell(as_json: bool, campaign: str, state: str, sentence: str, **more: Any) -> None:
    """Say what became of a campaign, in JSON or in words."""
    if as_json:
        print_json({"campaign": campaign, "state": state, **more})
    else:
        typer.echo(f"{campaign} {sentence}")
