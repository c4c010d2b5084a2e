"""Labelers that compute inside a Python process: in the worker's own, or, under a time limit, in one that can be ended.

``python -m sparc_fw.labelers.in_process`` is that process: it loads a labeler once, and then answers frames.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import weakref
from multiprocessing.connection import Connection
from typing import IO, Any, ClassVar, TypeVar

from ase import Atoms
from pydantic import Field

from sparc_fw.child_process import clean_environment, end_guarded, guarded, last_lines
from sparc_fw.errors import InputError
from sparc_fw.labelers.base import Labeler, LabelerOptions, LabelError, Numbers

READY = "ready"


class InProcessOptions(LabelerOptions):
    """Options of labelers that compute inside a Python process."""

    effort: ClassVar[frozenset[str]] = LabelerOptions.effort | {"timeout_seconds"}

    timeout_seconds: float | None = Field(None, gt=0)
    """Longest time of a calculation, s; each further attempt has as much. With a limit, calculations run in a process
    beside the worker, which is ended when one takes longer and whose start does not count; where unset, none."""


InProcessOptionsType = TypeVar("InProcessOptionsType", bound=InProcessOptions)


class InProcessLabeler(Labeler[InProcessOptionsType]):
    """Computes in this process, or in one beside it where there is a time limit."""

    _beside: Beside | None = None

    def load(self) -> None:
        """Read what calculations need, so that it does not count as their time."""

    def close(self) -> None:
        """End the process beside this one, if there is one."""
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.end()

    def limited(self, frame: Atoms) -> Numbers:
        """Calculate within the limit of time, if there is one."""
        limit = self.options.timeout_seconds
        if limit is None:
            return self.calculate(frame)
        try:
            if self._beside is None:
                self._beside = Beside(self)
            return self._beside.calculate(frame, limit)
        except _Lost as error:
            self.close()
            raise LabelError(error.reason, f"{self.code}: {error}") from error


class _Lost(LabelError):
    """There is no answer, and no process that could give another one."""


class Beside:
    """A process that computes for a labeler; it ends with this one.

    Raises
    ------
    LabelError
        ``crashed``, if it does not start.
    """

    def __init__(self, labeler: InProcessLabeler[Any]) -> None:
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        # Errors of the child are not the caller's: what it prints goes where its last words are looked for.
        self._process = subprocess.Popen(
            guarded([sys.executable, "-m", __spec__.name]),
            env=clean_environment(labeler.settings.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions = Connection(os.dup(self._process.stdin.fileno()), readable=False)
        self._answers = Connection(os.dup(self._process.stdout.fileno()), writable=False)
        self._process.stdin.close()
        self._process.stdout.close()
        self._finalizer = weakref.finalize(self, _end, self._process, self._questions, self._answers, self._words)
        self._ask((type(labeler), labeler.options, labeler.settings), None)

    def calculate(self, frame: Atoms, limit: float) -> Numbers:
        """The numbers of a frame.

        Raises
        ------
        LabelError
            That of the calculation, ``timeout``, or ``crashed`` where the process ended.
        """
        answer: Numbers = self._ask(frame.copy(), limit)
        return answer

    def end(self) -> None:
        """End the process."""
        self._finalizer()

    def _ask(self, question: Any, limit: float | None) -> Any:
        try:
            self._questions.send(question)
            if not self._answers.poll(limit):
                raise _Lost("timeout", f"the calculation took longer than timeout_seconds, {limit:g} s")
            kind, answer = self._answers.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            status = self._process.wait()
            self._words.seek(0)
            words = last_lines(self._words.read().decode(errors="replace")) or "none"
            raise _Lost("crashed", f"the process ended with status {status}; its last words: {words}") from error
        if kind == "failed":
            raise LabelError(*answer)
        if kind == "raised":
            raise answer
        return answer


def _end(process: Any, *opened: Any) -> None:
    end_guarded(process)
    for file in opened:
        file.close()


def _answer(labeler: InProcessLabeler[Any], frame: Atoms) -> tuple[str, Any]:
    try:
        return "numbers", labeler.calculate(frame)
    except LabelError as error:
        return "failed", (error.reason, str(error), error.attempts)
    except (InputError, ArithmeticError, ValueError, RuntimeError) as error:
        return "raised", _sendable(error)


def _sendable(error: Exception) -> Exception:
    """The error, or its words where it cannot be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        # Whatever classes of other packages do when they are taken apart and put together.
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def main() -> None:
    """Answer frames until nobody asks any more."""
    questions = Connection(os.dup(0), writable=False)
    answers = Connection(os.dup(1), readable=False)
    # What codes print would lie between the answers.
    os.dup2(2, 1)
    made, options, settings = questions.recv()
    labeler = made(options, settings)
    try:
        labeler.load()
    except InputError as error:
        answers.send(("raised", _sendable(error)))
        return
    answers.send(("numbers", READY))
    while True:
        try:
            frame = questions.recv()
        except EOFError:
            return
        answers.send(_answer(labeler, frame))


if __name__ == "__main__":
    main()
