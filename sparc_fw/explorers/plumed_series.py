"""What PLUMED wrote along a run, as series of a trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sparc_fw.explorers.bias import Bias, Steered, Walls
from sparc_fw.explorers.bias_plumed import OUTPUT, unit
from sparc_fw.explorers.plumed import written_files


def plumed_series(lines: list[str], biases: Sequence[Bias], directory: Path) -> dict[str, np.ndarray]:
    """The columns of every file that PLUMED wrote.

    Returns
    -------
    dict of str to ndarray
        Of the common biases: ``bias_time_fs``, and for each of them its variable ``cv0`` (Å, degrees), its energy
        ``bias0_eV`` and, of a moving restraint, its centre ``centre0`` and the work ``work0_eV``. Everything else as
        ``FILE.column``, in the units of the input.
    """
    tables = written_files(lines, directory)
    series: dict[str, np.ndarray] = {}
    if biases:
        series = _common(tables.pop(OUTPUT, {}), biases)
    for file, table in tables.items():
        series |= {f"{file}.{column}": values for column, values in table.items()}
    return series


def _common(table: dict[str, np.ndarray], biases: Sequence[Bias]) -> dict[str, np.ndarray]:
    if not table:
        return {}
    series = {"bias_time_fs": table["time"]}
    for number, bias in enumerate(biases):
        one = unit(bias.cv)
        series[f"cv{number}"] = table[f"cv{number}"] / one
        if isinstance(bias, Walls):
            sides = [f"bias{number}{side}.bias" for side in ("low", "up")]
            series[f"bias{number}_eV"] = np.sum([table[side] for side in sides if side in table], axis=0)
            continue
        series[f"bias{number}_eV"] = table[f"bias{number}.bias"]
        if isinstance(bias, Steered):
            series[f"centre{number}"] = table[f"bias{number}.cv{number}_cntr"] / one
            series[f"work{number}_eV"] = table[f"bias{number}.work"]
    return series
