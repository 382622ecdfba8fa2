"""The model card: what a stranger needs to use a model, and to know what it is worth.

It tells what is known and leaves out the rest. The same facts make the same text.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from search_spaces.text import blocks_to_text, call_to_text

from . import rounding
from .columns import LATENCY, prefixes, target_name
from .units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from search_spaces.arch import Arch, Part, Task

FILE, PICTURE = "README.md", "architecture.svg"
CURVES = "history.svg"  # of `nas train`
_LISTED = 20  # classes, up to which the card names them
_PACKAGES = {"nas": "nas-compact", "PIL": "pillow"}  # named otherwise than what is imported
_COMMENT = "# license: for you to choose; this file came without one\n"
_IMPORTS = "import json\nfrom pathlib import Path\n\n"
_CLASS = """\

classes = json.loads(Path("task.json").read_text("utf-8"))["classes"]
print(classes[int(scores[0].argmax())])
"""
_PICTURE = '''\
import numpy as np
from PIL import Image, ImageOps


def read_image(path):
    """Return a picture as float32 (1, {channels}, {height}, {width}) from 0 to 1."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("{mode}")
    picture = ImageOps.fit(picture, ({width}, {height}), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, dtype=np.float32).reshape({height}, {width}, {channels})
    return pixels.transpose(2, 0, 1)[None] / 255
