"""npy and npz files from anywhere: headers are judged before anything is unpacked, and nothing is unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadData

MAX_BYTES = 1 << 30
"""Bytes of one array; the whole of GTSRB has a sixth of that."""
_PACKING = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_array(path: Path) -> NDArray[Any]:
    """The array of the npy file `path`, mapped from the disk, so that a header cannot claim more than the file has.

    Raises:
        FileNotFoundError: there is no file.
        BadData: not an npy file, damaged, or with objects.
    """
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise _unreadable(path, error, "npy") from None
    if not isinstance(found, np.ndarray):  # numpy opens a zip file under any name
        raise _unreadable(path, TypeError("it is an npz file"), "npy")
    return found


def array_names(path: Path) -> list[str]:
    """Names of the arrays in the npz file `path`; raises as `read_arrays`."""
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except FileNotFoundError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from None


def read_arrays(path: Path, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays `keys` of the npz file `path`.

    Raises:
        FileNotFoundError: there is no file.
        BadData: not an npz file, damaged, without one of the arrays, or with objects or more than `MAX_BYTES` in one.
    """
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            missing = [key for key in keys if key not in names]
            if missing:
                raise BadData(f"{path} has no array {missing[0]!r} (it has {', '.join(names[:20])})")
            return {key: _array(archive, f"{key}.npy", path) for key in keys}
    except (BadData, FileNotFoundError):
        raise
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds where bytes are wrong
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception, kind: str = "npz") -> BadData:
    text = " ".join(str(error).split())[:200]  # numpy shows the whole of a header, with its line breaks
    return BadData(f"{path} cannot be read as an {kind} file ({type(error).__name__}: {text}); fetch it again")


def _array(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    entry = archive.getinfo(name)
    if entry.compress_type not in _PACKING:
        raise BadData(f"{path}: {name} is packed in a way that npz files are not")
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise BadData(f"{path}: {name} is of an unknown version {version}")
        shape, fortran, dtype = _HEADERS[version](stream)
        if dtype.hasobject:
            raise BadData(f"{path}: {name} holds pickled objects, which are never loaded")
        size = math.prod(shape) * dtype.itemsize
        if size > MAX_BYTES:
            raise BadData(
                f"{path}: {name} claims {size:,} bytes {shape}, more than the {MAX_BYTES:,} an array may have"
            )
        if stream.tell() + size != entry.file_size:
            raise BadData(
                f"{path}: {name} claims {size:,} bytes {shape}, but holds {entry.file_size - stream.tell():,}"
            )
        content = bytearray(stream.read())  # to its end, where the checksum is compared
    if len(content) != size:
        raise BadData(f"{path}: {name} is cut short")
    found: NDArray[Any] = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return found
