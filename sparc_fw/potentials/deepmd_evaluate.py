"""Deep Potentials loaded to evaluate many frames at a time."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from sparc_fw.child_process import thread_variables
from sparc_fw.errors import StageFailed
from sparc_fw.potentials.base import Evaluator

BATCH_ATOMS = 2048
"""Atoms per inference call on a CPU: measured best for small nets, where half and double lose less than a tenth."""
KEPT_MODELS = 8
"""Models that a process keeps loaded: two committees of four."""


class DeepMDEvaluator(Evaluator):
    """A frozen model behind `deepmd.infer.DeepPot`.

    Parameters
    ----------
    model : Path
        Frozen model.
    threads : int
        Threads of TensorFlow, unless this process loaded a model before.
    """

    def __init__(self, model: Path, threads: int) -> None:
        set_threads(threads)
        from deepmd.infer import DeepPot

        self.model = model
        # It would recommend, once per model, what is done here.
        logging.getLogger("deepmd.utils.batch_size").setLevel(logging.ERROR)
        # On a CPU DeePMD-kit never grows its batch, on a GPU it does until memory ends.
        self._potential = DeepPot(str(model), auto_batch_size=BATCH_ATOMS)
        self.elements: list[str] = list(self._potential.get_type_map())

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Energies and forces of many frames of the same composition.

        Raises
        ------
        StageFailed
            If the model does not know one of the elements.
        """
        symbols = [chemical_symbols[z] for z in numbers]
        refuse_unknown(symbols, self.elements, self.model)
        count, atoms = positions.shape[:2]
        if count == 0:
            return np.zeros(0), np.zeros((0, atoms, 3))
        types = [self.elements.index(symbol) for symbol in symbols]
        boxes = None if cells is None else cells.reshape(count, 9)
        energies, forces = self._potential.eval(positions.reshape(count, -1), boxes, types)[:2]
        return energies.reshape(count), forces.reshape(count, atoms, 3)


@lru_cache(maxsize=KEPT_MODELS)
def loaded(model: Path, changed_ns: int, threads: int) -> DeepMDEvaluator:
    """A model, by its file and when that was written.

    A process that lately loaded it has it still: reading it, and its first evaluation, in which TensorFlow plans, cost
    as much as hundreds of frames.
    """
    return DeepMDEvaluator(model, threads)


def refuse_unknown(elements: Sequence[str], known: Sequence[str], model: Path) -> None:
    """Raise `StageFailed` where a model does not know an element."""
    unknown = sorted(set(elements) - set(known))
    if unknown:
        raise StageFailed(
            f"{model}: found the elements {unknown}, expected none but those that the model was trained on, "
            f"{list(known)}; add start frames with them"
        )


def set_threads(threads: int) -> None:
    """Fix TensorFlow's threads in this process, before DeePMD-kit reads them at its import."""
    if "deepmd.tf.env" not in sys.modules:
        os.environ.update(thread_variables(threads))
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
