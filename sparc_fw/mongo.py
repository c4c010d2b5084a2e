"""Access to MongoDB that outlives a restart of the server, and files in GridFS that can be written twice."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import gridfs
from pymongo.database import Database
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError

from sparc_fw.errors import StoreError

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

DUPLICATE_KEY = 11000
"""MongoDB's code for an insertion under a key that is there."""

MongoDocument = dict[str, Any]
MongoDatabase = Database[MongoDocument]


class HasPatience(Protocol):
    """Something that knows how long to wait for a server that went away, s."""

    patience: float


S = TypeVar("S", bound=HasPatience)


def patient(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Repeat an idempotent method while MongoDB is away, for as long as the object's ``patience``.

    A label that took an hour must not be lost because the server restarted during the write.
    """

    @functools.wraps(method)
    def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return method(self, *args, **kwargs)
            except AutoReconnect as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("MongoDB is away (%s), trying again", error)
                time.sleep(1.0)

    return wrapper


class Files:
    """Content-addressed files in GridFS: the id of a file is the SHA-256 of its bytes.

    Parameters
    ----------
    database : Database
    patience : float
        How long to wait for a server that went away, s.
    cache : Path
        Local folder where files are kept by hash.
    """

    BUCKET = "sparc_files"

    def __init__(self, database: MongoDatabase, patience: float, cache: Path) -> None:
        self.patience = patience
        self.cache = cache
        self._fs = gridfs.GridFS(database, self.BUCKET)
        self._chunks = database[f"{self.BUCKET}.chunks"]

    @staticmethod
    def name(data: bytes) -> str:
        """The id that a file with these bytes has."""
        return hashlib.sha256(data).hexdigest()

    @patient
    def put(self, data: bytes) -> str:
        """Store bytes and return their id; storing the same bytes again changes nothing."""
        name = self.name(data)
        if self._fs.exists(name):
            return name
        # A writer that was killed leaves chunks without a file, which would collide with ours.
        self._chunks.delete_many({"files_id": name})
        try:
            self._fs.put(data, _id=name)
        except (gridfs.errors.FileExists, DuplicateKeyError):
            if not self._fs.exists(name):
                raise
        return name

    @patient
    def get(self, name: str) -> bytes:
        """The bytes of a file.

        Raises
        ------
        StoreError
            If there is no such file, or its content is not what its name says.
        """
        try:
            data: bytes = self._fs.get(name).read()
        except gridfs.errors.NoFile as error:
            raise StoreError(f"file {name[:12]}… is not in the store, though a record names it") from error
        if hashlib.sha256(data).hexdigest() != name:
            raise StoreError(f"file {name[:12]}… in the store does not have the content that its name promises")
        return data

    def path(self, name: str, suffix: str = "") -> Path:
        """A local copy of a file, fetched once per machine."""
        target = self.cache / f"{name}{suffix}"
        if not target.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.cache)
            with os.fdopen(handle, "wb") as stream:
                stream.write(self.get(name))
            # Two workers may fetch at once; each replaces the other's identical file.
            Path(temporary).replace(target)
        return target


def place(campaign_id: str, iteration: int, *item: str | int) -> str:
    """The key of whatever belongs to a place in a campaign."""
    return "/".join([campaign_id, f"{iteration:04d}", *(str(part) for part in item)])


def refuse_all_but_duplicates(error: BulkWriteError) -> None:
    """Raise an error of a bulk of upserts again, unless every single one is that somebody else's upsert came first."""
    if error.details["writeConcernErrors"] or any(e["code"] != DUPLICATE_KEY for e in error.details["writeErrors"]):
        raise error


def insert_once(collection: Any, record: MongoDocument) -> MongoDocument:
    """Insert a record unless its key is there; return the one that is in the collection afterwards."""
    try:
        collection.insert_one(record)
    except DuplicateKeyError:
        stored: MongoDocument | None = collection.find_one({"_id": record["_id"]})
        if stored is None:
            raise StoreError(f"{collection.name}: {record['_id']} vanished while it was written") from None
        return stored
    return record
