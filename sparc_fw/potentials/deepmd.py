"""Deep Potentials by DeePMD-kit (Zeng et al., J. Chem. Theory Comput. 21, 4375, 2025)."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from ase.calculators.calculator import Calculator
from typing_extensions import Self

from sparc_fw.child_process import clean_environment, last_lines, run_child
from sparc_fw.documents import ON_THE_FLY, Dataset, Label, TrainedModel
from sparc_fw.errors import InputError, StageFailed, TrainingDiverged
from sparc_fw.label_arrays import LabelBlock, Labels, blocks_of
from sparc_fw.potentials.base import Potential, Progress
from sparc_fw.potentials.deepmd_check import check_input
from sparc_fw.potentials.deepmd_data import batch_shares, elements_of, neighbour_limits, write_systems
from sparc_fw.potentials.deepmd_evaluate import DeepMDEvaluator, loaded, refuse_unknown, set_threads
from sparc_fw.potentials.deepmd_input import DeepMDOptions, training_input
from sparc_fw.potentials.deepmd_train import FLAGS, INPUT, MODULES
from sparc_fw.potentials.deepmd_training import Training

LOG = "train.log"
LOOKS = 5
"""Rows of the learning curve of a lesson."""


class DeepMDPotential(Potential[DeepMDOptions]):
    """Trains, loads and hands on DeePMD-kit models."""

    Options: ClassVar[type[DeepMDOptions]] = DeepMDOptions
    packages = ("deepmd",)
    extra = "deepmd"
    like_atoms_alike: ClassVar[bool] = True

    @property
    def backends(self) -> list[str]:
        """Frameworks that may train, in the order in which they are tried."""
        return list(FLAGS) if self.options.backend == "auto" else [self.options.backend]

    def missing(self) -> list[str]:
        """List what this machine lacks; loads the frameworks in a process of their own, which takes seconds, once."""
        absent = super().missing()
        if absent:
            return absent
        reasons = []
        for backend in self.backends:
            reason = backend_problem(backend)
            if reason is None:
                return []
            reasons.append(f"{backend}: {reason}")
        return [
            f"deepmd with backend: {self.options.backend} cannot run here ({'; '.join(reasons)}): "
            "pip install 'sparc_fw[deepmd]', or choose another backend"
        ]

    def check(self) -> None:
        """Raise `InputError` for a key or value that DeePMD-kit refuses."""
        check_input(self.options)

    def check_origins(self, known: Collection[str]) -> None:
        """Raise `InputError` where `origin_shares` names what no frame can come from."""
        unknown = [origin for origin in self.options.origin_shares if origin not in known]
        if unknown:
            raise InputError(
                f"potential.origin_shares: found {unknown[0]!r}, expected where frames of the campaign come from, of "
                f"{', '.join(sorted(known))}"
            )

    @property
    def total_steps(self) -> int:
        """Training steps of one member, by the user's own input where that says."""
        return int(self.options.input.get("training", {}).get("numb_steps", self.options.steps))

    def with_steps(self, steps: int) -> Self:
        """The same potential, trained for so many steps."""
        given = self.options.input
        training = {key: value for key, value in given.get("training", {}).items() if key != "numb_steps"}
        changes = {"steps": steps, "input": {**given, "training": training}}
        return type(self)(self.options.model_copy(update=changes), self.settings)

    def train(self, dataset: Dataset, seed: int, directory: Path, progress: Progress) -> TrainedModel:
        """Train, freeze and, where asked, compress one member in one child process."""
        elements, plan = self.prepare(dataset, seed, directory)
        [trained] = self._train([Training(directory, elements, plan, seed)], directory, progress, self.backends)
        return trained

    def check_refit(self) -> None:
        """Raise `InputError` where models are compressed: their nets are tables, which learn nothing."""
        if self.options.compress:
            raise InputError(
                "potential.compress: found true, expected false for an explorer that learns on the fly: compressed "
                "models cannot be trained further"
            )

    def refit(
        self,
        models: Sequence[TrainedModel],
        dataset: Dataset,
        new: Sequence[Label],
        steps: int,
        seeds: Sequence[int],
        directory: Path,
        progress: Progress,
    ) -> list[TrainedModel]:
        """Train on from frozen models (``dp train --init-frz-model``), half of the batches from the new labels.

        The learning rate begins where that of a training is half-way down, and ends where that ends. All members learn
        in one child process, one after the other: TensorFlow's start takes longer than a lesson.
        """
        both = Dataset(Labels([*blocks_of(dataset.train), LabelBlock.of(new)]), dataset.validation)
        shares = {origin: share / 2 for origin, share in self.options.origin_shares.items()} | {ON_THE_FLY: 0.5}
        short = self.with_steps(steps)
        short = type(self)(short.options.model_copy(update={"origin_shares": shares}), self.settings)
        begin = f"begin{models[0].suffix}"
        lessons = []
        for number, (model, seed) in enumerate(zip(models, seeds, strict=True)):
            folder = directory / f"member-{number}"
            folder.mkdir()
            (folder / begin).write_bytes(model.file)
            elements, plan = short.prepare(both, seed, folder)
            # Nets of the same shape, and room for as many neighbours, which is part of it.
            plan["model"] = model.details["input"]["model"]
            rates = plan["learning_rate"]
            if "start_lr" in rates and "stop_lr" in rates:
                rates["start_lr"] = math.sqrt(rates["start_lr"] * rates["stop_lr"])
            # Every look at the errors takes longer than a step.
            plan["training"]["disp_freq"] = max(plan["training"].get("disp_freq", 1), steps // LOOKS)
            (folder / INPUT).write_text(json.dumps(plan, indent=1))
            lessons.append(Training(folder, elements, plan, seed))
        return self._train(lessons, directory, progress, [models[0].details["backend"]], begin)

    def _train(
        self,
        trainings: Sequence[Training],
        directory: Path,
        progress: Progress,
        backends: Sequence[str],
        begin: str | None = None,
    ) -> list[TrainedModel]:
        """Train one after the other in one child process; each on from its frozen model `begin` where there is one."""
        started = time.perf_counter()
        total = sum(training.steps for training in trainings)

        def watch() -> None:
            done = sum(training.made() for training in trainings)
            if done:
                progress(min(done, total), total)

        folders = [str(training.folder.relative_to(directory)) for training in trainings]
        told = {"backends": list(backends), "folders": folders, "compress": self.options.compress, "begin": begin}
        command = [sys.executable, "-m", "sparc_fw.potentials.deepmd_train", json.dumps(told)]
        environment = clean_environment(self.settings.threads)
        log = directory / LOG
        status = run_child(command, directory, environment, log, watch)
        if status != 0:
            words = last_lines(log.read_text(errors="replace"))
            # DeePMD-kit 3.2 looks for NaN itself where it prints, before the line is in lcurve.out.
            failure = TrainingDiverged if "NaN detected" in words else StageFailed
            raise failure(f"deepmd: training in {directory} ended with status {status}; its last lines:\n{words}")
        seconds = (time.perf_counter() - started) / len(trainings)
        return [training.trained(seconds, self.options.compress) for training in trainings]

    def prepare(self, dataset: Dataset, seed: int, directory: Path) -> tuple[list[str], dict[str, Any]]:
        """Write data and input of a training into `directory`; return the type map and the input."""
        if not dataset.train:
            raise StageFailed("deepmd: found no label to train on, expected at least one")
        labels = Labels([*blocks_of(dataset.train), *blocks_of(dataset.validation)])
        elements = elements_of(labels)
        descriptor = self.options.input.get("model", {}).get("descriptor", {})
        sel = neighbour_limits(labels, elements, float(descriptor.get("rcut", self.options.rcut)))
        systems = {
            part: [str(path.relative_to(directory)) for path in write_systems(held, elements, directory / part)]
            for part, held in (("train", dataset.train), ("validation", dataset.validation))
        }
        virial = any(group.stresses is not None for block in blocks_of(dataset.train) for group in block.groups)
        probabilities = batch_shares(dataset.train, self.options.origin_shares)
        train = dict(zip(systems["train"], probabilities, strict=True))
        plan = training_input(self.options, elements, sel, train, systems["validation"], virial, seed)
        (directory / INPUT).write_text(json.dumps(plan, indent=1))
        return elements, plan

    def load(self, model: Path) -> DeepMDEvaluator:
        """Load a frozen model; TensorFlow's threads are those of the first model that a process loads."""
        return loaded(model.resolve(), model.stat().st_mtime_ns, self.settings.threads)

    def calculator(self, model: Path) -> Calculator:
        """DeePMD-kit's own ASE calculator."""
        set_threads(self.settings.threads)
        from deepmd.calculator import DP

        return DP(model=str(model))

    def lammps_lines(self, model: Path, elements: Sequence[str]) -> list[str]:
        """``pair_style deepmd`` with the elements mapped onto the model's types by name."""
        refuse_unknown(elements, self.load(model).elements, model)
        return [f'pair_style deepmd "{model.resolve()}"', f"pair_coeff * * {' '.join(elements)}"]

    def lammps_committee_lines(
        self, models: Sequence[Path], elements: Sequence[str], every: int, output: str
    ) -> list[str]:
        """``pair_style deepmd`` with all models: the first one drives, all of them are compared."""
        for model in models:
            refuse_unknown(elements, self.load(model).elements, model)
        files = " ".join(f'"{model.resolve()}"' for model in models)
        return [
            f"pair_style deepmd {files} out_freq {every} out_file {output}",
            f"pair_coeff * * {' '.join(elements)}",
        ]


@cache
def backend_problem(backend: str) -> str | None:
    """Why a DeePMD-kit backend does not work here, or None where it does; tried once in a process of its own."""
    probe = subprocess.run(
        [sys.executable, "-c", f"import {MODULES[backend]}"],
        env=clean_environment(1),
        capture_output=True,
        text=True,
        check=False,
    )
    # A backend's libraries print at exit too: the error is the last line that a traceback ends with.
    errors = [line for line in probe.stderr.splitlines() if "Error:" in line]
    return None if probe.returncode == 0 else (errors or [f"status {probe.returncode}"])[-1]
