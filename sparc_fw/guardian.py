"""Runs a program and ends all that comes of it: ``python -I -S guardian.py PARENT PROGRAM ARGUMENT…``.

A program that is killed leaves what it started: the ranks of an ``mpirun`` in a script, whatever has a session of its
own. On Linux the guardian is the subreaper of all of these (prctl(2), PR_SET_CHILD_SUBREAPER), so whichever of them
loses its parent becomes its child, and having no child left means that none is left. It ends them when the program
ends, when it gets SIGTERM, and when its own parent ends in whatever way (PR_SET_PDEATHSIG). Elsewhere it looks twice a
second whether its parent lives, and ends the program's process group.

It is read as a script by an interpreter that starts as bare as can be, so it imports no more than it must.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

GRACE_SECONDS = 2.0
"""How long what was asked to end may take; a launcher on several machines needs it to end its ranks there."""

KILL_SECONDS = 2.0
"""How long the kernel may take for what it was told to kill; a process that waits for a lost disk never ends."""

ENDINGS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36


def control(option: int, value: int) -> None:
    """prctl(2), where there is one."""
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start(command: list[str]) -> int:
    """Start the program in a process group of its own; it is killed when the guardian is killed."""
    guardian = os.getpid()
    program = os.fork()
    if program:
        return program
    control(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guardian:
        os._exit(1)
    os.setpgid(0, 0)
    # The last two are ignored by Python, and what is ignored stays so.
    for number in (*ENDINGS, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    os._exit(127)


def descendants() -> list[int]:
    """All processes below this one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(name))
    below = children.get(os.getpid(), [])
    for pid in below:
        below += children.get(pid, [])
    return below


def send(program: int, number: int) -> None:
    """Send a signal to all that came of the program."""
    for pid in descendants() if LINUX else [-program]:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # gone meanwhile, or another user's


def reap(program: int) -> tuple[int | None, bool]:
    """The program's wait status, where it ended just now, and whether any child is left."""
    status = None
    while True:
        try:
            pid, found = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status, False
        if pid == 0:
            return status, True
        if pid == program:
            status = found


def end_all(program: int) -> None:
    """Ask all that came of the program to end, and kill what does not."""
    if LINUX and not reap(program)[1]:
        return
    for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        deadline = time.monotonic() + seconds
        send(program, number)
        while reap(program)[1]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
            if number == signal.SIGKILL:
                send(program, number)  # what was born since
    if not LINUX:
        send(program, signal.SIGKILL)  # those that are no children of the guardian


def await_program(program: int, parent: int, wakened: int, asked: list[int]) -> int | None:
    """The program's wait status, or None where it is to be ended."""
    while True:
        status, _ = reap(program)
        if status is not None:
            return status
        if asked or os.getppid() != parent:
            return None
        if select.select([wakened], [], [], None if LINUX else 0.5)[0]:
            os.read(wakened, 4096)


def main() -> None:
    """Run the program to its end, and end as it ended."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    # A signal between a look and the wait that follows it must not be lost: each leaves a byte in the pipe.
    wakened, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    asked: list[int] = []
    for ending in ENDINGS:
        signal.signal(ending, lambda number, frame: asked.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    # Who kills the parent's process group or session means the parent; what the guardian guards ends after it.
    os.setsid()
    control(PR_SET_CHILD_SUBREAPER, 1)
    control(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
    program = start(command)
    # The ends of pipes are the program's: whoever is at the others must see that it closed its own.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    status = await_program(program, parent, wakened, asked)
    end_all(program)
    if status is None:
        sys.exit(128 + signal.SIGTERM)
    if os.WIFSIGNALED(status):
        control(PR_SET_DUMPABLE, 0)  # a core file of the guardian helps nobody
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
