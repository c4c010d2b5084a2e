"""Every fate that a step gives has its sentence."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import sparc_fw.selectors
from sparc_fw.documents import PICK
from sparc_fw.fates import FATES, NOT_LABELLED, told

MODULES = sorted(path.stem for path in Path(sparc_fw.selectors.__path__[0]).glob("[!_]*.py"))
GIVING = {"drop": 1, "fail": 2}
"""Functions that take frames out, and the place of the reason among their arguments."""


def given(module: ModuleType) -> Iterator[str]:
    """The reasons for which a module takes frames out, as its source states them."""
    assert module.__file__ is not None
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in GIVING and len(node.args) > GIVING[name]:
                yield from words(node.args[GIVING[name]], module)
        elif isinstance(node, ast.FunctionDef) and node.name == "refuses":
            for part in ast.walk(node):
                if isinstance(part, ast.Return) and part.value is not None:
                    yield from words(part.value, module)
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.Assign) and getattr(part.targets[0], "id", "") == "reason":
                    yield from words(part.value, module)


def words(node: ast.expr, module: ModuleType) -> Iterator[str]:
    """The texts that an expression can be: constants, and names of them."""
    if isinstance(node, ast.IfExp):
        yield from words(node.body, module)
        yield from words(node.orelse, module)
    elif isinstance(node, ast.Constant):
        yield from filter(None, [str(node.value)])
    elif (isinstance(node, ast.Name) and node.id == "reason") or isinstance(node, ast.Attribute):
        return  # handed on from where it was given
    else:
        assert isinstance(node, ast.Name), f"{module.__name__}: {ast.unparse(node)} is no reason that a test can read"
        yield getattr(module, node.id)


def test_every_fate_that_a_step_gives_has_its_sentence() -> None:
    found = {fate for name in MODULES for fate in given(importlib.import_module(f"sparc_fw.selectors.{name}"))}
    assert found >= {"accurate", "failed", "nan", "overlap", "after_failure", "too_similar", "over_cap", "over_share"}
    assert found | {PICK, NOT_LABELLED} == set(FATES)


@pytest.mark.parametrize("fate", FATES)
def test_a_fate_is_told_in_one_sentence(fate: str) -> None:
    assert told(fate).endswith(".")
    assert told(fate).count(".") == 1


def test_a_fate_of_another_package_is_told_by_its_name() -> None:
    assert told("too_blue") == "The step that took it calls that 'too_blue'."
