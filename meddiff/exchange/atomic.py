"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from meddiff.case import MedDiffError


def write_atomic(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Lets `write` fill a temporary file beside `path`, flushes it to disk, and renames it.

    Raises:
        MedDiffError: full disk, no permission, no such folder; nothing half-written remains.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".meddiff-", suffix="".join(path.suffixes[-2:]))
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        why = {errno.ENOSPC: "the disk is full", errno.EACCES: "writing there is not allowed", errno.EROFS: "the disk is read-only"}
        raise MedDiffError(
            f"{path} was not written: {why.get(error.errno or 0, str(error))}. Free some space or choose another folder; nothing was lost."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path
