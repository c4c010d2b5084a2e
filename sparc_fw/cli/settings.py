"""``sparc-fw settings``: what this machine is set to, and by what."""

from __future__ import annotations

import typer

from sparc_fw.cli.screen import Json, print_json, print_table


def settings(as_json: Json = False) -> None:
    """Show each setting, where it came from, and which LaunchPad is used."""
    from sparc_fw.launchpad import describe, redact
    from sparc_fw.settings import load_settings, origins

    values = load_settings()
    # A URI may carry a password, and this output is pasted into bug reports.
    shown = {
        name: (redact(str(value)) if value is not None else None, origin)
        for name, (value, origin) in origins(values).items()
    }
    if as_json:
        named = {name: {"value": value, "origin": origin} for name, (value, origin) in shown.items()}
        print_json({"settings": named, "launchpad": describe(values)})
        return
    print_table(
        ("setting", "value", "from"),
        [(name, "-" if value is None else value, origin) for name, (value, origin) in shown.items()],
    )
    typer.echo(f"\nLaunchPad: {describe(values)}")
