"""FireWorks' LaunchPad: found, opened and indexed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pymongo
import yaml
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import PyMongoError

from sparc_fw.errors import InputError
from sparc_fw.settings import Settings, find_file
from sparc_fw.yaml_files import read_section

# FireWorks prints the configuration files that it found; stdout belongs to --json.
with redirect_stdout(sys.stderr):
    from fireworks import LaunchPad, fw_config

FILE_NAME = "my_launchpad.yaml"
ANSWER_SECONDS = 5.0
CATEGORY_INDEX = [("state", ASCENDING), ("spec._category", ASCENDING), ("spec._priority", DESCENDING)]


def redact(text: str) -> str:
    """Replace the user and password of every URI in a text."""
    return re.sub(r"://\S*@", "://***@", text)


def find_launchpad_file(settings: Settings) -> Path | None:
    """The LaunchPad file that applies: the setting, else FireWorks' own search; None where there is none."""
    if settings.launchpad_file is not None:
        return settings.launchpad_file.expanduser()
    # FireWorks looks once, when it is imported; a file that came later (db start --write-launchpad) counts as well.
    found: str | None = fw_config.LAUNCHPAD_LOC
    return Path(found) if found else find_file(FILE_NAME)


def describe(settings: Settings) -> str:
    """Say in one line which LaunchPad `open_launchpad` would open."""
    if settings.mongo_uri is not None:
        return f"{redact(settings.mongo_uri)}, database {settings.database}"
    path = find_launchpad_file(settings)
    if path is not None:
        return f"file {path}"
    return f"none configured: 'sparc-fw run' starts the embedded MongoDB in {settings.data_dir}"


def open_launchpad(settings: Settings) -> LaunchPad | None:
    """Open the LaunchPad by ``mongo_uri``, else by a file; None where neither is configured.

    Raises
    ------
    InputError
        If the file is wrong, or MongoDB does not answer within five seconds or lets nobody in.
    """
    if settings.mongo_uri is not None:
        return launchpad_at(settings.mongo_uri, settings.database)
    path = find_launchpad_file(settings)
    if path is None:
        return None
    # FireWorks' own default is INFO, on stdout.
    return _connect({"strm_lvl": "WARNING"} | read_section(path, "LaunchPad file"), where=str(path))


def launchpad_at(uri: str, database: str) -> LaunchPad:
    """Open the LaunchPad in a database of the MongoDB at `uri`; raises as `open_launchpad` does."""
    return _connect({"host": uri, "name": database, "uri_mode": True, "strm_lvl": "WARNING"}, where=redact(uri))


def prepare(launchpad: LaunchPad) -> None:
    """Make the counters that ``lpad reset`` makes and the indexes, deleting nothing; cheap where they exist."""
    if "sparc_fw_campaign" in launchpad.fireworks.index_information():
        return
    if launchpad.fw_id_assigner.find_one() is None:
        # The fixed _id lets one of two that come at the same time win.
        counters = {"next_fw_id": 1, "next_launch_id": 1}
        launchpad.fw_id_assigner.update_one({"_id": "sparc_fw"}, {"$setOnInsert": counters}, upsert=True)
    # It returns when the indexes are built; bkground=False would only add `compact`, which blocks a shared server.
    launchpad.tuneup(bkground=True)
    launchpad.fireworks.create_index(CATEGORY_INDEX, name="sparc_fw_category")
    # Last, because its presence says that all the others are there.
    launchpad.fireworks.create_index("spec.campaign_id", name="sparc_fw_campaign")


def write_launchpad_file(uri: str, database: str, path: Path) -> None:
    """Write a LaunchPad file that FireWorks' commands read, for this user's eyes only.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    text = yaml.safe_dump({"host": uri, "name": database, "uri_mode": True}, sort_keys=False)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            file.write(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def campaign_workflows(lpad: LaunchPad, campaign_id: str) -> Iterator[dict[str, Any]]:
    """The Workflows (chapters) of a campaign, oldest first."""
    ids = [fw["fw_id"] for fw in lpad.fireworks.find({"spec.campaign_id": campaign_id}, {"fw_id": 1})]
    yield from lpad.workflows.find({"nodes": {"$in": ids}}, {"nodes": 1, "fw_states": 1, "locked": 1}).sort("nodes", 1)


def _connect(arguments: dict[str, Any], where: str) -> LaunchPad:
    """Open a LaunchPad and ask for one document, so that a wrong address or password shows now."""
    try:
        launchpad = LaunchPad.from_dict(arguments)
        with pymongo.timeout(ANSWER_SECONDS):
            launchpad.fireworks.find_one({}, {"_id": 1})
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{where}: not a LaunchPad that FireWorks accepts: {redact(str(error))}") from error
    except PyMongoError as error:
        reason = redact(str(error)).split(" (configured timeouts")[0].split(", Timeout:")[0]
        raise InputError(
            f"{where}: MongoDB does not answer or refuses: {reason}. Start it ('sparc-fw db start' for the embedded "
            "one), or correct the address"
        ) from error
    return launchpad
