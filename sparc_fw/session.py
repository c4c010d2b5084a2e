"""A connection to the user's LaunchPad, or to the embedded MongoDB for as long as somebody here needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fireworks import LaunchPad

from sparc_fw.embedded import EmbeddedMongo
from sparc_fw.launchpad import launchpad_at, open_launchpad, prepare
from sparc_fw.settings import Settings
from sparc_fw.store import Store


@dataclass
class Session:
    """An open LaunchPad with its store.

    Attributes
    ----------
    embedded : EmbeddedMongo or None
        The server behind it, where it is the embedded one.
    """

    lpad: LaunchPad
    store: Store
    settings: Settings
    embedded: EmbeddedMongo | None

    def revive(self) -> bool:
        """Start the embedded server again if it died, and connect to it; True if it had died."""
        if self.embedded is None or not self.embedded.revive():
            return False
        server = self.embedded.status()
        if server is not None and self.lpad.host != server.uri:
            self.lpad = launchpad_at(server.uri, self.settings.database)
            self.store = Store(self.lpad.db, self.settings)
        return True


@contextmanager
def open_session(settings: Settings) -> Iterator[Session]:
    """Open what the settings name; without any, borrow the embedded MongoDB, whose last user stops it."""
    lpad = open_launchpad(settings)
    if lpad is not None:
        yield _session(lpad, settings, None)
        return
    embedded = EmbeddedMongo(settings.data_dir, settings.mongod_command)
    with embedded.lend() as server:
        yield _session(launchpad_at(server.uri, settings.database), settings, embedded)


def running_store(settings: Settings) -> Store | None:
    """The store of what the settings name, or of the embedded MongoDB if it runs; starts and writes nothing.

    Raises
    ------
    InputError
        If MongoDB does not answer.
    """
    lpad = open_launchpad(settings)
    if lpad is None:
        server = EmbeddedMongo(settings.data_dir, settings.mongod_command).status()
        lpad = None if server is None else launchpad_at(server.uri, settings.database)
    return None if lpad is None else Store(lpad.db, settings)


def _session(lpad: LaunchPad, settings: Settings, embedded: EmbeddedMongo | None) -> Session:
    prepare(lpad)
    store = Store(lpad.db, settings)
    store.create_indexes()
    return Session(lpad, store, settings, embedded)
