"""What a study may be told of a candidate; what samplers could make nothing of is refused."""

from __future__ import annotations

from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, get_args

from evaluators.evaluator import Metric

from .storage import StudyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Outcome = Literal["complete", "stopped", "paused", "infeasible", "screened", "failed"]
TRAINED = ("complete", "stopped", "paused")  # outcomes that come with all objectives
_RULED_OUT = ("infeasible", "screened")  # outcomes that come with a broken constraint


def plain(figures: Mapping[str, float]) -> dict[str, float]:
    """Return `figures` as a database can hold them: those of NumPy and PyTorch become numbers.

    Raises:
        StudyError: one is no number.
    """
    return {n: v if isinstance(v, (int, float)) else _number(n, v) for n, v in figures.items()}


def _number(name: str, value: Any) -> float:
    try:
        return float(value if isinstance(value, Real) else value.item())
    except (AttributeError, TypeError, ValueError, RuntimeError):
        raise StudyError(f"`{name}` (={value!r}) must be a number") from None


def check_objectives(objectives: Sequence[Metric]) -> None:
    """Refuse objectives that no study can have.

    Raises:
        StudyError: there are none, or two of one name, or one is no `Metric`.
    """
    for metric in objectives:
        if not isinstance(metric, Metric):
            raise StudyError(
                f'`objectives` must hold metrics, as Metric("accuracy", "max"), but got {metric!r}'
            )
    names = [metric.name for metric in objectives]
    if not names or len(set(names)) < len(names):
        raise StudyError(f"`objectives` (={names}) must be one or more, each of another name")


def check_told(
    number: int,
    outcome: Outcome,
    metrics: Mapping[str, float],
    constraints: Mapping[str, float],
    objectives: Sequence[Metric],
) -> None:
    """Refuse what does not go with an outcome.

    Raises:
        StudyError: the outcome is unknown, an objective is missing or no number, or none of the
            constraints is broken.
    """
    told = f"candidate {number} is {outcome}, so"
    if outcome not in get_args(Outcome):
        raise StudyError(f"`outcome` (={outcome!r}) must be one of: {', '.join(get_args(Outcome))}")
    missing = [m.name for m in objectives if m.name not in metrics]
    if missing and outcome in TRAINED:
        raise StudyError(
            f"{told} `metrics` (={dict(metrics)}) must hold every objective; missing: "
            f"{', '.join(missing)}"
        )
    unknown = [m.name for m in objectives if not isfinite(metrics.get(m.name, 0.0))]
    if unknown and outcome != "failed":
        raise StudyError(
            f"{told} `metrics` (={dict(metrics)}) must hold finite numbers, but {unknown[0]} is "
            f"{metrics[unknown[0]]}; tell that it has failed"
        )
    if outcome in _RULED_OUT and not any(value > 0 for value in constraints.values()):
        raise StudyError(
            f"{told} `constraints` (={dict(constraints)}) must say by how much it breaks which "
            'limit: {"latency_ms": 0.4}'
        )
