"""Labels and models out of the store, as files."""

from __future__ import annotations

import json
from pathlib import Path

from sparc_fw.dataset import training_labels
from sparc_fw.errors import InputError
from sparc_fw.folders import make_folder
from sparc_fw.formats.writing import ENDINGS, write_labels
from sparc_fw.mongo import MongoDocument
from sparc_fw.store import Store

LAST = 2**31 - 1
"""Later than any iteration."""


def export_labels(store: Store, campaign_id: str, kind: str, out: Path | None) -> tuple[Path, int]:
    """Write the good training labels of a campaign, in order, with their provenance; returns where and how many.

    Raises
    ------
    InputError
        If the target exists or there is no label yet.
    """
    store.campaign_record(campaign_id)
    path = out or Path(campaign_id + ENDINGS[kind])
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: found no folder {path.parent}, expected one that exists (--out)")
    if path.exists():
        raise InputError(f"{path}: exists already, expected a new file or folder (--out)")
    labels = [label for part in training_labels(store, campaign_id, LAST) for label in part]
    if not labels:
        raise InputError(f"campaign {campaign_id!r} has no good label yet")
    write_labels(labels, kind, path)
    return path, len(labels)


def lay_models(store: Store, name: str, folder: Path) -> list[Path]:
    """Write model files; for a campaign its last whole committee, the promoted member and a ``models.json``.

    Raises
    ------
    InputError
        If nothing of that name has a model, or `folder` cannot be a folder.
    """
    single = store.models.find_one({"_id": name})
    if single is not None:
        make_folder(folder, "--to")
        return [_write_model(store, single, folder, f"member-{single['member']}")]
    record = store.campaign_record(name)
    size = record["campaign"]["committee"]
    members = _last_committee(store, name, size)
    make_folder(folder, "--to")
    paths = [_write_model(store, model, folder, f"member-{model['member']}") for model in members]
    promoted = record.get("promoted")
    if promoted is not None:
        best = store.models.find_one({"_id": promoted["model"]})
        assert best is not None, f"{promoted['model']} was promoted from the store"
        paths.append(_write_model(store, best, folder, "promoted"))
    about = folder / "models.json"
    details = {"campaign": name, "committee_iteration": members[0]["iteration"], "promoted": promoted}
    about.write_text(json.dumps({**details, "elements": members[0]["elements"]}, indent=2) + "\n")
    return [*paths, about]


def _last_committee(store: Store, campaign_id: str, size: int) -> list[MongoDocument]:
    """The members of the last iteration of which all are trained."""
    last = store.models.find_one({"campaign_id": campaign_id}, sort=[("iteration", -1)])
    for iteration in range(last["iteration"] if last else -1, -1, -1):
        members = store.committee(campaign_id, iteration)
        if len(members) == size:
            return members
    raise InputError(f"campaign {campaign_id!r} has no whole committee yet")


def _write_model(store: Store, model: MongoDocument, folder: Path, stem: str) -> Path:
    path = folder / f"{stem}{model['suffix']}"
    path.write_bytes(store.files.get(model["file"]))
    return path
