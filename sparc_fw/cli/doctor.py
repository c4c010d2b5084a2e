"""``sparc-fw doctor``: what works on this machine."""

from __future__ import annotations

from dataclasses import asdict

from sparc_fw.cli.screen import Json, print_json, print_table

STYLES = {"works": "green", "fails": "red", "absent": "yellow"}


def doctor(as_json: Json = False) -> None:
    """Say what is installed, which backends really work, and how to get what does not."""
    from rich.text import Text

    from sparc_fw.diagnosis import diagnose
    from sparc_fw.settings import load_settings

    findings = diagnose(load_settings())
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
        return
    rows = [(f.name, Text(f.state, STYLES[f.state]), f.version, f.advice) for f in findings]
    print_table(("what", "state", "version", "advice"), rows)
