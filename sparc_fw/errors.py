"""The named exceptions of the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class SparcError(Exception):
    """Anything that sparc_fw reports by itself; the message is meant for the user."""


class InputError(SparcError):
    """The user's input cannot work: names the file or key, what was found and what was expected."""


class MissingDependency(InputError):
    """A package, executable or server that the input asks for is not on this machine."""


class CampaignExists(InputError):
    """A campaign of that name is in the store already."""


class StoreError(SparcError):
    """The store holds something that contradicts what was asked of it."""


class StageFailed(SparcError):
    """A stage of a campaign (label, train, explore, select) cannot go on; the Firework fizzles."""


class TrainingDiverged(StageFailed):
    """A training ended in NaN or never wrote a usable model."""


@contextmanager
def named(where: str) -> Iterator[None]:
    """Put the key or file in front of what somebody deeper, who does not know it, has to say about the input."""
    try:
        yield
    except InputError as error:
        # The same error class, so that a missing package stays one.
        raise type(error)(f"{where}: {error}") from error
