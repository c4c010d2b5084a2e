"""``sparc-fw submit`` and ``sparc-fw run``: put a campaign into the LaunchPad; work on it here until it ends."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from sparc_fw.cli.screen import CampaignFile, Json, print_json, print_warnings, teller

if TYPE_CHECKING:
    from sparc_fw.loading import LoadedCampaign
    from sparc_fw.session import Session
    from sparc_fw.settings import Settings

Resume = Annotated[bool, typer.Option("--resume", help="Go on with the campaign of that name if there is one.")]
Relabel = Annotated[
    str | None,
    typer.Option(
        "--relabel", metavar="CAMPAIGN", help="Take over the frames of that campaign and label them with this labeler."
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="Another name than the file's, for a second campaign.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Another seed than the file's.")]


def submit(
    file: CampaignFile, name: Name = None, seed: Seed = None, relabel: Relabel = None, as_json: Json = False
) -> None:
    """Check a campaign and add its Workflow to the LaunchPad; workers do the rest."""
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings
    from sparc_fw.submission import submit as add

    settings = load_settings()
    loaded = _checked(file, name, seed, settings)
    with open_session(settings) as session:
        campaign_id = add(session.store, session.lpad, loaded, relabel)
        if as_json:
            print_json(_submitted(session, campaign_id))
            return
        typer.echo(f"submitted {campaign_id}: start workers with 'rlaunch rapidfire --nlaunches infinite --sleep 5'")
        if session.embedded is not None:
            typer.echo("the embedded MongoDB holds it: keep it up for workers with 'sparc-fw db start'")


def _submitted(session: Session, campaign_id: str) -> dict[str, Any]:
    from sparc_fw.status import campaign_state

    shown = {"_id": 0, "fw_id": 1, "name": 1, "state": 1}
    fireworks = session.lpad.fireworks.find({"spec.campaign_id": campaign_id}, shown).sort("fw_id", 1)
    return {
        "campaign": campaign_id,
        "state": campaign_state(session.store, session.lpad, campaign_id),
        "fireworks": list(fireworks),
        "embedded_mongodb": session.embedded is not None,
    }


def run(
    file: CampaignFile,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Fireworks that run side by side.")] = 1,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where workers work; ./runs/CAMPAIGN where unset.")
    ] = None,
    resume: Resume = False,
    relabel: Relabel = None,
    name: Name = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Submit a campaign and work on it here until it ends, with a live table; writes the report at the end."""
    from sparc_fw.folders import require_folder
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    settings = load_settings()
    loaded = _checked(file, name, seed, settings)
    place = folder or Path("runs") / loaded.campaign.name
    # Before the campaign is stored, which could not begin.
    require_folder(place, "--folder")
    with open_session(settings) as session:
        campaign_id = _begin(session, loaded, resume, relabel, teller(as_json))
        status = _work(session, campaign_id, workers, place, as_json)
        _tell_end(session, status, place, as_json)
    if status["state"] == "failed":
        raise typer.Exit(1)


def _checked(file: str, name: str | None, seed: int | None, settings: Settings) -> LoadedCampaign:
    from sparc_fw.loading import campaign_warnings, check_campaign, load_campaign

    changes = {key: value for key, value in (("name", name), ("seed", seed)) if value is not None}
    loaded = load_campaign(Path(file), changes)
    check_campaign(loaded, settings)
    print_warnings(campaign_warnings(loaded, settings))
    return loaded


