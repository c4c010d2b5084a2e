"""The command ``sparc-fw``: one file per noun, heavy imports inside the functions."""

from __future__ import annotations

import typer

from sparc_fw.cli import (
    check,
    control,
    db,
    doctor,
    explain,
    export,
    import_,
    init,
    labels,
    plan,
    replay,
    run,
    schema,
    settings,
    sparc_runs,
    status,
)
from sparc_fw.cli.errors import ReportingGroup

app = typer.Typer(
    name="sparc-fw",
    cls=ReportingGroup,
    help="Active learning of reactive machine-learning interatomic potentials on FireWorks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("init")(init.init)
app.command("schema")(schema.schema)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)
app.command("settings")(settings.settings)
app.command("plan")(plan.plan)
app.command("submit")(run.submit)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("list")(status.list_campaigns)
app.command("report")(status.report)
app.command("labels")(labels.labels)
app.command("explain")(explain.explain)
app.command("replay")(replay.replay)
app.command("import")(import_.import_)
app.command("import-sparc")(sparc_runs.import_sparc)
app.command("export")(export.export)
app.add_typer(export.models_app, name="models")
app.command("pause")(control.pause)
app.command("resume")(control.resume)
app.command("cancel")(control.cancel)
app.command("repair")(control.repair)
app.add_typer(db.app, name="db")


def main() -> None:
    """Entry point: exit code 0 done, 1 failed, 2 bad input."""
    app()
