"""Modules as source: the calls that make them, and the classes and functions these need."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from torch import nn

from ..exporter import ExportError
from ._layout import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_IMPORTED = {"torch", "nn", "F", "Tensor"}  # at the top of the file
_PLAIN = (bool, int, float, str, tuple, list, type(None))


class Sources:
    """Collects definitions, each once, in the order in which they are needed.

    Args:
        replacements: by name, what is written instead of a class or function of ours.
    """

    def __init__(self, replacements: Mapping[str, Any]) -> None:
        self._replacements = replacements
        self._found: dict[str, str] = {}

    def definitions(self) -> str:
        """Return all that was collected, two empty lines after each."""
        return "".join(f"{text.rstrip()}\n\n\n" for text in self._found.values())

    def call(self, module: nn.Module) -> Call:
        """Return what makes `module`, and collect its class.

        Raises:
            ExportError: something of it cannot be written as source.
        """
        kind = _kind(module)
        if isinstance(module, (nn.Sequential, nn.ModuleList)):
            lists = isinstance(module, nn.ModuleList)
            call = Call(f"nn.{kind.__name__}(" + "[" * lists, "]" * lists + ")")
            for member in module:
                call.add("", self.call(member))
            return call
        if kind.__module__.startswith("torch."):
            return _constructed(f"nn.{kind.__name__}", kind, module)
        if kind.__name__ in self._replacements:
            kind = self._replacements[kind.__name__]
            self._define(kind.__name__, kind)
            return _constructed(kind.__name__, kind, module)
        call = Call(f"{kind.__name__}(")
        for name, value in _fields(module, kind):
            child = self.call(value) if isinstance(value, nn.Module) else value
            call.add(f"{name}=", child)
        if kind.__name__ not in self._found:
            text = _class(kind, [before[:-1] for before, _ in call.arguments])
            self._collect(text, kind)
            self._found[kind.__name__] = text
        return call

    def _define(self, name: str, thing: Any) -> None:
        """Collect a class or function, after those that it needs."""
        if name not in self._found:
            text = self.text(thing)
            self._found[name] = ""  # it may call itself
            self._collect(text, thing)
            self._found[name] = self._found.pop(name) or text

    def text(self, thing: Any) -> str:
        """Return the source of a class or function."""
        return textwrap.dedent(inspect.getsource(thing))

    def _collect(self, text: str, thing: Any) -> None:
        """Collect what the source `text` of `thing` takes from its module."""
        known = vars(inspect.getmodule(thing))
        tree = ast.parse(text)
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in known}
        for name in sorted(used - _IMPORTED - {thing.__name__}):
            value = self._replacements.get(name, known[name])
            if inspect.isfunction(value) or inspect.isclass(value):
                if not value.__module__.startswith("pathlib"):
                    self._define(name, value)
            elif isinstance(value, _PLAIN):
                self._found[name] = f"{name} = {value!r}"
            elif name != "json":
                raise ExportError(f"{thing.__name__} needs {name}, which is not plain source")


def _kind(module: nn.Module) -> type[nn.Module]:
    """Return the module's class; for a faster version of a torch layer, that layer's."""
    first = next(k for k in type(module).__mro__ if k.__module__.startswith("torch."))
    return type(module) if first is nn.Module else first


def _constructed(name: str, kind: type, module: nn.Module) -> Call:
    """Return the call of a class whose arguments are attributes of the same name."""
    call = Call(f"{name}(")
    for parameter in inspect.signature(kind).parameters.values():
        if parameter.name in ("device", "dtype") or not hasattr(module, parameter.name):
            continue
        value = getattr(module, parameter.name)
        if parameter.name == "bias":
            value = value is not None
        if isinstance(value, tuple) and len(set(value)) == 1:
            value = value[0]
        required = parameter.default is inspect.Parameter.empty
        if required or value != parameter.default:
            call.add("" if required else f"{parameter.name}=", repr(value))
    return call


def _fields(module: nn.Module, kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what `forward` reads: child modules as they are, other attributes as source."""
    text = "".join(inspect.getsource(method) for method in _methods(kind).values())
    used = {
        n.attr for n in ast.walk(ast.parse("class _:\n" + text)) if isinstance(n, ast.Attribute)
    }
    for name, child in module._modules.items():
        yield name, "None" if child is None else child
    for name, parameter in module._parameters.items():
        shape = None if parameter is None else tuple(parameter.shape)
        yield name, "None" if shape is None else f"nn.Parameter(torch.zeros{shape})"
    for name, value in vars(module).items():
        if name in used and not name.startswith("_") and isinstance(value, _PLAIN):
            yield name, repr(value)
    if module._buffers:
        raise ExportError(f"{kind.__name__} has buffers: {', '.join(module._buffers)}")


def _methods(kind: type) -> dict[str, Callable[..., Any]]:
    """Return the methods of a class and its bases of ours, without constructors."""
    bases = [
        base for base in reversed(kind.__mro__[:-1]) if not base.__module__.startswith("torch.")
    ]
    return {
        name: value
        for base in bases
        for name, value in vars(base).items()
        if inspect.isfunction(value) and not name.startswith("__")
    }


def _class(kind: type, fields: list[str]) -> str:
    """Return the source of a class that takes its fields as arguments."""
    about = (inspect.getdoc(kind) or "A block.").split("\n")[0]
    lines = [f"class {kind.__name__}(nn.Module):", f'    """{about}"""', ""]
    lines.append(f"    def __init__(self, {', '.join(fields)}) -> None:")
    lines.append("        super().__init__()")
    lines += [f"        self.{name} = {name}" for name in fields]
    methods = [textwrap.dedent(inspect.getsource(m)) for m in _methods(kind).values()]
    return "\n".join(lines) + "\n\n" + textwrap.indent("\n".join(methods), "    ")