def _begin(
    session: Session, loaded: LoadedCampaign, resume: bool, relabels: str | None, tell: Callable[[str], None]
) -> str:
    """Submit, or go on with the stored campaign, which must be the same."""
    from sparc_fw.errors import InputError
    from sparc_fw.relabeling import changed_keys
    from sparc_fw.submission import resume as go_on
    from sparc_fw.submission import submit as add

    campaign_id = loaded.campaign.name
    if not resume or session.store.campaigns.find_one({"_id": campaign_id}, {"_id": 1}) is None:
        return add(session.store, session.lpad, loaded, relabels)
    record = session.store.campaign_record(campaign_id)
    stored, given = record["campaign"], loaded.campaign.as_dict()
    changed = changed_keys(stored, given)
    if relabels not in (None, record.get("relabels")):
        raise InputError(
            f"--relabel: campaign {campaign_id!r} exists and does not label {relabels!r} anew; choose a --name"
        )
    if session.store.files.name(loaded.files.pack()) != record["files"]:
        changed.append("the content of a file that it names")
    of_labeler = [key for key in changed if key == "labeler" or key.startswith("labeler.")]
    if of_labeler:
        raise InputError(
            f"{loaded.path}: {', '.join(of_labeler)}: differs from the stored campaign {campaign_id!r}, whose labels "
            f"must not mix methods; to label its frames anew: sparc-fw run FILE --name NEW_NAME --relabel {campaign_id}"
        )
    if changed:
        raise InputError(
            f"{loaded.path}: {', '.join(changed)}: differs from the stored campaign {campaign_id!r}, expected the same "
            "file for --resume; give the changed one another name"
        )
    if record["state"] in ("running", "paused"):
        go_on(session.store, session.lpad, campaign_id)
    else:
        tell(f"{campaign_id} is {record['state']}: there is nothing to go on with")
    return campaign_id


def _work(session: Session, campaign_id: str, workers: int, folder: Path, as_json: bool) -> dict[str, Any]:
    from sparc_fw.cli.tables import live_view
    from sparc_fw.local_run import LocalRun
    from sparc_fw.status import campaign_status, has_ended

    console, tell = Console(stderr=as_json), teller(as_json)
    local = LocalRun(session, campaign_id, workers, folder)
    tell(f"{campaign_id}: {workers} workers in {local.folder}, logs beside them; Ctrl-C stops, --resume goes on")
    with Live(console=console, auto_refresh=False, transient=True) as live:
        shown = 0.0

        def onlooker() -> None:
            nonlocal shown
            # A full status reads a dozen collections: the eye does not need it more often.
            if time.monotonic() - shown > 2.0:
                status = campaign_status(session.store, session.lpad, campaign_id)
                live.update(live_view(session.store, status, local.repairs), refresh=True)
                shown = time.monotonic()

        try:
            # kill and a closed terminal as well as Ctrl-C: neither workers nor the embedded MongoDB stay behind.
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.default_int_handler)
            local.run(lambda: has_ended(session.store, session.lpad, campaign_id), onlooker)
        except KeyboardInterrupt:
            live.stop()
            again = [argument for argument in sys.argv[1:] if argument != "--resume"]
            typer.echo(f"stopped; nothing is lost: {shlex.join(['sparc-fw', *again, '--resume'])}", err=True)
            raise typer.Exit(1) from None
    for sentence in local.repairs:
        tell(f"mended: {sentence}")
    return campaign_status(session.store, session.lpad, campaign_id)


def _tell_end(session: Session, status: dict[str, Any], folder: Path, as_json: bool) -> None:
    from sparc_fw.report import write_report

    # Reasons and sentences may have brackets, which are no markup.
    console = Console(markup=False)
    if not as_json:
        _print_end(console, status)
    files, _ = write_report(session.store, status, folder)
    if as_json:
        print_json(status | {"files": files})
        return
    for path in files:
        console.print(f"wrote {path}", soft_wrap=True)


def _print_end(console: Console, status: dict[str, Any]) -> None:
    from sparc_fw.cli.tables import iteration_tables
    from sparc_fw.sentences import closing_sentences

    console.print(iteration_tables(status))
    for problem in status["problems"]:
        console.print(f"FIZZLED {problem['name']}: {problem['reason']} ({problem['directory']})", style="red")
    for sentence in closing_sentences(status):
        console.print(sentence)
