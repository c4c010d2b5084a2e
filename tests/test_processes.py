"""Who is known to be dead, and who is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sparc_fw.processes import has_died, own_mark


def mark_of_a_child(end: bool) -> tuple[str, subprocess.Popen[str]]:
    code = "import sys; from sparc_fw.processes import own_mark; print(own_mark(), flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    mark = child.stdout.readline().strip()
    if end:
        child.communicate()
    return mark, child


def test_a_process_that_ended_is_known_to_be_dead() -> None:
    alive, child = mark_of_a_child(end=False)
    assert not has_died(alive)
    child.communicate()
    assert has_died(alive)
    assert not has_died(own_mark())


def test_only_a_process_of_this_kernel_and_namespace_is_known_to_be_dead() -> None:
    mark, _ = mark_of_a_child(end=True)
    host, _, rest = mark.partition("@")
    boot, _, rest = rest.partition("-")
    namespace, _, process = rest.partition(":")
    assert str(Path("/proc/self/ns/pid").readlink()) == f"pid:[{namespace}]"
    assert has_died(f"{host}@{boot}-{namespace}:{process}")
    assert not has_died(f"{host}@{'0' * 12}-{namespace}:{process}"), "another machine of that name"
    assert not has_died(f"{host}@{boot}-1:{process}"), "another container of that name"
    assert not has_died(f"elsewhere@{boot}-{namespace}:{process}")
    assert not has_died(f"{host}:{process}")
    assert not has_died("no mark at all")
