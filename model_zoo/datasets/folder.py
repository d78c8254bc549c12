"""``folder:DIR``: a folder of images, one subfolder a class, as torchvision's ImageFolder reads it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from harness.errors import BadData
from harness.types import DataRequest
from model_zoo.datasets.argument import choice, path_and_options, size, whole
from model_zoo.datasets.base import SPLIT_SEED
from model_zoo.datasets.class_names import in_order, with_absent
from model_zoo.datasets.image_files import ImageFiles
from model_zoo.datasets.pictures import say

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of split folders, in any case."""
OPTIONS = ("size", "channels", "bits", "order")
JUNK = ("__MACOSX",)


def folder(request: DataRequest) -> ImageFiles:
    """The images under ``DIR/<split>/<class>/`` if there is such a folder, else under ``DIR/<class>/``.

    Classes are numbered in the order of their names, numbers by value, alike in all splits: by the class folders of
    ``train``, and where there is none by those of all splits together, absent numbers included. Without split folders,
    a tenth of the files is held out as ``val``, chosen by a hash of their names, ``train`` is the rest, and ``test`` is
    everything. Hidden files and folders are left out.

    Options behind a question mark: ``size=32`` resizes, ``channels=1`` reads gray images for models of one channel,
    ``bits=12`` is the depth of what 16-bit pixels hold, ``order=text`` numbers classes as text (0, 1, 10, 11, ...).

    Raises:
        UsageError: no folder is named, or an option is wrong.
        BadData: it does not exist, holds no class folders with images, or has a class that ``train`` lacks.
    """
    path, options = path_and_options("folder", request.argument, OPTIONS, "DIR")
    as_text = choice(options, "order", ("value", "text")) == "text"
    top = Path(path)
    if not top.is_dir():
        raise BadData(f"folder {top} does not exist; write folder:DIR with one subfolder a class")
    splits = _split_folders(top)
    if splits and request.split not in splits:
        have = ", ".join(path.name for path in splits.values())
        raise BadData(f"folder {top} has no subfolder {request.split!r} (it has {have})")
    root = splits.get(request.split, top)
    files = _scan(root)
    classes = _classes(files, root, splits, as_text)
    number = {name: k for k, name in enumerate(classes)}
    samples = [(path, number[name]) for name in sorted(files) for path in files[name]]
    if not splits and request.split != "test":
        samples = [s for s in samples if _held_out(s[0], root) == (request.split == "val")]
        if not samples:
            raise BadData(f"folder {top} has too few images to hold out a validation split; add {top}/val/")
    return ImageFiles(
        f"folder-{top.resolve().name}-{request.split}",
        samples,
        classes,
        size=size(options),
        channels=3 if choice(options, "channels", ("1", "3")) != "1" else 1,
        bits=whole(options, "bits", 9, 16),
    )


def _subfolders(top: Path) -> list[Path]:
    return sorted(p for p in top.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name not in JUNK)


def _split_folders(top: Path) -> dict[str, Path]:
    """Split to folder.

    Raises:
        BadData: two folders are one split.
    """
    found: dict[str, Path] = {}
    for path in _subfolders(top):
        for split, names in SPLITS.items():
            if path.name.lower() in names:
                if split in found:
                    raise BadData(f"folder {top} has both {found[split].name} and {path.name}; which is {split!r}?")
                found[split] = path
    return {split: found[split] for split in SPLITS if split in found}


def _scan(root: Path) -> dict[str, list[str]]:
    """Class name to its image files, in the order of their names.

    Raises:
        BadData: no class has an image, a class has none, or classes seem to lie one level further down.
    """
    classes = _subfolders(root)
    if not classes:
        raise BadData(f"folder {root} is no image folder: it has no subfolder, one a class{_table_beside(root)}")
    files = {path.name: _images(path) for path in classes}
    filled = {name: found for name, found in files.items() if found}
    if not filled:
        raise BadData(f"folder {root} is no image folder: there is no image in its subfolders{_other_files(classes)}")
    for path in classes:
        found = files[path.name]
        parents = {str(Path(name).parent.relative_to(path)) for name in found}
        if len(parents) > 1 and "." not in parents:
            inner = os.path.commonpath([Path(name).parent for name in found])
            raise BadData(
                f"folder {root} is no image folder: its subfolder {path.name!r} has images in {len(parents)} further"
                f" subfolders; if those are the classes, write folder:{inner}"
            )
    return filled


def _images(top: Path) -> list[str]:
    """Image files at any depth, in the order of torchvision's ImageFolder, without hidden ones."""
    found = []
    for place, _, names in sorted(os.walk(top, followlinks=True)):
        hidden = any(part.startswith(".") or part in JUNK for part in Path(place).relative_to(top).parts)
        if not hidden:
            found += [
                os.path.join(place, name)
                for name in sorted(names)
                if name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")
            ]
    return found


def _table_beside(root: Path) -> str:
    tables = sorted(path for place in (root, root.parent) for path in place.glob("*.csv"))
    if not any(path.suffix.lower() in IMG_EXTENSIONS for path in root.iterdir()):
        return ""
    if not tables:
        return ", but images; put them into class folders, or write a table of paths and labels and use csv:FILE"
    like = [path for path in tables if root.name.lower() in path.name.lower()] or tables
    return f", but images; if {like[0]} has their labels, write csv:{like[0]}"


def _other_files(classes: list[Path]) -> str:
    endings = sorted({p.suffix for folder in classes for p in folder.iterdir() if p.is_file() and p.suffix})
    return f" (files end in {', '.join(endings[:5])}; images end in {', '.join(IMG_EXTENSIONS)})" if endings else ""


def _classes(files: dict[str, list[str]], root: Path, splits: dict[str, Path], as_text: bool) -> list[str]:
    """Class names in their order, the same in every split.

    Raises:
        BadData: `root` has a class that ``train`` lacks.
    """
    order = sorted if as_text else in_order
    if "train" in splits:
        shared = order({path.name for path in _subfolders(splits["train"])})
        if strange := [name for name in order(files) if name not in shared]:
            raise BadData(
                f"folder {root} has the class {strange[0]!r}, which {splits['train']} lacks; rename or remove it, or"
                " add it there"
            )
        return shared
    shared = order({path.name for place in splits.values() or [root] for path in _subfolders(place)})
    every = shared if as_text else with_absent(shared)
    if absent := [name for name in every if name not in shared]:
        few = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        say(
            f"folder {root} has no class {few}: its names are taken for labels,"
            f" of {len(every)} classes (names that are no numbers are numbered in their order)"
        )
    return every


def _held_out(path: str, root: Path) -> bool:
    relative = Path(path).relative_to(root).as_posix()
    return hashlib.sha256(f"{SPLIT_SEED} {relative}".encode()).digest()[0] < 256 // 10
