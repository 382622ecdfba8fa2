"""Image files and arrays: decoding, resizing, and the memory that they will take."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps

from search_spaces.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._splits import Pixels

    Cut = Callable[[int, int], tuple[float, float, float, float]]

R = TypeVar("R")

_ENDINGS = "png jpg jpeg webp bmp gif ppm pgm pbm pnm tif tiff"
SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())
# Only these parsers see a file, whatever its suffix claims: no EPS, no PDF.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "TIFF")
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # 16 bits, in the modes Pillow has for them
GRAY = ("1", "L", "LA", *DEEP)
MEMORY_SHARE = 0.6
MANY = 2_000  # files from which a progress bar is worth showing


class Header(NamedTuple):
    """What is known of an image before it is decoded."""

    width: int
    height: int
    gray: bool


def scan(paths: Sequence[Path], root: Path) -> list[Header]:
    """Return the headers of image files.

    Raises:
        DataError: some cannot be read; the first three are named.
    """

    def header(index: int) -> Header:
        with _open(paths[index]) as image:
            return Header(*image.size, image.mode in GRAY)

    return _each(header, paths, root, "Scanning")


def decode(paths: Sequence[Path], size: int, channels: int, root: Path) -> Pixels:
    """Return image files as (N, size, size, channels): scaled, centre-cropped, on white.

    Raises:
        DataError: some cannot be read; the first three are named.
    """
    out = np.empty((len(paths), size, size, channels), np.uint8)

    def work(index: int) -> None:
        out[index] = decoded(paths[index], size, channels)

    _each(work, paths, root, "Decoding")
    return out


def decoded(path: Path | str, size: int, channels: int, cut: Cut | None = None) -> Pixels:
    """Return one image file as (size, size, channels).

    Args:
        path: of the file.
        size: side of the result.
        channels: 1 or 3.
        cut: returns the box of an image, of this width and height, that becomes the result; by
            default the largest square in the centre.
    """
    with _open(path) as image:
        flat = _flat(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB")
    if cut is None:
        fitted = _fit(flat, size)
    else:
        fitted = flat.resize((size, size), Image.Resampling.BICUBIC, box=cut(*flat.size))
    return np.asarray(fitted).reshape(size, size, channels)


def resize(images: Pixels, size: int) -> Pixels:
    """Return (N, H, W, C) images as (N, size, size, C): scaled and centre-cropped."""
    n, height, width, channels = images.shape
    if (height, width) == (size, size):
        return images
    out = np.empty((n, size, size, channels), np.uint8)

    def work(index: int) -> None:
        image = Image.fromarray(images[index, ..., 0] if channels == 1 else images[index])
        out[index] = np.asarray(_fit(image, size)).reshape(size, size, channels)

    with ThreadPoolExecutor(_workers()) as pool:
        list(pool.map(work, range(n)))
    return out


def check_memory(n: int, size: int, channels: int) -> None:
    """Refuse images that would not leave room for the work on them.

    Raises:
        DataError: they need more than 60 % of the free memory.
    """
    need, free = n * channels * size * size, available_bytes()
    if free is not None and need > MEMORY_SHARE * free:
        raise DataError(
            f"{n:,} images of {channels}x{size}x{size} need {need / 1e9:.1f} GB, more than "
            f"{MEMORY_SHARE:.0%} of the {free / 1e9:.1f} GB of free memory; "
            f"choose a smaller --image-size (now {size})"
        )


def available_bytes() -> int | None:
    """Return the memory that programs can still take, or None where it cannot be known."""
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None


def _open(path: Path | str) -> Image.Image:
    image = Image.open(path, formats=FORMATS)
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:  # Pillow only warns up to twice
        image.close()
        raise DataError(f"more than {limit:,} pixels")
    if image.mode == "F":
        image.close()
        raise DataError("floating-point pixels, whose white is unknown")
    return image


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Return `image` in `mode`, L or RGB, its transparent parts white."""
    if image.mode in DEEP:
        image = Image.fromarray((np.asarray(image).clip(0, 65_535) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _fit(image: Image.Image, size: int) -> Image.Image:
    """Scale the shorter side to `size` and crop the centre, in one antialiased step."""
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def _each(work: Callable[[int], R], paths: Sequence[Path], root: Path, verb: str) -> list[R]:
    """Call `work` with the place of every path, in threads, and report all failures at once."""
    from rich.console import Console
    from rich.progress import track

    failures: list[str] = []

    def attempt(index: int) -> R | None:
        try:
            return work(index)
        except Exception as error:  # a damaged file makes Pillow raise nearly anything
            reason = str(error).replace(str(paths[index]), "file").splitlines() or [repr(error)]
            failures.append(f"{paths[index].relative_to(root)} ({reason[0]})")
            return None

    console = Console(stderr=True)
    quiet = len(paths) < MANY or not console.is_terminal
    with ThreadPoolExecutor(_workers()) as pool:
        done = pool.map(attempt, range(len(paths)))
        results = list(track(done, verb, len(paths), console=console, disable=quiet))
    if failures:
        raise DataError(
            f"{len(failures)} of {len(paths)} images cannot be read: "
            f"{', '.join(sorted(failures)[:3])}{', ...' if len(failures) > 3 else ''}; "
            "replace or remove them"
        )
    return [result for result in results if result is not None]


def _workers() -> int:
    return min(8, os.cpu_count() or 1)
