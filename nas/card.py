"""The model card: what a stranger needs to use a model, and to know what it is worth.

It tells what is known and leaves out the rest. The same facts make the same text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from search_spaces.text import blocks_to_text, call_to_text

from . import rounding
from .card_facts import Facts
from .card_latency import latency_section
from .card_usage import usage_section
from .columns import LATENCY, prefixes, target_name
from .markdown import interval, plain, table, when_known
from .units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search_spaces.arch import Part

FILE, PICTURE = "README.md", "architecture.svg"
CURVES = "history.svg"  # of `nas train`
__all__ = ["CURVES", "FILE", "PICTURE", "Facts", "card"]
_LISTED = 20  # classes, up to which the card names them
_COMMENT = "# license: for you to choose; this file came without one\n"


def card(facts: Facts) -> str:
    """Return the card in Markdown, with a head in YAML as model hubs read it."""
    sections = {
        "": _summary(facts),
        "Architecture": _architecture(facts),
        "Accuracy": _accuracy(facts),
        "Latency": latency_section(facts),
        "How to use it": usage_section(facts),
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
        where = plain(target_name(prefix))
        rows.append((f"latency on {where}", f"{facts.metrics[prefix + LATENCY]:.3g} ms"))
    yield table(("", ""), rows)
    if any(name != str(label) for label, name in enumerate(facts.classes)):
        names = (f"{label} {plain(name)}" for label, name in enumerate(facts.classes))
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
        rows.append((name, plain(text), "x".join(map(str, ends)), *(f"{n:,}" for n in counts)))
    yield table(("stage", "blocks", "output", "parameters", "multiply-adds"), rows)
    yield "A block's stride is in the first of its stage. In full: arch.json."


def _accuracy(facts: Facts) -> Iterator[str]:
    found, data = facts.metrics, facts.provenance.get("data", {})
    of = f" of {plain(data['name'])}" if "name" in data else ""
    if "test_accuracy" in found:
        seeds = found.get("seeds")
        yield (
            f"**{found['test_accuracy']:.2%}** on the test split{of}"
            + when_known(found, "test_images", ": {:,} images")
            + interval(found, "test_accuracy", ", 95 % interval (Wilson) {:.2%} to {:.2%}")
            + (f", {seeds} training{'' if seeds == 1 else 's'}" if seeds else "")
            + when_known(
                found, "test_accuracy_mean", " with other seeds, this one included: mean {:.2%}"
            )
            + when_known(found, "test_accuracy_sd", ", standard deviation {:.2%}")
            + ". The interval tells what the choice of test images leaves open, not what another "
            "training would give."
        )
        yield ("`nas eval . --data DATA` in this folder repeats that on the same images.")
    if "accuracy" in found:
        yield (
            f"{found['accuracy']:.2%} on the validation split"
            + when_known(data, "val", " of {:,} images")
            + (
                " after the last epoch; it had no say in the training."
                if "digest" in facts.provenance
                else ", by which the network or its epoch was chosen: a little too good."
            )
        )
    for name, figures in found.get("formats", {}).items():
        if "origin" in figures:
            yield f"{name}: {rounding.told(figures)}."


def _training(facts: Facts) -> Iterator[str]:
    known = facts.provenance
    if known.get("weights") == "random":
        yield "None: the weights are random, for measuring and for training from scratch."
    if data := known.get("data"):
        sizes = [f"{data[split]:,} {split}" for split in ("train", "val", "test") if split in data]
        yield (
            f"Data: {plain(data['name'])}"
            + (f", images by split: {', '.join(sizes)}" if sizes else "")
            + "."
        )
    if "epochs" in facts.metrics:
        epochs = facts.metrics["epochs"]
        yield f"It was trained for {epochs} epoch{'' if epochs == 1 else 's'}."
    if CURVES in facts.files:
        yield f"![Loss and accuracy by epoch]({CURVES})"
    if recipe := known.get("recipe"):
        yield f"```yaml\n{yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)}```"


def _provenance(facts: Facts) -> Iterator[str]:
    known = facts.provenance
    rows = [("digest of the architecture", f"`{facts.arch.digest}`")]
    rows += [(key, plain(known[key])) for key in ("run", "seed", "date") if key in known]
    if commit := known.get("git_commit"):
        rows.append(("git commit", plain(commit)))
    for name, package in known.get("versions", {}).items():
        rows.append((plain(name), plain(package)))
    if machine := known.get("machine"):
        about = f"{machine.get('cpu')}, {machine.get('cores')} cores"
        memory = machine.get("memory_bytes")
        rows.append(("trained on", plain(about + (f", {format_count(memory)}B" if memory else ""))))
    if teacher := known.get("teacher"):
        about = f"architecture {teacher['digest']}, weights {teacher['weights_sha256']}"
        rows.append(("teacher that was followed", plain(about)))
    if plugin := known.get("plugin"):
        rows.append(("plug-in with its blocks", plain(f"{plugin['name']}, {plugin['sha256']}")))
    yield table(("", ""), rows)
    yield "checksums.json has the SHA-256 of each file; `nas verify` checks them."


def _limits(facts: Facts) -> Iterator[str]:
    lines = [
        "It names one of its classes for any image, also for one that shows none of them.",
        "Softmax of its scores was not calibrated: it is no probability of being right.",
    ]
    if data := facts.provenance.get("data", {}).get("name"):
        lines.insert(
            0, f"It has seen images of {plain(data)} only; what it does on others is unknown."
        )
    elif facts.provenance.get("weights") == "random":
        lines.insert(0, "It was not trained: its scores mean nothing.")
    if facts.metrics.get(LATENCY) or facts.timed:
        lines.append("A latency holds for the device and runtime named, and no other.")
    yield "\n".join(f"* {line}" for line in lines)
