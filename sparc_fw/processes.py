"""Processes and ports of this machine, as the kernel tells them."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

HOST = "127.0.0.1"


def command_line(pid: int) -> list[str]:
    """Arguments of a process: none where there is no such process, one empty one where it is ending."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def lives(pid: int) -> bool:
    """Whether a process holds anything still; a zombie does as long as it has more than one thread."""
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(list((process / "task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_end(pid: int, seconds: float) -> bool:
    """Wait until a process is gone; False if it outlives `seconds`."""
    deadline = time.monotonic() + seconds
    while lives(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_free(port: int) -> bool:
    """Whether a server could listen on a port of the loopback interface."""
    with socket.socket() as probe:
        # As mongod does it: connections of the last server that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def own_mark() -> str:
    """What tells this process from every other one, also from later ones with its pid: host, pid and start."""
    return f"{socket.gethostname()}:{os.getpid()}:{started(os.getpid())}"


def has_died(mark: str) -> bool:
    """Whether a process, named by its `own_mark`, ran on this machine and is gone."""
    host, _, rest = mark.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return False
    return started(int(rest)) != mark.rpartition(":")[2]


def started(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""
