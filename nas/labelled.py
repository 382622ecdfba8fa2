"""The labelled images on which an exported file is tested."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evaluators.data import DataSpec, load
from search_spaces.errors import SpecError

from .exporter import read
from .own_data import own_data, square, trained_on

if TYPE_CHECKING:
    from evaluators.data import Images, Split

    from .subjects import Subject

SPLITS = ("train", "val", "test")
ALL = "all"  # of the three together


@dataclass(frozen=True)
class TestData:
    """The images on which files are tested.

    Args:
        name: of a data set, or its path; None is what the model's folder tells.
        data_dir: where a named data set's files are.
        image_size: side to which images are brought; by default that which the model takes, of
            images in a folder, and their own elsewhere.
        split: one of `SPLITS`, or `ALL`.
        seed: of the splits that the data set does not come with; by default that of the model's
            training, so that no test image was seen in it.

    Raises:
        SpecError: an unknown split.
    """

    __test__ = False  # pytest takes its name for that of a test

    name: str | None = None
    data_dir: str | None = None
    image_size: int | None = None
    split: str = "test"
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.split not in (*SPLITS, ALL):
            known = ", ".join((*SPLITS, ALL))
            raise SpecError(f"`split` (={self.split!r}) must be one of: {known}")

    def splits(self, images: Images) -> list[Split]:
        """Return the splits of `images` that are meant."""
        names = SPLITS if self.split == ALL else (self.split,)
        return [getattr(images, name) for name in names]


def images_for(subject: Subject, data: TestData) -> Images:
    """Return the images, of the shape and the classes that the model's folder tells.

    Raises:
        NasError: they are of others, or there are none.
    """
    folder = subject.folder
    if folder is None:
        if data.name is None:
            raise SpecError(f"{subject.path}: name the images to test it on by --data")
        return load(_changed(DataSpec(data.name, data.data_dir), data, None))
    model = read(folder)
    spec = own_data(folder, data.name, data.data_dir)
    images = load(_changed(spec, data, square(model.task.shape)))
    if images.shape != model.task.shape:
        way_out = "; --image-size brings them to another size"
        raise SpecError(
            f"{subject.path} takes images of {shape_text(model.task.shape)}, but those of "
            f"{spec.name} are of {shape_text(images.shape)}"
            + (way_out if images.shape[0] == model.task.shape[0] else "")
        )
    if images.classes != model.classes:
        raise SpecError(f"{subject.path} {_other_classes(model.classes, images)}")
    return images


def other_splits(subject: Subject, images: Images) -> str | None:
    """Return a note if the images are not split as those that the model was trained on."""
    known = {} if subject.folder is None else trained_on(subject.folder)
    sizes = {split: len(getattr(images, split)) for split in SPLITS}
    if not known.keys() >= sizes.keys() or all(known[split] == sizes[split] for split in SPLITS):
        return None
    here, there = (", ".join(f"{n[split]:,} {split}" for split in SPLITS) for n in (sizes, known))
    return (
        f"note: {images.name} has {here} images, the training had {there} of {known.get('name')}: "
        "it may have seen some of those tested"
    )


def _changed(spec: DataSpec, data: TestData, side: int | None) -> DataSpec:
    """Return `spec` as asked for; a folder's images stay on disk and are brought to `side`."""
    folder = Path(spec.name).expanduser().is_dir()
    size = data.image_size or spec.image_size or (side if folder else None)
    seed = spec.seed if data.seed is None else data.seed
    return replace(spec, image_size=size, seed=seed, stream=folder)


def _other_classes(known: tuple[str, ...], images: Images) -> str:
    if len(known) != len(images.classes):
        return f"tells {len(known)} classes apart, but {images.name} has {len(images.classes)}"
    label = next(i for i, name in enumerate(known) if name != images.classes[i])
    return (
        f"knows other classes than {images.name}: label {label} is {known[label]!r}, not "
        f"{images.classes[label]!r}"
    )


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as 3x224x224."""
    return "x".join(map(str, shape))
