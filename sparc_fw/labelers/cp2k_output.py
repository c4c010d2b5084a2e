"""What CP2K says of a calculation in its output; its shell says nothing of convergence."""

from __future__ import annotations

import re
from pathlib import Path

from sparc_fw.child_process import last_lines
from sparc_fw.labelers.base import LabelError

OUTPUT = "cp2k.out"
_CONVERGED = re.compile(r"SCF run converged in|outer SCF loop converged in")
_NOT_CONVERGED = re.compile(r"SCF run NOT converged|outer SCF loop FAILED to converge")
_BOX_TEXT = 10
"""Column at which the text in CP2K's box of an error begins, right of the figure in it."""


def read(folder: Path) -> str:
    """CP2K's output in a folder; empty where there is none."""
    path = folder / OUTPUT
    return path.read_text(errors="replace") if path.exists() else ""


def did_not_converge(output: str) -> bool:
    """Whether CP2K says somewhere that SCF did not converge."""
    return _NOT_CONVERGED.search(output) is not None


def check_convergence(output: str) -> None:
    """Raise a `LabelError` unless CP2K's output says that SCF converged, and nowhere that it did not."""
    if _CONVERGED.search(output) and not did_not_converge(output):
        return
    steps = re.findall(r"(?m)^ +\d+ .*\d\.\d{8} +-?\d+\.\d+ +\S+$", output)
    told = "CP2K: SCF run NOT converged" if did_not_converge(output) else "CP2K does not say that SCF converged"
    raise LabelError("not_converged", "\n".join([f"{told}; the last steps:", *(line.strip() for line in steps[-3:])]))


def last_words(folder: Path, errors: str) -> str:
    """What CP2K said of an error: the text in its box, or else its last lines and its standard error."""
    output = read(folder)
    _, box, after = output.rpartition("[ABORT]")
    if not box:
        return "\n".join(part for part in (last_lines(output, 5), errors.strip()) if part)
    inside = after.partition("*" * 70)[0].splitlines()
    return " ".join(line[_BOX_TEXT:].rstrip(" *").strip() for line in inside if len(line) > _BOX_TEXT).strip()
