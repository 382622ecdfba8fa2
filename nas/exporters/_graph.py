"""The network as PyTorch's own graph, which several formats begin with."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from evaluators.onnx_graph import Normalised
from evaluators.runtimes import GraphError
from search_spaces.errors import NasError
from search_spaces.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from ..exporter import Model


def plain(model: Model) -> nn.Module:
    """Return the network in evaluation mode: normalised inside, shifts as convolutions."""
    return frozen(Normalised(model.network, model.mean, model.std))


def exported(model: Model, *, dynamic: bool) -> Any:
    """Return the `torch.export.ExportedProgram`, for any batch or for one image."""
    images = torch.zeros(2 if dynamic else 1, *model.task.shape)  # a batch of 1 would be constant
    batch = torch.export.Dim("batch", min=1)
    with refusals("torch.export"):
        return torch.export.export(
            plain(model), (images,), dynamic_shapes=({0: batch},) if dynamic else None
        )


@contextmanager
def refusals(who: str) -> Iterator[None]:
    """Turn what exporters and runtimes raise, which has no base of its own, into `GraphError`.

    Their warnings are for those who wrote the operators.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except NasError:
        raise
    except Exception as error:
        raise GraphError(f"{who} refuses it: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the first line that says more than where it was raised."""
    lines = [line for line in map(str.strip, str(error).splitlines()) if line]
    telling = (line for line in lines if not line.startswith("Exception from "))
    return next(telling, lines[0] if lines else repr(error))


def one_by_one(run: Any) -> Any:
    """Return what maps a batch by `run`, which takes one image: (1, C, H, W) -> (1, classes)."""
    return lambda images: torch.cat([run(image.contiguous()) for image in images.split(1)])
