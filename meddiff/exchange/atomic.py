"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from meddiff.case import MedDiffError

_SPACE = "Free some space or choose another folder"
_WHY = {
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.EDQUOT: ("your quota on this disk is used up", _SPACE),
    errno.EFBIG: ("the file is larger than this system allows", _SPACE),
    errno.EACCES: ("writing there is not allowed", "Choose a folder of your own"),
    errno.EPERM: ("writing there is not allowed", "Choose a folder of your own"),
    errno.EROFS: ("the disk is read-only", "Choose another folder"),
    errno.ENOTDIR: ("a part of its path is a file and not a folder", "Choose another folder"),
    errno.EEXIST: ("a part of its path is a file and not a folder", "Choose another folder"),
}


def write_atomic(path: str | Path, write: Callable[[Path], object], mode: int = 0o644) -> Path:
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
        os.chmod(temporary, mode)
        os.replace(temporary, path)
        if hasattr(os, "O_DIRECTORY"):  # the new name too must survive a power cut; Windows has no such call
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        why, what_to_do = _WHY.get(error.errno or 0, (str(error), "Choose another folder"))
        raise MedDiffError(f"{path} was not written: {why}. {what_to_do}; nothing was lost.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path
