"""The far end: a trial of Ray Tune that runs one job after the other in the same process."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import ray
from ray.tune import Trainable

from evaluators.data import adopt
from evaluators.ledger import drain
from search_spaces.errors import NasError
from search_spaces.plugins import blame

from ._message import work_from_json
from ._ray_files import Copy
from ._scratch import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluators.data import DataSpec
    from evaluators.evaluator import Report
    from search_spaces.plugins import Plugin

JOB, FILES, REPORT, FAILURE, BUG, SPENT = "job", "files", "report", "failure", "bug", "spent"


class Worker(Trainable):
    """Asks a job for one report a step; Tune keeps the process for the next job."""

    _job: str
    _copy: Copy | None = None
    _reports: Iterator[Report] | None = None

    def setup(  # type: ignore[override]  # `tune.with_parameters` adds the others
        self,
        config: dict[str, Any],
        plugins: tuple[Plugin, ...],
        threads: int,
        shared: list[tuple[DataSpec, ray.ObjectRef[Any]]],
        keeper: Any,
    ) -> None:
        """Make the process ready and take the first job."""
        import torch

        for data, arrays in shared:
            adopt(data, ray.get(arrays))  # mapped, not copied

        sweep()
        self._keeper = keeper
        torch.set_num_threads(threads)
        for plugin in plugins:  # jobs are made of what they define
            plugin.load()
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another job."""
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Return the next report, or how the job ended, and where the time went."""
        return {**self._step(), SPENT: json.dumps(drain().own)}

    def _step(self) -> dict[str, Any]:
        try:
            if self._reports is None:
                folder = self._copy.fetch() if self._copy else None
                self._reports = iter(work_from_json(self._job, folder)())
            report = next(self._reports, None)
            if self._copy:
                self._copy.send()
        except (NasError, OSError, MemoryError) as error:
            return {"done": True, FAILURE: str(error) or type(error).__name__}
        except Exception as error:  # in a block of the user's own it costs its candidate only
            reason = blame(error)
            return {"done": True} | ({FAILURE: reason} if reason else {BUG: traceback.format_exc()})
        if report is None:
            return {"done": True}
        return {REPORT: json.dumps([report.step, dict(report.metrics)])}

    def cleanup(self) -> None:
        """Let go of the job."""
        self._reports = None
        if self._copy:
            self._copy.remove()
            self._copy = None

    def _take(self, config: dict[str, Any]) -> None:
        self.cleanup()
        self._job, files = config[JOB], config[FILES]
        self._copy = files and Copy(files, self._keeper)
