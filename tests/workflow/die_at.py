"""Launch one Firework and die by SIGKILL at a named point: ``die_at.py LAUNCHPAD POINT NUMBER``.

The points lie between FireWorks' own writes at the end of a launch, and inside the tasks.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket

from sparc_fw.store import Store

POINTS: dict[str, tuple[type, str, bool]] = {
    # After the launch is COMPLETED, before the Workflow is locked.
    "launch_completed": (LaunchPad, "_refresh_wf", False),
    # Inside the lock, before any Firework is written.
    "locked": (LaunchPad, "_update_wf", False),
    # Inside the lock, after the Fireworks and before the Workflow.
    "fireworks_written": (LaunchPad, "_upsert_fws", True),
    # Inside the lock, after the Workflow.
    "workflow_written": (LaunchPad, "_update_wf", True),
    "label_saved": (Store, "save_labels", True),
    "model_trained": (Store, "save_model", False),
    "model_saved": (Store, "save_model", True),
    "exploration_saved": (Store, "save_exploration", True),
    "selection_made": (Store, "save_selection", False),
    "selection_saved": (Store, "save_selection", True),
    "frames_added": (Store, "add_frames", True),
}


def arm(point: str) -> None:
    """Replace a method by one that kills this process before or after the real one."""
    owner, name, after = POINTS[point]
    real: Callable[..., Any] = getattr(owner, name)

    def deadly(*args: Any, **kwargs: Any) -> None:
        if after:
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, deadly)


def main() -> None:
    """Launch, and die."""
    launchpad = LaunchPad.from_file(sys.argv[1])
    arm(sys.argv[2])
    launch_rocket(launchpad, FWorker(sys.argv[3]), strm_lvl="ERROR")


if __name__ == "__main__":
    main()
