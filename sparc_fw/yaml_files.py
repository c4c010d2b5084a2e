"""YAML files that people write, read with errors that say where and what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from sparc_fw.errors import InputError


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # no text; PyYAML says so itself
            line = key.start_mark.line + 1
            if key.value in seen:
                raise InputError(
                    f"{key.start_mark.name}, line {line}: the key {key.value!r} stands on line {seen[key.value]} "
                    "already; expected every key once"
                )
            seen[key.value] = line
        return super().construct_mapping(node, deep)


# PyYAML follows YAML 1.1, where 1e-3 is text; to YAML 1.2 and to everybody who writes one it is a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path, what: str) -> tuple[Any, yaml.Node | None]:
    """Read a YAML file of one document.

    Parameters
    ----------
    path : Path
    what : str
        Names the file in messages: ``"campaign file"``.

    Returns
    -------
    values : Any
        What the file says; None for an empty one.
    node : yaml.Node or None
        The YAML that the values were made of, for line numbers.

    Raises
    ------
    InputError
        Names the file, and the line where there is one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: the {what} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: found bytes that are not UTF-8 text, expected a YAML {what}") from error
    try:
        loader = _Loader(text)
        loader.name = str(path)
        node = loader.get_single_node()
        return loader.construct_document(node) if node is not None else None, node
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"the character {chr(error.character)!r}" if isinstance(error.character, int) else error.reason
        raise InputError(f"{path}, line {line}: not valid YAML: found {found}, expected printable text") from error
    except yaml.MarkedYAMLError as error:
        at = f", line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise InputError(f"{path}{at}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # PyYAML's constructors let through what Python says of a date such as 2020-13-45.
        raise InputError(f"{path}: not valid YAML: {error}") from error


def read_section(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML file that must hold 'key: value' lines, or nothing; raises as `read_yaml` does."""
    values, _ = read_yaml(path, what)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: found {type(values).__name__}, expected 'key: value' lines")
    wrong = [key for key in values if not isinstance(key, str)]
    if wrong:
        raise InputError(f"{path}: found the key {wrong[0]!r}, expected a name")
    return values
