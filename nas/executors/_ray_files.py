"""Files of a run folder on nodes that do not see it: they come before a job, and go as it changes.

A process beside the driver, the keeper, reads and writes the folder; each worker has a copy of what
its job needs. So a job that is tried again on another node finds what the first attempt has left.
"""

from __future__ import annotations

import secrets
from itertools import groupby
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..files import file_states, write_bytes
from ._scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from .local import Files


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class _Keeper:
    """The near end: one call at a time."""

    def read(self, folder: Path, names: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of those files that are there."""
        paths = {name: folder / name for name in names}
        return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}

    def write(self, folder: Path, contents: Mapping[str, bytes], gone: Iterable[str]) -> None:
        """Write files, then remove others."""
        write_files(folder, contents)
        for name in gone:
            (folder / name).unlink(missing_ok=True)


def keeper() -> Any:
    """Start a keeper on the node of this process."""
    here = ray.get_runtime_context().get_node_id()
    where = NodeAffinitySchedulingStrategy(here, soft=False)
    return _Keeper.options(scheduling_strategy=where).remote()  # type: ignore[attr-defined]


class Copy:
    """The far end: a worker's copy of what a job needs.

    Args:
        files: of the job.
        keeper: has the originals.
    """

    def __init__(self, files: Files, keeper: Any) -> None:
        self._files, self._keeper = files, keeper
        self._scratch: Scratch | None = None
        self._sent: dict[str, tuple[int, int]] = {}

    def fetch(self) -> Path:
        """Return the folder of the copy."""
        self._scratch = Scratch()
        folder = (
            self._scratch.path / self._files.folder.name
        )  # a model's provenance has the run's name
        folder.mkdir()
        write_files(folder, self._call("read", self._files.needs))
        self._sent = file_states(folder)
        return folder

    def send(self) -> None:
        """Send what has changed since the last time."""
        if self._scratch is None:
            return
        folder = self._scratch.path / self._files.folder.name
        now = file_states(folder)
        changed = [name for name, state in now.items() if self._sent.get(name) != state]
        gone = [name for name in self._sent if name not in now]
        if changed or gone:
            self._call("write", {name: (folder / name).read_bytes() for name in changed}, gone)
            self._sent = now

    def remove(self) -> None:
        """Remove the copy."""
        if self._scratch is not None:
            self._scratch.remove()
            self._scratch = None

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._keeper, method).remote(self._files.folder, *arguments))
        except RayTaskError as error:
            raise error.cause from None


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files by their names within `folder`; a new folder within appears whole."""
    by_parent = sorted((folder / name for name in contents), key=_parent)
    for parent, paths in groupby(by_parent, key=_parent):
        if parent.exists():
            draft = parent
        else:
            draft = parent.with_name(f".{parent.name}.{secrets.token_hex(4)}")
            draft.mkdir(parents=True)
        for path in paths:
            write_bytes(draft / path.name, contents[path.relative_to(folder).as_posix()])
        if draft != parent:
            draft.rename(parent)


def _parent(path: Path) -> Path:
    return path.parent
