"""Errors on the terminal: one clear message on stderr, and the exit code."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from sparc_fw.errors import InputError, SparcError

FAILED = 1
BAD_INPUT = 2


class ReportingGroup(TyperGroup):
    """Turns the package's own errors into a message and an exit code; a traceback is a bug."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except SparcError as error:
            _tell(str(error))
            raise typer.Exit(BAD_INPUT if isinstance(error, InputError) else FAILED) from error
        except Exception as error:
            from pymongo.errors import PyMongoError

            if not isinstance(error, PyMongoError):
                raise
            from sparc_fw.launchpad import redact

            _tell(f"MongoDB failed: {type(error).__name__}: {redact(str(error))}")
            raise typer.Exit(FAILED) from error


def _tell(message: str) -> None:
    # As Text, because brackets (sparc_fw[mongod]) are no markup; unwrapped, because paths are copied.
    Console(stderr=True).print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)
