"""`nas train`: one architecture trained to the end, tested once, left as a model's folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evaluators.accuracy import unshifted_share
from evaluators.data import load
from evaluators.onnx_graph import Normalised
from evaluators.predict import evaluate
from evaluators.quiet import working
from evaluators.ranks import ALONE
from evaluators.training import train
from search_spaces.arch import Task
from search_spaces.errors import SpecError
from search_spaces.network import build

from . import provenance
from .checksums import sha256
from .exporter import FORMATS, export, read
from .exporters.safetensors import Safetensors
from .files import read_json
from .folder import METRICS_FILE
from .history import History
from .pareto import wilson
from .progress import SILENT, Progress
from .tensorboard_logs import tensorboard_logs
from .training_folder import close, training_folder
from .units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch
    from torch import nn

    from evaluators.data import DataSpec, Images
    from evaluators.loop import EpochResult, Teacher
    from evaluators.ranks import Ranks
    from evaluators.recipe import Recipe
    from search_spaces.arch import Arch

    from .provenance import Facts

_SAMPLED = 2_000  # images of a split that a new file is compared and tested with


@dataclass(frozen=True)
class Trainee:
    """What is trained, on what, and how.

    Args:
        arch: the architecture; its weights are drawn from the recipe's seed.
        data: the images, with their splits; at the architecture's resolution, if it has one.
        recipe: the training.
        teacher: the folder of a model of ours that is followed, if the recipe's `distill` says so.

    Raises:
        SpecError: a teacher without a share in the loss, or a share without a teacher.
    """

    arch: Arch
    data: DataSpec
    recipe: Recipe
    teacher: Path | None = None

    def __post_init__(self) -> None:
        self.recipe.check_teacher(self.teacher is not None)


def full_training(
    trainee: Trainee,
    out: Path,
    progress: Progress = SILENT,
    *,
    formats: Sequence[str] = FORMATS,
    logs: Path | None = None,
    resume: bool = False,
    facts: Facts | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train, test and export; return the model's metrics.

    Args:
        trainee: what is trained.
        out: the model's folder, new or empty.
        progress: is told of each epoch.
        formats: of the model's files, beside the weights.
        logs: folder of logs for TensorBoard.
        resume: go on with what is in `out`, if there is anything, with the same result as if
            nothing had happened.
        facts: further entries of provenance.json.
        ranks: the processes that train together; the first writes, all return the metrics.

    Raises:
        NasError: unusable data, a teacher of other classes, a folder of something else, or a
            training that diverges.
    """
    arch, recipe = trainee.arch, trainee.recipe
    data = trainee.data.sized(arch.resolution)
    progress.phase("loading")
    with working():  # decoding images is work, too
        images = load(data)
    about = {"digest": arch.digest, **provenance.of_training(data, images, recipe)}
    teacher = None
    if trainee.teacher is not None:
        teacher, about["teacher"] = _teacher(trainee.teacher, images, ranks.device)
    task = Task(len(images.classes), images.shape)
    network = build(arch, task, seed=recipe.seed).to(ranks.device)
    with training_folder(out, about, resume, ranks) as checkpoint:
        if checkpoint is None:
            return dict(read_json(out / METRICS_FILE))
        history = History.of(checkpoint)
        progress.phase("training")
        with tensorboard_logs(logs if ranks.first else None, len(history.results)) as log:
            for result in train(
                network, images, recipe, checkpoint=checkpoint, teacher=teacher, ranks=ranks
            ):
                history = history.plus(result)
                if ranks.first:
                    history.write(out)
                log(result)
                progress.stage(arch.digest, _stage(result, recipe), {"accuracy": result.accuracy})
        metrics = _metrics(network, images, history, ranks)
        if not ranks.first:
            return metrics
        known = provenance.of_now(recipe.seed) | about | (facts or {})
        contents = {
            METRICS_FILE: json.dumps(metrics, indent=2).encode(),
            provenance.FILE: provenance.to_json(known),
        }
        beside = {**contents, **history.files()}
        export(arch, network.cpu(), task, _sampled(images), out, formats, beside, timed=True)
    close(out)
    progress.ended(arch.digest, "complete", metrics, "")
    return dict(read_json(out / METRICS_FILE))


def _teacher(directory: Path, images: Images, device: torch.device) -> tuple[Teacher, Facts]:
    """Return the model in `directory` as a teacher, and what is to be known of it.

    Raises:
        NasError: it is no model, or one of other classes or images.
    """
    model = read(directory)
    if model.classes != images.classes or model.task.shape != images.shape:
        raise SpecError(
            f"{directory}: a teacher must know the classes and the image shape of the data, "
            f"{len(images.classes)} classes of {images.shape}; it knows {len(model.classes)} "
            f"of {model.task.shape}" + _first_difference(model.classes, images.classes)
        )
    network = Normalised(model.network, model.mean, model.std).eval().requires_grad_(False)
    weights = sha256(directory / Safetensors.file)
    return network.to(device), {"digest": model.arch.digest, "weights_sha256": weights}


def _sampled(images: Images) -> Images:
    """Return what formats are compared and calibrated with, in memory."""
    parts = {name: getattr(images, name).taken(_SAMPLED) for name in ("train", "val", "test")}
    return replace(images, **parts)


def _first_difference(there: Sequence[str], here: Sequence[str]) -> str:
    pairs = (f"; class {a!r} is {b!r} here" for a, b in zip(there, here, strict=False) if a != b)
    return next(pairs, "")


def _stage(result: EpochResult, recipe: Recipe) -> str:
    left = (recipe.epochs - result.epoch) * result.seconds
    return (
        f"epoch {result.epoch}/{recipe.epochs}  loss {result.loss:.3f}  {format_seconds(left)} left"
    )


def _metrics(network: nn.Module, images: Images, history: History, ranks: Ranks) -> dict[str, Any]:
    """Return what metrics.json says; the one place where the test images are looked at."""
    test_accuracy, count = evaluate(network, images.test, images, ranks), len(images.test)
    low, high = wilson(test_accuracy, count)
    return {
        "accuracy": history.results[-1].accuracy,
        "test_accuracy": test_accuracy,
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_images": count,
        "epochs": history.results[-1].epoch,
        "seeds": 1,
        **unshifted_share(network),
    }
