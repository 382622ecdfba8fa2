"""What a search is asked for; the same names as the command line's flags and `run.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from search_spaces.errors import NasError

from .storage import located, masked


class ConfigError(NasError, ValueError):
    """An option that breaks a rule."""


_COUNTS = (
    "trials", "epochs", "finalists", "final_epochs", "workers", "concurrency", "image_size",
)  # fmt: skip
_WHOLE = (*_COUNTS, "repeats", "seed", "eta")
_POSITIVE = ("budget_params", "budget_macs", "budget_latency", "budget_size", "timeout")
_NUMBERS = (*_POSITIVE, "latency_tolerance", "cpus_per_trial", "gpus_per_trial")

_FOR_RAY = ("cpus_per_trial", "gpus_per_trial", "concurrency", "latency_resource")


@dataclass(frozen=True)
class SearchConfig:
    """The options of one search.

    Attributes:
        data: name of a data set, folder of class folders, or `.npz` file.
        data_dir: where a named data set's published files lie.
        download: fetch them there if they are missing.
        image_size: side in pixels to which the images of a folder are brought.
        space: name of a preset or a space file; None chooses by the images' size.
        plugin: Python file that registers blocks of your own, or more.
        target: device and runtime that latency is measured on, as "cpu:threads=2"; or several, as
            `nas.targets` reads them: each has its column and is an objective.
        latency_tolerance: share of a latency that its interval may be wide before it is flagged.
        predict_latency: whether candidates' latencies are predicted if `nas latency warm` has
            measured what that needs; the front is measured in any case.
        sampler: who proposes candidates.
        warm_start: "baselines" tries one architecture of each family first.
        screen: training-free score whose worst share is never trained, as "snip:0.5"; without a
            share, a third.
        scheduler: who trains on: "asha" and "hyperband" compare candidates at rungs and promote
            the best, "none" trains all to the end.
        eta: one in how many goes on from a rung to the next, which costs that many times as much.
        fidelity: what grows from rung to rung: "epochs", the share of the training "data", or the
            images' "resolution"; "auto" is epochs, or data if that has more rungs.
        budget_params: most parameters.
        budget_macs: most multiply-adds at batch 1.
        budget_latency: longest latency in milliseconds, of the first target, or by target's name.
        budget_size: most bytes of weights.
        trials: most candidates; None goes on until the time is up.
        timeout: seconds for the whole run, final training included; None has no limit.
        epochs: most epochs of a candidate in the search; None is as many as show it 40,000
            images, at least 3 and at most 60.
        finalists: most architectures that are trained to the end and exported.
        final_epochs: most epochs of a finalist, fewer when the time is short; None is four times
            as many as `epochs`.
        repeats: most further trainings of a finalist, with other seeds, while it is not settled
            which are on the front; None is two if there is a `timeout`, which they keep to, and
            else none.
        storage: URL of the database of the study; None is a SQLite file in the run folder.
        workers: processes that train at the same time, one thread each; None is one a core.
        ray: whether to train on Ray instead: one of this machine, if there is no `ray_address`.
        ray_address: cluster to train on, "auto" or HOST:PORT.
        cpus_per_trial: cores of a training on Ray.
        gpus_per_trial: GPUs of a training on Ray; several share one for a fraction.
        latency_resource: resource of the Ray nodes on which latency is measured, of the first
            target, or by target's name; None measures on the head node.
        concurrency: trainings at the same time on Ray; None is as many as there is room for.
        seed: what all randomness derives from.
        deterministic: whether the table of trials depends on nothing but the options and the
            latencies that this device has measured before: neither on `workers` nor on the clock.
    """

    data: str = "bundled"
    data_dir: str | None = None
    download: bool = False
    image_size: int | None = None
    space: str | None = None
    plugin: str | None = None
    target: str | tuple[str, ...] = "cpu"
    latency_tolerance: float = 0.03
    predict_latency: bool = True
    sampler: str = "auto"
    warm_start: Literal["baselines"] | None = None
    screen: str | None = None
    scheduler: str = "asha"
    eta: int = 3
    fidelity: str = "auto"
    budget_params: int | None = None
    budget_macs: int | None = None
    budget_latency: float | Mapping[str, float] | None = None
    budget_size: int | None = None
    trials: int | None = None
    timeout: float | None = 600.0
    epochs: int | None = None
    finalists: int = 4
    final_epochs: int | None = None
    repeats: int | None = None
    storage: str | None = field(default=None, repr=False)  # it may hold a password
    workers: int | None = None
    ray: bool = False
    ray_address: str | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    concurrency: int | None = None
    latency_resource: str | Mapping[str, str] | None = None
    seed: int = 0
    deterministic: bool = False

    def __post_init__(self) -> None:
        self._check_numbers()
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"`{name}` (={value}) must be at least 1")
        if self.repeats is not None and self.repeats < 0:
            raise ConfigError(f"`repeats` (={self.repeats}) must be at least 0")
        if not 0 <= self.seed < 1 << 32:
            raise ConfigError(f"`seed` (={self.seed}) must be from 0 to 2**32 - 1")
        for name in _POSITIVE:
            for each in self._each(name):
                if not each > 0:
                    raise ConfigError(f"`{name}` (={each}) must be positive")
        if not isinstance(self.target, str):  # as JSON has it; one is no list
            only = len(self.target) == 1
            object.__setattr__(self, "target", self.target[0] if only else tuple(self.target))
            if not self.target:
                raise ConfigError("`target` must name one target at least: cpu")
        if self.eta < 2:
            raise ConfigError(f"`eta` (={self.eta}) must be at least 2")
        if not 0 < self.latency_tolerance < 1:
            raise ConfigError(
                f"`latency_tolerance` (={self.latency_tolerance}) must be between 0 and 1: 0.03"
            )
        if self.cpus_per_trial <= 0 or self.gpus_per_trial < 0:
            raise ConfigError(
                f"`cpus_per_trial` (={self.cpus_per_trial:g}) must be positive and "
                f"`gpus_per_trial` (={self.gpus_per_trial:g}) not negative"
            )
        if (self.ray_address or "").startswith("ray://"):
            raise ConfigError(
                f"`ray_address` (={self.ray_address!r}) must be 'auto' or HOST:PORT: a search runs "
                "on a node of its cluster; submit it with `ray job submit`"
            )
        if self.on_ray and self.workers is not None:
            raise ConfigError("`workers` is for this machine alone; with Ray it is `concurrency`")
        if self.deterministic and self.trials is None:
            raise ConfigError(
                "`deterministic` needs `trials`: what fits into a time depends on the machine"
            )
        if self.deterministic and self.timeout is not None:
            raise ConfigError(
                f"`deterministic` rules out `timeout` (={self.timeout:g}): what fits into a time "
                "depends on the machine; give `trials` alone"
            )
        if self.deterministic and self.on_ray:
            raise ConfigError("`deterministic` is for workers of this machine: leave out Ray")
        if self.warm_start not in (None, "baselines"):
            raise ConfigError(f"`warm_start` (={self.warm_start!r}) must be 'baselines'")
        if self.trials is None and self.timeout is None:
            raise ConfigError("`trials` or `timeout` must be given, or the search has no end")

    def _check_numbers(self) -> None:
        """Refuse text where a number is wanted, which only the command line reads."""
        for names, kind, wanted in ((_WHOLE, Integral, "whole number"), (_NUMBERS, Real, "number")):
            for name in names:
                for value in self._each(name):
                    if not isinstance(value, kind) or isinstance(value, bool):
                        raise ConfigError(f"`{name}` (={value!r}) must be a {wanted}")
                if kind is Integral and getattr(self, name) is not None:
                    object.__setattr__(self, name, int(getattr(self, name)))  # NumPy's, for JSON

    def _each(self, name: str) -> Iterable[Any]:
        """Return the values given for an option: none, one, or one for each target."""
        value = getattr(self, name)
        each = value.values() if isinstance(value, Mapping) else [value]
        optional = name == "timeout" or getattr(SearchConfig, name) is None
        return [one for one in each if one is not None or not optional]

    def refuse_ignored(self) -> None:
        """Refuse what a new search would ignore; one that has moved away from Ray may hold it.

        Raises:
            ConfigError: an option says nothing beside the others.
        """
        if self.ray and self.ray_address is not None:
            raise ConfigError(
                f"`ray` is a Ray of this machine and `ray_address` (={self.ray_address!r}) another "
                "one: leave out one of them"
            )
        for name in _FOR_RAY:
            if not self.on_ray and getattr(self, name) != getattr(SearchConfig, name):
                raise ConfigError(
                    f"`{name}` (={getattr(self, name)!r}) is for searches on Ray: give `ray` or "
                    "`ray_address`, too, or leave it out"
                )

    @property
    def on_ray(self) -> bool:
        """Whether training happens on Ray."""
        return self.ray or self.ray_address is not None

    @property
    def all_targets(self) -> tuple[str, ...]:
        """The targets, of which there is mostly one."""
        return (self.target,) if isinstance(self.target, str) else self.target

    def located(self) -> SearchConfig:
        """Return the options with files and folders as absolute paths, for another directory."""
        folder = self.data_dir and str(Path(self.data_dir).absolute())
        data = str(Path(self.data).absolute()) if Path(self.data).exists() else self.data
        space = self.space
        if space is not None and Path(space).exists():
            space = str(Path(space).absolute())
        plugin = self.plugin and str(Path(self.plugin).absolute())
        storage = self.storage and located(self.storage)
        return replace(
            self, data=data, data_dir=folder, space=space, plugin=plugin, storage=storage
        )

    def to_plain(self) -> dict[str, Any]:
        """Return the options as JSON can hold them and anybody may read them."""
        return asdict(self) | {"storage": self.storage and masked(self.storage)}

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> SearchConfig:
        """Read what `to_plain` wrote.

        Raises:
            ConfigError: an unknown option or one that breaks a rule.
        """
        unknown = data.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown option {sorted(unknown)[0]!r}; was it a newer version's?")
        return cls(**data)
