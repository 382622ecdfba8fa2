"""How a model came to be, as far as it is known: `provenance.json` beside its files.

Every key may be missing; what is not known is left out.

    run, seed     name of the run folder, and what its randomness derives from
    date          when the run began, or the file was written
    weights       "random" if nothing trained them
    data          name, image_size and seed of the splits, and `train`, `val`, `test` images
    recipe        the fields of the recipe
    digest        of the architecture, where `nas train` trained it
    teacher       digest of its architecture and SHA-256 of its weights, if one was followed
    versions      of Python and of the packages that decide the result
    git_commit    of the checkout that did it
    machine       processor, cores, memory and system on which it was trained
    plugin        file name and SHA-256 of the plug-in that defines blocks of its own
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .runs import conditions, read_run

if TYPE_CHECKING:
    from evaluators.data import DataSpec, Images
    from evaluators.recipe import Recipe

FILE = "provenance.json"
Facts = dict[str, Any]


def of_run(directory: Path) -> Facts:
    """Return what a run folder tells of its models.

    Raises:
        RunError: it is no run folder.
    """
    run = read_run(directory)
    plugin = run.get("plugin") or {}
    return _known(
        run=directory.resolve().name,
        seed=(run.get("config") or {}).get("seed"),
        date=run.get("started"),
        **{key: run.get(key) for key in ("versions", "git_commit", "machine")},
        plugin=plugin and {"name": Path(plugin["path"]).name, "sha256": plugin["sha256"]},
    )


def of_random(seed: int) -> Facts:
    """Return what there is to say of weights that are drawn, not trained."""
    now = conditions()
    about = {key: now[key] for key in ("versions", "git_commit")}
    return _known(weights="random", seed=seed, date=now["started"], **about)


def of_now(seed: int) -> Facts:
    """Return what there is to say of a training that ends now, here, outside of any run."""
    now = conditions()
    about = {key: now[key] for key in ("versions", "git_commit", "machine")}
    return _known(seed=seed, date=now["started"], **about)


def of_training(data: DataSpec, images: Images, recipe: Recipe) -> Facts:
    """Return what a training was given; of a folder of images its name, not where it is."""
    name = Path(data.name).name if Path(data.name).exists() else data.name
    sizes = {split: len(getattr(images, split)) for split in ("train", "val", "test")}
    about = _known(name=name, image_size=data.image_size, seed=data.seed)
    return {"data": about | sizes, "recipe": asdict(recipe)}


def to_json(facts: Facts) -> bytes:
    """Return the content of the file."""
    return (json.dumps(facts, indent=2) + "\n").encode()


def _known(**facts: Any) -> Facts:
    return {key: value for key, value in facts.items() if value not in (None, {})}
