"""Launch one Firework and meet with an accident at a named point: ``die_at.py LAUNCHPAD POINT WORKER``.

The points lie between FireWorks' own writes, when it takes a Firework and when a launch ends, and inside the tasks.
At most of them this process dies by SIGKILL; at those of `CUTS` MongoDB is away for one call.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
from pymongo.errors import AutoReconnect

from sparc_fw.store import Store

Point = tuple[type, str, bool]
"""Whose method, and whether the accident comes after it has done its work."""

IN_TASKS: dict[str, Point] = {
    "label_saved": (Store, "save_labels", True),
    "model_trained": (Store, "save_model", False),
    "model_saved": (Store, "save_model", True),
    "exploration_saved": (Store, "save_exploration", True),
    "selection_made": (Store, "save_selection", False),
    "selection_saved": (Store, "save_selection", True),
    "frames_added": (Store, "add_frames", True),
}
IN_FIREWORKS: dict[str, Point] = {
    # After the Firework or the launch is written, before the Workflow is locked.
    "unlocked": (LaunchPad, "_refresh_wf", False),
    # Inside the lock, before any Firework is written.
    "locked": (LaunchPad, "_update_wf", False),
    # Inside the lock, after the Fireworks and before the Workflow.
    "fireworks_written": (LaunchPad, "_upsert_fws", True),
    # Inside the lock, after the Workflow.
    "workflow_written": (LaunchPad, "_update_wf", True),
}
CUTS: dict[str, Point] = {
    "refreshed": (LaunchPad, "_update_wf", False),
}


def die() -> None:
    """What a kernel short of memory does."""
    os.kill(os.getpid(), signal.SIGKILL)


def lose_connection() -> None:
    """What pymongo raises when the server dies."""
    raise AutoReconnect("connection closed")


def arm(point: Point, accident: Callable[[], None]) -> None:
    """Let a method's next call meet with an accident before or after its work."""
    owner, name, after = point
    real: Callable[..., Any] = getattr(owner, name)

    def fatal(*args: Any, **kwargs: Any) -> Any:
        setattr(owner, name, real)
        if after:
            real(*args, **kwargs)
        return accident()

    setattr(owner, name, fatal)


def arm_at_end(point: Point, accident: Callable[[], None]) -> None:
    """Arm a method of FireWorks once the task is done: it is called to take the Firework, too."""
    real = LaunchPad.complete_launch

    def complete_launch(*args: Any, **kwargs: Any) -> Any:
        LaunchPad.complete_launch = real
        arm(point, accident)
        return real(*args, **kwargs)

    LaunchPad.complete_launch = complete_launch


def main() -> None:
    """Launch, with the accident laid out; the point's name says when: ``take:…``, ``end:…`` or a point in a task."""
    launchpad = LaunchPad.from_file(sys.argv[1])
    when, _, name = sys.argv[2].rpartition(":")
    when, _, cut = when.partition("-")
    accident = lose_connection if cut else die
    point = (CUTS if cut else IN_FIREWORKS if when else IN_TASKS)[name]
    (arm_at_end if when == "end" else arm)(point, accident)
    launch_rocket(launchpad, FWorker(sys.argv[3]), strm_lvl="ERROR")


if __name__ == "__main__":
    main()
