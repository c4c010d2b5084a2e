"""The steps of a campaign that names none."""

from __future__ import annotations

from sparc_fw.selectors.base import StepOptions
from sparc_fw.selectors.budget import BudgetOptions
from sparc_fw.selectors.difference import DifferenceOptions
from sparc_fw.selectors.screens import OverlapOptions
from sparc_fw.selectors.window import WindowOptions


def default_steps() -> list[StepOptions]:
    """Sound frames inside the trust window, the least known first, that differ from each other and from all labels."""
    return [OverlapOptions(), WindowOptions(), DifferenceOptions(), BudgetOptions()]
