"""Ask and tell: which architecture is tried next, and what came of it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import islice
from math import isclose, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from optuna.trial import TrialState

from search_spaces.arch import Arch, Task
from search_spaces.budget import NO_LIMIT, Budget
from search_spaces.cost import Cost
from search_spaces.errors import CandidateError, SpecError

from .record import STUDY, Record
from .samplers import SAMPLERS, Problem
from .samplers._genome import distribution, parameter
from .storage import StudyError
from .telling import TRAINED, check_objectives, check_told, plain
from .trials import Trials

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import optuna
    from optuna.trial import FrozenTrial, Trial

    from evaluators.evaluator import Evaluator, Metric
    from search_spaces.space import Gene, Space

    from .telling import Outcome

_ATTEMPTS = 500  # proposals in a row that are known before the space is taken to be exhausted
_PATIENCE = 20  # proposals in a row that are twins before random ones are tried
_OTHERS = "`storage` holds trials of {}, so name another database: {}"
_FEW = 10_000  # architectures of a space that are all looked at to find one that is left


@dataclass(frozen=True)
class Candidate:
    """An architecture under evaluation.

    Attributes:
        number: counted from 0 over the whole study.
        arch: within the budget.
        cost: of `arch`.
    """

    number: int
    arch: Arch
    cost: Cost


class Told(NamedTuple):
    """What is known of a candidate: as `Study.tell` was told last."""

    candidate: Candidate
    outcome: Outcome
    metrics: dict[str, float]
    curve: list[float]


class Study:
    """One search's memory.

    Args:
        space: where candidates come from.
        task: what they are for.
        objectives: what is optimised, the most important one first.
        sampler: registered name.
        budget: proposals over it are repaired, gene by gene, until they are within.
        storage: database URL, or a `Record`; None keeps everything in memory. Trials found there
            are taken up.
        seed: of the sampler.

    Raises:
        BudgetError: no architecture of the space is within the budget.
        StudyError: the objectives are not distinct, or the trials found are of another study.
    """

    def __init__(
        self,
        space: Space,
        task: Task,
        objectives: tuple[Metric, ...],
        *,
        sampler: str = "auto",
        budget: Budget = NO_LIMIT,
        storage: str | Record | None = None,
        seed: int = 0,
    ) -> None:
        check_objectives(objectives)
        self.space, self.task, self.objectives, self.budget = space, task, objectives, budget
        self._spec, self._seed = SAMPLERS[sampler], seed
        self._problem = Problem(space, task, objectives, budget)
        directions = ["maximize" if m.goal == "max" else "minimize" for m in objectives]
        record = Record(storage) if isinstance(storage, str) else storage
        self.name = record.name if record else STUDY
        self._trials = Trials(record, directions)
        told = self._trials.told
        self._check_found(told.values())
        self._rows = {number: _row(trial) for number, trial in told.items()}
        self._inside = self._problem.within
        self._genes = {gene.name: gene for gene in space.genes()}
        self._numbers = {t.user_attrs["digest"]: n for n, t in told.items()}
        self._next = 1 + max(self._numbers.values(), default=-1)

    def ask(self) -> Candidate | None:
        """Return a candidate that was never proposed before, or None if none seem to be left."""
        brain = self._trials.brain()
        for attempt in range(_ATTEMPTS):
            seed = self._derived_seed(attempt)
            rng = random.Random(seed)
            spec = self._spec
            if attempt >= _PATIENCE:
                if (another := self._another(rng)) is None:
                    return None
                self.enqueue(another)
                spec = SAMPLERS["random"]  # of no effect, and quick
            brain.sampler = spec.make(self._problem, seed)
            trial, arch = self._propose(brain)
            if not self._inside.allows(arch):  # its relative within the budget is asked next
                brain.tell(trial, state=TrialState.FAIL)
                self.enqueue(self._inside.repair(arch, rng))
                continue
            if arch.digest not in self._numbers:
                return self._candidate(trial, arch)
            brain.tell(trial, state=TrialState.FAIL)  # a twin
        return None

    def __iter__(self) -> Iterator[Candidate]:
        """Iterate over candidates: one is asked for when the last one is done with, told or not."""
        while (candidate := self.ask()) is not None:
            yield candidate

    def evaluate(self, *evaluators: Evaluator, trials: int) -> None:
        """Try `trials` candidates in this process; one that cannot be evaluated has failed.

        Args:
            evaluators: asked one after the other, each to its last report.
            trials: how many candidates.

        Raises:
            StudyError: the evaluators leave out an objective.
        """
        for candidate in islice(self, trials):
            metrics: dict[str, float] = {}
            try:
                for evaluator in evaluators:
                    for report in evaluator(candidate.arch, self.task):
                        metrics |= report.metrics
            except CandidateError as error:
                self.tell(candidate, "failed", metrics, reason=str(error))
            else:
                self.tell(candidate, "complete", metrics)

    @property
    def asked(self) -> int:
        """How many candidates have been proposed, those of an earlier sitting included."""
        return len(self._numbers)

    def tell(
        self,
        candidate: Candidate,
        outcome: Outcome,
        metrics: Mapping[str, float],
        *,
        reason: str = "",
        constraints: Mapping[str, float] | None = None,
        curve: Sequence[float] = (),
    ) -> None:
        """Record how `candidate` ended, or how it stands: one that is paused is told of again.

        Args:
            candidate: what `ask` returned.
            outcome: "complete", "stopped" early, "paused" so that it may go on, "infeasible" for a
                broken limit, "screened" out unmeasured, or "failed".
            metrics: figures by name; all objectives if it is complete, stopped or paused.
            reason: one line for a candidate that failed or broke a limit.
            constraints: figures by name that are feasible at or below 0; one that is above it, if
                the candidate is infeasible or screened. Whatever the outcome, samplers take a
                candidate that breaks one as infeasible.
            curve: the first objective after each step.

        Raises:
            StudyError: the candidate is of another study or has ended before, an objective is
                missing or no number, or a limit is said to be broken, but none is.
        """
        if self._numbers.get(candidate.arch.digest) != candidate.number:
            raise StudyError(f"candidate {candidate.number} must be one that this study returned")
        known = self._trials.told.get(candidate.number)
        if known and (ended := known.user_attrs["outcome"]) != "paused":
            raise StudyError(
                f"candidate {candidate.number} has ended as {ended}: only one that is paused is "
                "told of again"
            )
        metrics, constraints = plain(metrics), plain(constraints or {})
        check_told(candidate.number, outcome, metrics, constraints, self.objectives)
        attrs: dict[str, Any] = {"curve": list(curve), "outcome": outcome}
        attrs |= {"metrics": metrics} | ({"reason": reason} if reason else {})
        state = TrialState.FAIL if outcome == "failed" else TrialState.COMPLETE
        values = None
        if outcome != "failed":
            values = [self._objective(metric, metrics) for metric in self.objectives]
        told = self._trials.tell(candidate.number, state, values, attrs, constraints)
        self._rows[candidate.number] = _row(told)

    def flush(self) -> None:
        """Write down what an interrupt kept `tell` from writing."""
        self._trials.flush()

    def told(self) -> list[Told]:
        """Return what is known of the candidates that were told of, in the order of numbers."""
        told = self._trials.told
        return [_told(told[number], self.task) for number in sorted(told)]

    def archs(self) -> dict[str, Arch]:
        """Return the architectures of the finished candidates by digest."""
        attrs = [t.user_attrs for t in self._trials.told.values()]
        return {a["digest"]: Arch.from_json(json.dumps(a["arch"])) for a in attrs}

    def frame(self) -> pd.DataFrame:
        """Return a row for each finished candidate, in the order in which they were asked."""
        columns = ["number", "state", "digest", "arch"]
        columns += ["resolution"] if self.space.resolution else []
        columns += [*Cost.__dataclass_fields__, "size_bytes"]
        columns += [m.name for m in self.objectives] + ["reason"]
        frame = pd.DataFrame(list(self._rows.values()))
        return frame.reindex(columns=[*dict.fromkeys([*columns, *frame.columns])]).sort_values(
            "number", ignore_index=True
        )

    def _propose(self, brain: optuna.Study) -> tuple[Trial, Arch]:
        if self._spec.flat:
            trial = brain.ask({name: distribution(g) for name, g in self._genes.items()})
            genes = {name: _value(self._genes[name], v) for name, v in trial.params.items()}
            return trial, self.space.decode(genes)
        trial = brain.ask()
        return trial, self.space.draw(lambda name, _: _suggest(trial, self._genes[name]))

    def enqueue(self, arch: Arch) -> None:
        """Let `arch`, of this space, be proposed before the sampler's own.

        Raises:
            SpecError: it is not of this space.
        """
        genes = self.space.encode(arch)
        values = {n: parameter(self._genes[n], v) for n, v in genes.items()}
        self._trials.brain().enqueue_trial(values)

    def _another(self, rng: random.Random) -> Arch | None:
        """Return a random architecture; in a small space one that is left, or None."""
        if self._all is None:
            return self._inside.sample(rng)
        left = [arch for digest, arch in self._all.items() if digest not in self._numbers]
        return rng.choice(left) if left else None

    @cached_property
    def _all(self) -> dict[str, Arch] | None:
        """The architectures within the budget by digest, of a space that is small."""
        if self.space.size() > _FEW:
            return None
        return {a.digest: a for a in self.space.enumerate() if self._inside.allows(a)}

    def _check_found(self, trials: Iterable[FrozenTrial]) -> None:
        """Refuse trials of another space, task or objective."""
        for trial in trials:
            attrs = trial.user_attrs
            arch = Arch.from_json(json.dumps(attrs["arch"]))
            try:
                self.space.encode(arch)
            except SpecError as error:
                raise StudyError(_OTHERS.format("another space", error)) from None
            cost = arch.cost(self.task)
            if (cost.params, cost.macs) != (attrs["params"], attrs["macs"]):
                told = (
                    f"{arch.digest} has {cost.params:,} parameters and {cost.macs:,} MACs for "
                    f"{self.task}, but {attrs['params']:,} and {attrs['macs']:,} there"
                )
                raise StudyError(_OTHERS.format("another task, or counted otherwise", told))
            names = [metric.name for metric in self.objectives]
            figures = [attrs["metrics"].get(name, nan) for name in names]
            if attrs["outcome"] in TRAINED and not all(map(isclose, figures, trial.values)):
                told = (
                    f"candidate {attrs['number']} has {attrs['metrics']}, in order {trial.values}"
                )
                raise StudyError(_OTHERS.format(f"other objectives than {names}", told))

    def _objective(self, metric: Metric, metrics: Mapping[str, float]) -> float:
        """Return an objective; where it was not measured, the worst that was told so far."""
        if metric.name in metrics:
            return metrics[metric.name]
        known = [row[metric.name] for row in self._rows.values() if metric.name in row]
        return (min if metric.goal == "max" else max)(known, default=0.0)

    def _candidate(self, trial: Trial, arch: Arch) -> Candidate:
        candidate = Candidate(self._next, arch, arch.cost(self.task))
        self._numbers[arch.digest] = self._next
        self._trials.begin(self._next, trial)
        self._next += 1
        trial.set_user_attr("number", candidate.number)
        trial.set_user_attr("digest", arch.digest)
        trial.set_user_attr("arch", json.loads(arch.to_json()))
        for name in (*Cost.__dataclass_fields__, "size_bytes"):
            trial.set_user_attr(name, getattr(candidate.cost, name))
        return candidate

    def _derived_seed(self, attempt: int) -> int:
        """Return a seed that depends on nothing but the study's, the candidate and the attempt."""
        text = f"{self._seed}/{self._next}/{attempt}"
        return int.from_bytes(sha256(text.encode()).digest()[:4], "big")


def _suggest(trial: Trial, gene: Gene) -> Any:
    if gene.ordered:
        return gene.choices[trial.suggest_int(gene.name, 0, len(gene.choices) - 1)]
    return trial.suggest_categorical(gene.name, gene.choices)


def _value(gene: Gene, parameter: Any) -> Any:
    return gene.choices[parameter] if gene.ordered else parameter


def _told(trial: FrozenTrial, task: Task) -> Told:
    attrs = trial.user_attrs
    arch = Arch.from_json(json.dumps(attrs["arch"]))
    candidate = Candidate(attrs["number"], arch, arch.cost(task))
    return Told(candidate, attrs["outcome"], attrs["metrics"], attrs["curve"])


def _row(trial: FrozenTrial) -> dict[str, Any]:
    attrs = dict(trial.user_attrs)
    del attrs["curve"]
    arch = Arch.from_json(json.dumps(attrs.pop("arch")))
    metrics = attrs.pop("metrics")
    shown = {"arch": str(arch)} | ({"resolution": arch.resolution} if arch.resolution else {})
    return {"state": attrs.pop("outcome"), **attrs, **metrics, **shown}
