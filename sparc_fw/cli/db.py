"""``sparc-fw db``: the embedded MongoDB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparc_fw.cli.screen import Json, print_json

if TYPE_CHECKING:
    from sparc_fw.embedded import EmbeddedMongo, Server
    from sparc_fw.settings import Settings

app = typer.Typer(help="Start, stop and look at the embedded MongoDB.", no_args_is_help=True)
WriteLaunchpad = Annotated[
    Path | None, typer.Option("--write-launchpad", metavar="FILE", help="Write a LaunchPad file for FireWorks here.")
]


def _mongo() -> tuple[EmbeddedMongo, Settings]:
    from sparc_fw.embedded import EmbeddedMongo
    from sparc_fw.settings import load_settings

    settings = load_settings()
    return EmbeddedMongo(settings.data_dir, settings.mongod_command), settings


@app.command()
def start(write_launchpad: WriteLaunchpad = None, as_json: Json = False) -> None:
    """Start it; it stays until 'sparc-fw db stop'."""
    mongo, settings = _mongo()
    _tell(mongo.start(), mongo, settings, write_launchpad, as_json)


@app.command()
def status(write_launchpad: WriteLaunchpad = None, as_json: Json = False) -> None:
    """Say whether it runs, and where."""
    mongo, settings = _mongo()
    _tell(mongo.status(), mongo, settings, write_launchpad, as_json)


@app.command()
def stop(as_json: Json = False) -> None:
    """Shut it down cleanly and wait for its end."""
    mongo, _ = _mongo()
    stopped = mongo.stop()
    if as_json:
        print_json({"stopped": stopped})
    else:
        typer.echo(f"MongoDB stopped; its data stay in {mongo.data_dir}" if stopped else _not_running(mongo))


def _not_running(mongo: EmbeddedMongo) -> str:
    return f"no MongoDB runs on {mongo.data_dir}"


def _tell(server: Server | None, mongo: EmbeddedMongo, settings: Settings, write: Path | None, as_json: bool) -> None:
    from sparc_fw.errors import InputError
    from sparc_fw.launchpad import launchpad_at, prepare, write_launchpad_file

    if write is not None:
        if server is None:
            raise InputError(f"--write-launchpad {write}: {_not_running(mongo)}; use 'sparc-fw db start'")
        # FireWorks' commands fail on a database without its counters.
        prepare(launchpad_at(server.uri, settings.database))
        write_launchpad_file(server.uri, settings.database, write)
    if as_json:
        place = {} if server is None else {"uri": server.uri, "port": server.port, "pid": server.pid}
        print_json({"running": server is not None, **place, "data_dir": mongo.data_dir, "database": settings.database})
    elif server is None:
        typer.echo(_not_running(mongo))
    else:
        typer.echo(f"MongoDB runs at {server.uri} (pid {server.pid}), data and log in {mongo.data_dir}")
        if write is not None:
            typer.echo(f"wrote {write}: try 'lpad -l {write} get_wflows'")
