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
    """What tells this process from every other one, also from later ones with its pid: its kernel, pid and start."""
    return f"{_kernel()}:{os.getpid()}:{started(os.getpid())}"


def ran_here(mark: str) -> bool:
    """Whether a process, named by its `own_mark`, ran under this kernel and among the pids that are seen here."""
    kernel, _, pid = mark.rpartition(":")[0].rpartition(":")
    return kernel == _kernel() and pid.isdigit()


def has_died(mark: str) -> bool:
    """Whether a process, named by its `own_mark`, ran here and is gone."""
    _, pid, start = mark.rsplit(":", 2) if ran_here(mark) else ("", "", "")
    return bool(pid) and started(int(pid)) != start


def _kernel() -> str:
    """Host, boot and pid namespace: another container or node may have the name of this one, and other pids.

    What ran before the host was booted again did not run here, and is not known to be dead.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:12]
        namespace = str(Path("/proc/self/ns/pid").readlink()).removeprefix("pid:[").removesuffix("]")
    except FileNotFoundError:
        return socket.gethostname()  # no Linux, where nobody is known to be dead
    return f"{socket.gethostname()}@{boot}-{namespace}"


def started(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""
