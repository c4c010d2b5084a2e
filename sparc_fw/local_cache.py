"""Files of this machine that can be made again: found by name, written whole, the least recently used ones removed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


class LocalCache:
    """A folder of files that never change once they have a name; it may be deleted at any time.

    Parameters
    ----------
    folder : Path
        Made when something is written.
    limit : float
        Size that `trim` leaves at most, bytes.
    """

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder = folder
        self.limit = limit

    def get(self, name: str) -> bytes | None:
        """The content of a file, or None where there is none; notes that it was used."""
        path = self.folder / name
        try:
            data = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            # It was never made, or another process trimmed the folder a moment ago.
            return None
        return data

    def put(self, name: str, data: bytes) -> None:
        """Write a file; of two processes that write one name at once, whose content must be the same, one wins."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix="unfinished-")
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            # A power cut must not leave the name with a part of the content.
            os.fsync(stream.fileno())
        # With a limit below a single file another process may have trimmed even this one; it will be made again.
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).replace(self.folder / name)

    def trim(self) -> None:
        """Remove the least recently used files, what killed writers left included, until the limit is kept."""
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # another process trims, too
            found.append((status.st_mtime_ns, path, status.st_size))
        size = sum(entry[2] for entry in found)
        for _, path, bytes_of_file in sorted(found):
            if size <= self.limit:
                return
            path.unlink(missing_ok=True)
            size -= bytes_of_file
