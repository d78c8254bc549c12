"""The frozen test split of `signs`: write it, and read it back checked.

`python -m model_zoo.datasets.signs.freeze [FILE]` renders the split, writes it and prints the file's sha256. The
file in the package is the data set; rendering again is only how it was made. With other versions of Pillow or
numpy than `FROZEN_WITH`, or on another processor, a few pixels may come out a little brighter or darker.
"""

import hashlib
import io
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.errors import BadData
from model_zoo.datasets.classes import TRAFFIC_SIGNS
from model_zoo.datasets.signs.render import render_set

TEST_FILE = Path(__file__).with_name("test.npz")
TEST_SHA256 = "bd513ea97804e6b07f4ffc90c7c673ec1cb2e97a590dd918266b0ae641b59813"
TEST_SEED = 20261123
PER_CLASS = 30
FROZEN_WITH = {"pillow": "13.0.0", "numpy": "2.4.6"}

_Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


def split_labels() -> npt.NDArray[np.uint8]:
    """Labels of the split, 0, 1, ... 42 again and again: every prefix is balanced to within one image."""
    return (np.arange(PER_CLASS * len(TRAFFIC_SIGNS)) % len(TRAFFIC_SIGNS)).astype(np.uint8)


def freeze(path: Path) -> str:
    """Render the test split, write it to `path`, and return the file's sha256 in hex.

    The arrays are stored uncompressed: the bytes then depend on no compressor's version.
    """
    labels = split_labels()
    buffer = io.BytesIO()
    np.savez(buffer, images=render_set(labels, TEST_SEED, "test"), labels=labels)
    path.write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def load_test(path: Path = TEST_FILE) -> _Arrays:
    """Read the frozen test split: images uint8 [1290, 32, 32, 3] in RGB, labels uint8 [1290].

    Raises:
        BadData: The file cannot be read, or is not the frozen one (another sha256).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror
        raise BadData(f"cannot read the test split of signs, {path}: {reason}; reinstall the package") from error
    found = hashlib.sha256(content).hexdigest()
    if found != TEST_SHA256:
        raise BadData(
            f"the test split of signs, {path}, is damaged: sha256 {found[:12]}..., "
            f"expected {TEST_SHA256[:12]}...; restore the file or reinstall the package"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return arrays["images"], arrays["labels"]


def main(arguments: list[str]) -> int:
    """Write the split to the given file, or into the package; print its sha256."""
    path = Path(arguments[0]) if arguments else TEST_FILE
    sys.stdout.write(f"{freeze(path)}  {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
