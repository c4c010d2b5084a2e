"""One seed per campaign; every random choice derives from it and from its place."""

from __future__ import annotations

import hashlib


def derive_seed(campaign_seed: int, *place: str | int) -> int:
    """A seed in [1, 2^31) for a place such as ``(iteration, "train", member)``; the same wherever it is computed."""
    text = "/".join(str(part) for part in (campaign_seed, *place))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % (2**31 - 1) + 1
