"""Make the bundled data: a balanced subset of Fashion-MNIST without any image twice.

Run from the root of the repository:
    python -m tools.make_bundled_data --source /usr/share/datasets/fashion-mnist \
        --out evaluators/bundled/fashion_mnist_subset.npz --seed 0
"""

from __future__ import annotations

import argparse
import io
import random
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluators.datasets.fashion_mnist import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Split, the published file it is drawn from, images of each class. Test first: what it has drawn,
# train and val may not draw again.
DRAWS = (("test", "test", 200), ("train", "train", 1_000), ("val", "train", 200))
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold


def main() -> None:
    """Read the published files and write the subset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="folder of the four published files")
    parser.add_argument("--out", required=True, type=Path, help="the .npz file to write")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write(args.out, draw(args.source, args.seed))


def draw(source: str, seed: int) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of the subset, each split in the order of the published files."""
    published = read(source, False)
    rng = random.Random(seed)
    seen: set[bytes] = set()
    arrays: dict[str, NDArray[np.generic]] = {"classes": np.array(published.classes)}
    for split, file, count in DRAWS:
        images, labels = published.splits[file]
        chosen: list[int] = []
        for label in range(len(published.classes)):
            candidates = np.flatnonzero(labels == label).tolist()
            # The one shuffle that Python promises not to change.
            candidates.sort(key=lambda _: rng.random())
            fresh: list[int] = []
            for index in candidates:
                if len(fresh) < count and (image := images[index].tobytes()) not in seen:
                    seen.add(image)
                    fresh.append(index)
            chosen += fresh
        chosen.sort()
        arrays[f"x_{split}"] = images[chosen, ..., 0]
        arrays[f"y_{split}"] = labels[chosen].astype(np.uint8)
    return arrays


def write(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write `arrays` as an .npz file that depends on nothing but their values."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, arrays[name], version=(1, 0), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            member.create_system = 3  # Unix, wherever this runs
            # 5.3 MB, read in 0.3 s; deflated it would be 6.1 MB, read in 0.1 s.
            archive.writestr(member, buffer.getvalue(), zipfile.ZIP_LZMA)


if __name__ == "__main__":
    main()
