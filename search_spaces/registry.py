"""Names for pluggable things: a decorator fills the table, a look-up explains itself.

A registry imports the modules of its own package once, when it is first read, so adding an entry
is adding a file. Modules whose names begin with ``_`` are left out.
"""

from __future__ import annotations

import pkgutil
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Generic, TypeVar

from .errors import SpecError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from names to classes or values of one kind.

    Args:
        kind: what an entry is called in messages, in the singular ("block").
        package: dotted name of the package whose modules register entries, or of the one module.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._scanned = False

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that enters its argument under `name`.

        Raises:
            SpecError: `name` is taken by another entry.
        """

        def enter(entry: T) -> T:
            known = self._entries.setdefault(name, entry)
            if known is not entry:
                raise SpecError(
                    f"{self.kind} {name!r} is registered twice: by {_where(known)} and by "
                    f"{_where(entry)}; rename one of them"
                )
            return entry

        return enter

    def __getitem__(self, name: str) -> T:
        """Return the entry called `name`.

        Raises:
            UnknownName: there is none; the message lists the known names and the nearest one.
        """
        self._scan()
        if name in self._entries:
            return self._entries[name]
        nearest = get_close_matches(name, self._entries, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise UnknownName(f"unknown {self.kind} {name!r}; {hint}known: {', '.join(self)}")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in alphabetical order."""
        self._scan()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self._scan()
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        self._scan()
        return name in self._entries

    def items(self) -> Iterator[tuple[str, T]]:
        """Iterate over (name, entry) in alphabetical order of the names."""
        return ((name, self._entries[name]) for name in self)

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        package = import_module(self._package)
        for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
            if not module.name.startswith("_"):
                import_module(f"{self._package}.{module.name}")
        for entry in entry_points(group=f"nas.{self.kind.replace(' ', '_')}s"):
            entry.load()


def _where(entry: object) -> str:
    return f"{getattr(entry, '__module__', '?')}.{getattr(entry, '__qualname__', entry)}"
