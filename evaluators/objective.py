"""What a network's scores of a batch cost: cross-entropy, and what a teacher says otherwise.

Source of distillation: Hinton et al. 2015, arXiv:1503.02531, section 2; that teacher and student
see the same mixed and augmented images: Beyer et al. 2022, arXiv:2106.05237.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

    from .mixing import Mixed
    from .recipe import Recipe


def objective(logits: Tensor, batch: Mixed, taught: Tensor | None, recipe: Recipe) -> Tensor:
    """Return the mean loss of `logits`, (B, classes), as a scalar.

    Args:
        logits: the scores of `batch`.
        batch: with its labels.
        taught: the teacher's scores of it, (B, classes), if there is a teacher.
        recipe: smoothing, and the weight and temperature of distillation.
    """
    loss = batch.blend(
        lambda labels: F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    )
    if taught is None:
        return loss
    return (1 - recipe.distill) * loss + recipe.distill * _divergence(logits, taught, recipe)


def _divergence(logits: Tensor, taught: Tensor, recipe: Recipe) -> Tensor:
    """Return KL(teacher || student) of softened scores; by T squared, for gradients shrink so."""
    t = recipe.temperature
    student, teacher = ((scores / t).log_softmax(1) for scores in (logits, taught))
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * t * t
