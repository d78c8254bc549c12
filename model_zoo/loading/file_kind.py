"""What a file holds by its first bytes: what a download was saved as, and what its name says, may be something else."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from harness.errors import BadWeights

Kind = Literal["torch", "torchscript", "exported", "safetensors"]
_POINTER = b"version https://git-lfs"
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")


def kind_of(path: Path) -> Kind:
    """What the weights or the program in `path` are; files that are none of the others count as PyTorch's.

    Raises:
        BadWeights: unreadable, empty, a web page, or the pointer that stands for a file in git LFS.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise BadWeights(f"weights {path} cannot be read: {error.strerror or error}") from None
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise BadWeights(f"weights {path} are an empty file; fetch them again")
    if text.startswith(_POINTER):
        raise BadWeights(f"weights {path} are a git LFS pointer, not the file; fetch it with: git lfs pull")
    if text.startswith(_MARKUP):
        raise BadWeights(f"weights {path} are a web page saved under that name; download the file itself")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000:
        return "safetensors"
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()} | set(archive.namelist())
        if "archive_format" in names or "serialized_exported_program.json" in names:
            return "exported"
        if "constants.pkl" in names and any(name.startswith("code/") for name in names):
            return "torchscript"
    return "torch"
