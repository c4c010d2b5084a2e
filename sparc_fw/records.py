"""Records as MongoDB keeps them: small plain values in the document, arrays as bytes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
from ase import Atoms

from sparc_fw.documents import FrameVerdict, Label, Report, Selection
from sparc_fw.encoding import frame_info, pack_arrays, pack_frames, unpack_arrays, unpack_frames
from sparc_fw.mongo import MongoDocument
from sparc_fw.trajectories import Exploration, Trajectory, Uncertainty

PLAIN_LABEL_FIELDS = (
    "status",
    "energy",
    "reason",
    "message",
    "seconds",
    "attempts",
    "cores",
    "code",
    "version",
    "host",
    "settings_hash",
    "effort_hash",
)


def _bytes(values: np.ndarray | None) -> bytes | None:
    return None if values is None else np.ascontiguousarray(values, dtype="<f8").tobytes()


def _array(data: bytes | None, *shape: int) -> np.ndarray | None:
    return None if data is None else np.frombuffer(data, dtype="<f8").reshape(shape).copy()


def label_to_record(label: Label) -> MongoDocument:
    """A label as one document, arrays as little-endian float64."""
    frame = label.frame
    return {
        "_id": label.key,
        **{name: getattr(label, name) for name in PLAIN_LABEL_FIELDS},
        "formula": frame.get_chemical_formula(),
        "numbers": frame.numbers.tolist(),
        "positions": _bytes(frame.positions),
        "cell": _bytes(frame.cell.array),
        "pbc": frame.pbc.tolist(),
        "info": frame_info(frame),
        "forces": _bytes(label.forces),
        "stress": _bytes(label.stress),
    }


def label_from_record(record: MongoDocument) -> Label:
    """The inverse of `label_to_record`."""
    frame = Atoms(
        numbers=record["numbers"],
        positions=_array(record["positions"], -1, 3),
        cell=_array(record["cell"], 3, 3),
        pbc=record["pbc"],
        info=dict(record["info"]),
    )
    return Label(
        frame=frame,
        key=record["_id"],
        forces=_array(record["forces"], -1, 3),
        stress=_array(record["stress"], 6),
        # Labels of earlier releases do not say how much was tried.
        **{name: record[name] for name in PLAIN_LABEL_FIELDS if name in record},
    )


PLAIN_EXPLORATION_FIELDS = (
    "campaign_id",
    "iteration",
    "replica",
    "explorer",
    "planned_ps",
    "seed",
    "seconds_deviation",
)
PLAIN_TRAJECTORY_FIELDS = ("name", "info", "steps", "ended", "seconds", "lasted_fs")
UNCERTAINTY = "uncertainty:"
UNCERTAINTY_ARRAYS = ("force_deviation", "mean_force", "energies")
TRAJECTORY_ARRAYS = ("numbers", "positions", "cells", "times")


def exploration_to_record(exploration: Exploration) -> tuple[MongoDocument, bytes]:
    """An exploration as a small document and its arrays."""
    arrays = {"deviation": exploration.deviation}
    parts = []
    for number, uncertainty in enumerate(exploration.uncertainty):
        arrays |= {f"{number}:{UNCERTAINTY}{name}": getattr(uncertainty, name) for name in UNCERTAINTY_ARRAYS}
    for number, trajectory in enumerate(exploration.trajectories):
        part, its_arrays = _trajectory_to_record(trajectory)
        parts.append(part)
        arrays |= {f"{number}:{name}": values for name, values in its_arrays.items()}
    record = {name: getattr(exploration, name) for name in PLAIN_EXPLORATION_FIELDS}
    record |= {"frames": len(exploration), "steps": exploration.steps, "ended": exploration.ended, "parts": parts}
    return record, pack_arrays(arrays)


def exploration_from_record(record: MongoDocument, data: bytes) -> Exploration:
    """The inverse of `exploration_to_record`."""
    by_part: list[dict[str, np.ndarray]] = [{} for _ in record["parts"]]
    arrays = unpack_arrays(data)
    for key, values in arrays.items():
        number, separator, name = key.partition(":")
        if separator:
            by_part[int(number)][name] = values
    known = [part for part in by_part if f"{UNCERTAINTY}energies" in part]
    return Exploration(
        uncertainty=[
            Uncertainty(**{name: part[f"{UNCERTAINTY}{name}"] for name in UNCERTAINTY_ARRAYS}) for part in known
        ],
        trajectories=[_trajectory_from_record(*part) for part in zip(record["parts"], by_part, strict=True)],
        deviation=arrays["deviation"],
        **{name: record[name] for name in PLAIN_EXPLORATION_FIELDS},
    )


def _trajectory_to_record(trajectory: Trajectory) -> tuple[MongoDocument, dict[str, np.ndarray]]:
    arrays: dict[str, np.ndarray] = {name: getattr(trajectory, name) for name in TRAJECTORY_ARRAYS}
    arrays |= {f"series:{name}": values for name, values in trajectory.series.items()}
    if trajectory.end is not None:
        arrays["end"] = np.frombuffer(pack_frames([trajectory.end]), dtype=np.uint8)
    if trajectory.learned:
        # Beside the arrays, since hills may be more than a document holds.
        arrays["learned"] = np.frombuffer(json.dumps(trajectory.learned).encode(), dtype=np.uint8)
    record: dict[str, Any] = {name: getattr(trajectory, name) for name in PLAIN_TRAJECTORY_FIELDS}
    record["pbc"] = [bool(flag) for flag in trajectory.pbc]
    return record, arrays


def _trajectory_from_record(record: MongoDocument, arrays: dict[str, np.ndarray]) -> Trajectory:
    plain: dict[str, Any] = {name: record[name] for name in PLAIN_TRAJECTORY_FIELDS}
    plain |= {name: arrays[name] for name in TRAJECTORY_ARRAYS}
    return Trajectory(
        **plain,
        pbc=(record["pbc"][0], record["pbc"][1], record["pbc"][2]),
        series={name.removeprefix("series:"): values for name, values in arrays.items() if name.startswith("series:")},
        end=unpack_frames(arrays["end"].tobytes())[0] if "end" in arrays else None,
        learned=json.loads(arrays["learned"].tobytes()) if "learned" in arrays else {},
    )


PLAIN_SELECTION_FIELDS = (
    "campaign_id",
    "iteration",
    "fractions",
    "counts",
    "quantiles",
    "verdict",
    "sentence",
    "go_on",
    "calm",
    "copies_dropped",
    "time_factor",
    "measure",
    "observed",
)


def selection_to_record(selection: Selection) -> tuple[MongoDocument, bytes]:
    """A selection as a small document and, as bytes, the picks and what became of every frame."""
    frames = selection.frames
    arrays: dict[str, np.ndarray] = {
        "replica": np.array([f.replica for f in frames], dtype=np.int32),
        "index": np.array([f.index for f in frames], dtype=np.int64),
        "deviation": np.array([f.deviation for f in frames], dtype=float),
        "frame_class": np.array([f.frame_class for f in frames], dtype="U12"),
        "fate": np.array([f.fate for f in frames], dtype=str),
        "step": np.array([f.step for f in frames], dtype=np.int32),
        "turn": np.array([f.turn for f in frames], dtype=np.int64),
        "drawn": np.array([f.drawn for f in frames], dtype=bool),
        "places": np.array(selection.places, dtype=np.int64).reshape(-1, 2),
        "picks": np.frombuffer(pack_frames(selection.picks), dtype=np.uint8),
        "copies": np.frombuffer(pack_frames(selection.copies), dtype=np.uint8),
    }
    record: dict[str, Any] = {name: getattr(selection, name) for name in PLAIN_SELECTION_FIELDS}
    # MongoDB takes a dot in a key for a path.
    record["quantiles"] = json.dumps(selection.quantiles)
    record["window"] = list(selection.window)
    record["windows"] = [[name, *window] for name, window in selection.windows.items()]
    record["drawn"] = sum(f.drawn for f in frames)
    record["picks"] = len(selection.picks)
    record["copies"] = len(selection.copies)
    record["fates"] = dict(Counter(f.fate for f in frames))
    return record, pack_arrays(arrays)


def selection_from_record(record: MongoDocument, data: bytes) -> Selection:
    """The inverse of `selection_to_record`."""
    arrays = unpack_arrays(data)
    names = ("replica", "index", "deviation", "frame_class", "fate", "step", "turn", "drawn")
    frames = [FrameVerdict(*row) for row in zip(*(arrays[name].tolist() for name in names), strict=True)]
    plain = {name: record[name] for name in PLAIN_SELECTION_FIELDS}
    plain["quantiles"] = json.loads(record["quantiles"])
    low, high = record["window"]
    picks, copies = (unpack_frames(arrays[name].tobytes()) for name in ("picks", "copies"))
    return Selection(
        frames=frames,
        picks=picks,
        copies=copies,
        window=(low, high),
        windows={name: (low, high) for name, low, high in record["windows"]},
        places=[(replica, index) for replica, index in arrays["places"].tolist()],
        **plain,
    )


REPORT_FIELDS = ("campaign_id", "iteration", "members", "best", "left_out", "seconds")


def report_from_record(record: MongoDocument) -> Report:
    """A report from its document."""
    return Report(**{name: record[name] for name in REPORT_FIELDS})
