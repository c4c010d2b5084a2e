"""Files that decide numbers: what is in them counts, not where they lie."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from sparc_fw.errors import InputError

_PATHS = re.compile(r"(?<![^\s\"'=])/[^\s\"']+")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def with_contents(value: Any) -> Any:
    """Plain values, absolute paths of files in their texts replaced by the SHA-256 of the content.

    Programs stay as they are written: they belong to a machine, and a label tells their version. So do paths of what is
    not on this machine, whose labels then have other keys than where it is.
    """
    if isinstance(value, dict):
        return {key: with_contents(part) for key, part in value.items()}
    if isinstance(value, list):
        return [with_contents(part) for part in value]
    return _PATHS.sub(_content, value) if isinstance(value, str) else value


def _content(found: re.Match[str]) -> str:
    path = Path(found[0])
    return found[0] if not path.is_file() or _is_program(path) else f"sha256:{file_sha256(path)}"


def _is_program(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