'''


@dataclass(frozen=True)
class Facts:
    """What a card is written from.

    Args:
        arch: the architecture.
        task: its classes and image shape.
        classes: their names, by label.
        files: bytes of each file beside the card, by name.
        formats: names of those that can be loaded, by format, and the Python that does.
        metrics: accuracy and latency, as in metrics.json.
        provenance: as `nas.provenance` says.
    """

    arch: Arch
    task: Task
    classes: tuple[str, ...]
    files: Mapping[str, int]
    formats: Mapping[str, tuple[str, str]]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]


def card(facts: Facts) -> str:
    """Return the card in Markdown, with a head in YAML as model hubs read it."""
    sections = {
        "": _summary(facts),
        "Architecture": _architecture(facts),
        "Accuracy": _accuracy(facts),
        "Latency": _latency(facts),
        "How to use it": _use(facts),
        "Training": _training(facts),
        "Provenance": _provenance(facts),
        "Limits": _limits(facts),
        "Licence": ["None was chosen. Whoever publishes this model states one here and above."],
    }
    told = ((f"## {title}" if title else "", list(lines)) for title, lines in sections.items())
    body = "\n\n".join("\n\n".join(filter(None, (head, *lines))) for head, lines in told if lines)
    return f"---\n{_COMMENT}{_head(facts)}---\n\n{body}\n"


def _head(facts: Facts) -> str:
    name, found = f"nas-{facts.arch.digest}", facts.metrics.get("test_accuracy")
    head: dict[str, Any] = {
        "library_name": "nas-compact",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "neural-architecture-search", *facts.formats],
    }
    data = facts.provenance.get("data", {}).get("name")
    if data is not None and found is not None:
        accuracy = {"type": "accuracy", "value": round(found, 4)}
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": data, "type": data, "split": "test"},
            "metrics": [accuracy],
        }
        head["model-index"] = [{"name": name, "results": [result]}]
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True)


def _summary(facts: Facts) -> Iterator[str]:
    channels, height, width = facts.task.shape
    cost = facts.arch.cost(facts.task)
    yield f"# nas-{facts.arch.digest}"
    yield (
        f"A convolutional network that tells {facts.task.classes} classes apart in images of "
        f"{height}x{width} pixels, {channels} channel{'' if channels == 1 else 's'}."
    )
    rows = [
        ("parameters", f"{cost.params:,}"),
        ("multiply-adds of an image", f"{cost.macs:,}"),
        ("weights as float32", f"{cost.size_bytes:,} bytes"),
    ]
    if accuracy := facts.metrics.get("test_accuracy"):
        rows.append(("test accuracy", f"{accuracy:.2%}"))
    if latency := facts.metrics.get("latency_ms"):
        rows.append(("latency", f"{latency:.3g} ms"))
    for prefix in prefixes(facts.metrics):
        where = _plain(target_name(prefix))
        rows.append((f"latency on {where}", f"{facts.metrics[prefix + LATENCY]:.3g} ms"))
    yield _table(("", ""), rows)
    if any(name != str(label) for label, name in enumerate(facts.classes)):
        names = (f"{label} {_plain(name)}" for label, name in enumerate(facts.classes))
        few = len(facts.classes) <= _LISTED
        yield f"Classes: {', '.join(names) if few else 'by label, in task.json'}."


def _architecture(facts: Facts) -> Iterator[str]:
    yield f"![Blocks by stage, as high as they are wide in channels]({PICTURE})"
    groups: dict[str, list[Part]] = {}
    for part in facts.arch.parts(facts.task):
        groups.setdefault(part.name.split("_")[0], []).append(part)
    rows = []
    for name, parts in groups.items():
        stage = name.startswith("stage")
        index = int(name[5:]) if stage else 0
        text = (
            blocks_to_text(facts.arch.stages[index].blocks)
            if stage
            else call_to_text(name, parts[0].spec)
        )
        last = parts[-1].site
        ends = (last.c_out,) if name == "head" else (last.c_out, *last.hw_out)
        counts = (sum(getattr(p.cost, key) for p in parts) for key in ("params", "macs"))
        rows.append((name, _plain(text), "x".join(map(str, ends)), *(f"{n:,}" for n in counts)))
    yield _table(("stage", "blocks", "output", "parameters", "multiply-adds"), rows)
    yield "A block's stride is in the first of its stage. In full: arch.json."


def _accuracy(facts: Facts) -> Iterator[str]:
    found, data = facts.metrics, facts.provenance.get("data", {})
    of = f" of {_plain(data['name'])}" if "name" in data else ""
    if "test_accuracy" in found:
        seeds = found.get("seeds")
        yield (
            f"**{found['test_accuracy']:.2%}** on the test split{of}"
            + _if(found, "test_images", ": {:,} images")
            + _interval(found, "test_accuracy", ", 95 % interval (Wilson) {:.2%} to {:.2%}")
            + (f", {seeds} training{'' if seeds == 1 else 's'}" if seeds else "")
            + _if(found, "test_accuracy_mean", " with other seeds, this one included: mean {:.2%}")
            + _if(found, "test_accuracy_sd", ", standard deviation {:.2%}")
            + ". The interval tells what the choice of test images leaves open, not what another "
            "training would give."
        )
    if "accuracy" in found:
        yield (
            f"{found['accuracy']:.2%} on the validation split"
            + _if(data, "val", " of {:,} images")
            + ", by which the network or its epoch was chosen: a little too good."
        )
    for name, figures in found.get("formats", {}).items():
        yield f"{name}: {rounding.told(figures)}."


def _latency(facts: Facts) -> Iterator[str]:
    found = facts.metrics
    if LATENCY not in found:
        return
    yield _measured(found)
    beside = [
        _if(found, "memory_bytes", "{:,.0f} bytes of memory"),
        _if(found, "energy_mj", "{:.3g} mJ"),
    ]
    if any(beside):
        yield f"An inference takes {' and '.join(filter(None, beside))}."
    for prefix in prefixes(found):
        there = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
        yield f"On {_plain(target_name(prefix))}: {_measured(there)}"


def _measured(found: Mapping[str, Any]) -> str:
    """Return a latency with its interval, and on what it was measured."""
    threads, batch = found.get("threads"), found.get("batch")
    where = [found.get("device"), found.get("runtime"), found.get("target")]
    parts = [_plain(part) for part in where[:2] if part]
    if threads:
        parts.append(f"{threads} thread{'' if threads == 1 else 's'}")
    if batch:
        parts.append(f"batch {batch}")
    if where[2]:
        parts.append(f"target {_plain(where[2])}")
    return (
        f"**{found[LATENCY]:.3g} ms**"
        + _interval(found, "latency", " (95 % interval {:.3g} to {:.3g})", "_ms")
        + (f": {', '.join(parts)}." if parts else ".")
        + (" The machine was noisy." if found.get("latency_flagged") else "")
    )


def _use(facts: Facts) -> Iterator[str]:
    channels, height, width = facts.task.shape
    yield (
        f"Every file takes float32 (batch, {channels}, {height}, {width}), pixels divided by 255, "
        "normalises them itself, and returns scores before the softmax. Run the code in this "
        "folder."
    )
    for name, (file, usage) in facts.formats.items():
        code = _IMPORTS + usage.format(shape=f"{channels}, {height}, {width}") + _CLASS
        yield f"### {name}"
        size = f" ({facts.files[file]:,} bytes)" if file in facts.files else ""
        yield f"`{file}`{size}. {_needs(code, facts.files)}"
        yield f"```python\n{code}```"
    if channels in (1, 3):
        mode = "L" if channels == 1 else "RGB"
        code = _PICTURE.format(channels=channels, height=height, width=width, mode=mode)
        yield "### From a picture to `image`"
        yield f"{_needs(code, facts.files)} For torch: `torch.from_numpy(read_image(path))`."
        yield f"```python\n{code}```"


def _needs(code: str, files: Iterable[str]) -> str:
    """Return what must be installed for `code`, as pip calls it."""
    tops = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            tops += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            tops.append(node.module.split(".")[0])
    ours = {file.partition(".")[0] for file in files} | sys.stdlib_module_names
    foreign = sorted({_PACKAGES.get(top, top).replace("_", "-") for top in tops if top not in ours})
    return f"It needs: `pip install {' '.join(foreign)}`."


def _training(facts: Facts) -> Iterator[str]:
    known = facts.provenance
    if known.get("weights") == "random":
        yield "None: the weights are random, for measuring and for training from scratch."
    if data := known.get("data"):
        sizes = [f"{data[split]:,} {split}" for split in ("train", "val", "test") if split in data]
        yield (
            f"Data: {_plain(data['name'])}"
            + (f", images by split: {', '.join(sizes)}" if sizes else "")
            + "."
        )
    if "epochs" in facts.metrics:
        yield f"It was trained for {facts.metrics['epochs']} epochs."
    if CURVES in facts.files:
        yield f"![Loss and accuracy by epoch]({CURVES})"
    if recipe := known.get("recipe"):
        yield f"```yaml\n{yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)}```"


def _provenance(facts: Facts) -> Iterator[str]:
    known = facts.provenance
    rows = [("digest of the architecture", f"`{facts.arch.digest}`")]
    rows += [(key, _plain(known[key])) for key in ("run", "seed", "date") if key in known]
    if commit := known.get("git_commit"):
        rows.append(("git commit", _plain(commit)))
    for name, package in known.get("versions", {}).items():
        rows.append((_plain(name), _plain(package)))
    if machine := known.get("machine"):
        about = f"{machine.get('cpu')}, {machine.get('cores')} cores"
        memory = machine.get("memory_bytes")
        rows.append(
            ("trained on", _plain(about + (f", {format_count(memory)}B" if memory else "")))
        )
    if plugin := known.get("plugin"):
        rows.append(("plug-in with its blocks", _plain(f"{plugin['name']}, {plugin['sha256']}")))
    yield _table(("", ""), rows)
    yield "checksums.json has the SHA-256 of each file; `nas verify` checks them."


def _limits(facts: Facts) -> Iterator[str]:
    lines = [
        "It names one of its classes for any image, also for one that shows none of them.",
        "Softmax of its scores was not calibrated: it is no probability of being right.",
    ]
    if data := facts.provenance.get("data", {}).get("name"):
        lines.insert(
            0, f"It has seen images of {_plain(data)} only; what it does on others is unknown."
        )
    elif facts.provenance.get("weights") == "random":
        lines.insert(0, "It was not trained: its scores mean nothing.")
    if facts.metrics.get("latency_ms"):
        lines.append("The latency holds for the device and runtime named, and no other.")
    yield "\n".join(f"* {line}" for line in lines)


def _table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(heading)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _if(found: Mapping[str, Any], key: str, text: str) -> str:
    return text.format(found[key]) if key in found else ""


def _interval(found: Mapping[str, Any], name: str, text: str, unit: str = "") -> str:
    ends = [f"{name}_{end}{unit}" for end in ("low", "high")]
    return text.format(*(found[end] for end in ends)) if all(e in found for e in ends) else ""


def _plain(text: object) -> str:
    """Return a foreign text as one line that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#&~$!])", r"\\\1", " ".join(str(text).split()))
