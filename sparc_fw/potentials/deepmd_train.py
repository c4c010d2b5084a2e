"""Train, freeze and compress DeePMD-kit models in one process: ``python -m sparc_fw.potentials.deepmd_train JOB``.

Starting TensorFlow takes seconds, and ``dp train``, ``dp freeze`` and ``dp compress`` would each pay them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

FLAGS = {"tensorflow": "--tf", "pytorch": "--pt", "jax": "--jax"}
SUFFIXES = {"tensorflow": ".pb", "pytorch": ".pth", "jax": ".hlo"}
MODULES = {
    "tensorflow": "deepmd.tf.entrypoints.main",
    "pytorch": "deepmd.pt.entrypoints.main",
    "jax": "deepmd.jax.entrypoints.main",
}
INPUT = "input.json"
FROZEN = "frozen"
RESULT = "result.json"


def first_working(backends: Sequence[str]) -> str:
    """The first backend whose entry points can be imported here.

    Raises
    ------
    ImportError
        Where none can: says for each why.
    """
    reasons = []
    for backend in backends:
        try:
            importlib.import_module(MODULES[backend])
        # A wheel whose libraries do not fit the machine raises whatever its loader raises.
        except Exception as error:
            reasons.append(f"{backend}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        else:
            return backend
    raise ImportError("; ".join(reasons))


def main(backends: Sequence[str], folders: Sequence[str], compress: bool, begin: str | None) -> None:
    """Train by the ``input.json`` of each folder in turn; leaves ``frozen.*`` and a result there.

    Where `begin` names a frozen model, every training goes on from the one of that name in its folder.
    """
    backend = first_working(backends)
    here = Path.cwd()
    for folder in folders:
        os.chdir(here / folder)
        if backend == "tensorflow":
            # What the training before left in the graph would be part of this one's.
            importlib.import_module("deepmd.tf.env").tf.reset_default_graph()
        _train(backend, compress, begin)


def _train(backend: str, compress: bool, begin: str | None) -> None:
    from deepmd.main import main as dp

    flag, suffix = FLAGS[backend], SUFFIXES[backend]
    # sel is known already; DeePMD-kit's own statistics would read all data once more.
    dp([flag, "train", INPUT, "--skip-neighbor-stat", *(["--init-frz-model", begin] if begin else [])])
    frozen = FROZEN + suffix
    dp([flag, "freeze", "-o", frozen])
    if compress:
        Path(frozen).rename(f"full{suffix}")
        dp([flag, "compress", "-i", f"full{suffix}", "-o", frozen, "-t", INPUT])
    Path(RESULT).write_text(json.dumps({"backend": backend, "file": frozen}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
