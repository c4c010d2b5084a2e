"""Frames and arrays as bytes, to the bit: what the store and files that must not lose a digit use."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

INFO_KEYS = ("system", "charge", "spin", "origin")


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays by name as one compressed npz archive."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpack_arrays(data: bytes) -> dict[str, np.ndarray]:
    """The inverse of `pack_arrays`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def frame_info(frame: Atoms) -> dict[str, object]:
    """The part of ``info`` that belongs to a frame wherever it goes: system, charge, spin, origin; as plain values."""
    found = {key: frame.info[key] for key in INFO_KEYS if key in frame.info}
    # What readers make of a number in a file is often none that JSON knows.
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in found.items()}


def pack_frames(frames: Sequence[Atoms]) -> bytes:
    """Frames of any sizes as bytes: species, positions, cell, periodicity and `frame_info`."""
    sizes = np.array([len(frame) for frame in frames], dtype=np.int64)
    return pack_arrays(
        {
            "sizes": sizes,
            "numbers": np.concatenate([f.numbers for f in frames] or [np.zeros(0)]).astype(np.int32),
            "positions": np.concatenate([f.positions for f in frames] or [np.zeros((0, 3))]),
            "cells": np.array([f.cell.array for f in frames]).reshape(-1, 3, 3),
            "pbc": np.array([f.pbc for f in frames], dtype=bool).reshape(-1, 3),
            "info": np.array(json.dumps([frame_info(f) for f in frames])),
        }
    )


def unpack_frames(data: bytes) -> list[Atoms]:
    """The inverse of `pack_frames`."""
    arrays = unpack_arrays(data)
    ends = np.cumsum(arrays["sizes"])
    info = json.loads(str(arrays["info"]))
    return [
        Atoms(
            numbers=arrays["numbers"][end - size : end],
            positions=arrays["positions"][end - size : end],
            cell=arrays["cells"][i],
            pbc=arrays["pbc"][i],
            info=info[i],
        )
        for i, (size, end) in enumerate(zip(arrays["sizes"], ends, strict=True))
    ]
