"""A running CP2K that takes commands: one start for many calculations.

The protocol is CP2K's own (manual, "CP2K Shell"), as `ase.calculators.cp2k` speaks it; that one can neither give up on
a calculation nor be ended together with its parent.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from sparc_fw.child_process import end_guarded, guarded, last_lines

READY = "* READY"
ERRORS = "cp2k_shell_errors"
_PATIENCE_SECONDS = 5.0


class ShellEnded(Exception):
    """CP2K ended instead of answering; the message holds its standard error."""


class ShellLate(Exception):
    """CP2K did not answer in time."""


class CP2KShell:
    """A running CP2K.

    Parameters
    ----------
    command : sequence of str
        The first entry is an absolute path.
    environment : mapping of str to str
        The whole environment.
    directory : Path
        Takes CP2K's standard error; there are other files of CP2K's where no `CD` was sent.
    deadline : float
        Of the start, on the clock of `time.monotonic`.

    Raises
    ------
    ShellEnded, ShellLate
        If it does not start.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path, deadline: float
    ) -> None:
        self._errors = directory / ERRORS
        self._unread = b""
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                guarded(command),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        try:
            self._answer(deadline)
            # Stop at the first error instead of going on after it.
            self.ask("HARSH", deadline)
        except BaseException:
            self.kill()
            raise

    def ask(self, command: str, deadline: float) -> list[str]:
        """Send a command and return the lines that CP2K answers.

        Raises
        ------
        ShellEnded
            If CP2K ended.
        ShellLate
            If there is no whole answer at `deadline`; CP2K goes on and must be killed.
        """
        try:
            _pipe(self._process.stdin).write(f"{command}\n".encode())
            _pipe(self._process.stdin).flush()
        except BrokenPipeError as error:
            raise self._ended() from error
        return self._answer(deadline)

    def _answer(self, deadline: float) -> list[str]:
        lines: list[str] = []
        while True:
            *whole, self._unread = self._unread.split(b"\n")
            for number, line in enumerate(whole):
                if line.strip() == READY.encode():
                    self._unread = b"\n".join([*whole[number + 1 :], self._unread])
                    return lines
                lines.append(line.decode(errors="replace").strip())
            output = _pipe(self._process.stdout)
            if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise ShellLate
            read = os.read(output.fileno(), 65536)
            if not read:
                raise self._ended()
            self._unread += read

    def _ended(self) -> ShellEnded:
        status = self._process.wait()
        return ShellEnded(f"exit status {status}\n{last_lines(self._errors.read_text(errors='replace'), 8)}")

    def close(self) -> None:
        """Ask CP2K to end, and kill it where it does not."""
        try:
            _pipe(self._process.stdin).write(b"EXIT\n")
            _pipe(self._process.stdin).flush()
            self._process.wait(_PATIENCE_SECONDS)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End CP2K now, with all that its launcher started."""
        if self._process.poll() is None:
            end_guarded(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                _pipe(pipe).close()
            except BrokenPipeError:
                # What was not yet sent has nobody to read it.
                continue


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
