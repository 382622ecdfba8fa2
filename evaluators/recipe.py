"""How to train, as frozen data: what a recipe says, and the schedules that follow from it.

Importing this module does not import torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from search_spaces.errors import SpecError

REFERENCE_BATCH = 128
_LEAST = {"epochs": 1, "batch": 4, "crop": 0, "seed": 0, "randaugment": 0}


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum, warm-up and cosine, and an average of the weights.

    Args:
        epochs: passes over the training images.
        batch: images of a step, at most; an epoch is cut into batches that differ by one at most.
        lr: highest learning rate for a batch of 128; it grows in proportion to `batch`.
        momentum: of the gradients.
        weight_decay: of convolutions and linear layers; not of norms, biases, slopes or any shift.
        warmup: share of all steps during which the learning rate rises.
        label_smoothing: share of the target that all classes divide among them.
        ema_decay: share of the average of the weights that a step keeps; less in the first steps.
        crop: pixels by which an image is moved, at most.
        resized_crop: smallest share of an image's area of which a random crop is made the whole;
            0 makes none. For images that are streamed from a folder, and instead of `crop`.
        flip: whether half of the images are mirrored; right for clothes, wrong for digits.
        erase: side of the square that is cut out, as a share of the image's; 0 cuts nothing.
        randaugment: random operations an image; 0 makes none.
        magnitude: their strength, from 0 to 30.
        mixup: images are mixed with others, in shares of the distribution Beta(mixup, mixup).
        cutmix: boxes of other images are pasted in, of sizes by Beta(cutmix, cutmix).
        distill: share of the loss that tells how far the scores are from a teacher's.
        temperature: by which scores are divided before they are held against the teacher's.
        amp: whether convolutions compute in bfloat16; for GPUs, on most processors it is slower.
        clip: longest gradient over all parameters but normalised shifts; 0 does not clip.
        shift_penalty: factor of the sparse shifts' displacements in the loss.
        shift_norm: which of them: "l1", their absolute values, or "l2", half their squares.
        seed: decides weights, order and augmentation.

    Raises:
        SpecError: a value is out of its range.
    """

    epochs: int = 8
    batch: int = 64
    lr: float = 0.3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.1
    label_smoothing: float = 0.1
    ema_decay: float = 0.995
    crop: int = 1
    resized_crop: float = 0.0
    flip: bool = True
    erase: float = 0.0
    randaugment: int = 0
    magnitude: int = 9
    mixup: float = 0.0
    cutmix: float = 0.0
    distill: float = 0.0
    temperature: float = 2.0
    amp: bool = False
    clip: float = 0.0
    shift_penalty: float = 5e-4
    shift_norm: str = "l1"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise SpecError(f"`{name}` (={getattr(self, name)}) must be at least {least}")
        if not 0 <= self.magnitude <= 30:
            raise SpecError(f"`magnitude` (={self.magnitude}) must be from 0 to 30")
        if self.seed >= 1 << 32:
            raise SpecError(f"`seed` (={self.seed}) must be below 2**32")
        for name in ("lr", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise SpecError(f"`{name}` (={getattr(self, name)}) must be finite, above 0")
        for name in ("weight_decay", "shift_penalty", "mixup", "cutmix", "clip"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SpecError(f"`{name}` (={getattr(self, name)}) must be finite, 0 or more")
        if self.shift_norm not in ("l1", "l2"):
            raise SpecError(f"`shift_norm` (={self.shift_norm!r}) must be 'l1' or 'l2'")
        if not 0 <= self.distill <= 1:
            raise SpecError(f"`distill` (={self.distill}) must lie in [0, 1]")
        for name in ("momentum", "warmup", "label_smoothing", "ema_decay", "erase", "resized_crop"):
            if not 0 <= getattr(self, name) < 1:
                raise SpecError(f"`{name}` (={getattr(self, name)}) must lie in [0, 1)")

    def check_teacher(self, there: bool) -> None:
        """Refuse a teacher without a share in the loss, and a share without a teacher.

        Raises:
            SpecError: see above.
        """
        if there != (self.distill > 0):
            way_out = "it weighs what the teacher says" if there else "name a teacher"
            raise SpecError(f"`distill` (={self.distill}) and a teacher go together: {way_out}")

    @property
    def peak_lr(self) -> float:
        """The learning rate at the end of the warm-up."""
        return self.lr * self.batch / REFERENCE_BATCH

    def lr_at(self, step: int, steps: int) -> float:
        """Return the learning rate of `step` out of `steps`, counted from 0.

        It rises in a line, reaches `peak_lr` in the last step of the warm-up, falls as a cosine and
        would be 0 in step `steps`.
        """
        warm = round(self.warmup * steps)
        if step < warm:
            return self.peak_lr * (step + 1) / warm
        return self.peak_lr * (1 + math.cos(math.pi * (step + 1 - warm) / (steps + 1 - warm))) / 2

    def ema_decay_at(self, step: int) -> float:
        """Return the share of the average that `step`, counted from 0, keeps."""
        return min(self.ema_decay, (1 + step) / (10 + step))


def steps_per_epoch(n_train: int, batch: int) -> int:
    """Return how many batches of at most `batch` images, all but equal, hold `n_train` images."""
    return -(-n_train // batch)


def epochs_within(seconds: float, images_per_s: float, n_train: int) -> int:
    """Return how many epochs fit into `seconds`, at least one."""
    return max(1, int(seconds * images_per_s / n_train))
