"""The code in a model card: how each file is loaded, and what must be installed for that."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

from .markdown import when_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .card_facts import Facts

_PACKAGES = {"nas": "nas-compact", "PIL": "pillow"}  # named otherwise than what is imported
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


def usage_section(facts: Facts) -> Iterator[str]:
    """Yield what a stranger runs, format by format."""
    channels, height, width = facts.task.shape
    yield (
        f"Every file takes float32 (batch, {channels}, {height}, {width}), pixels divided by 255, "
        "normalises them itself, and returns scores before the softmax. Run the code in this "
        "folder."
    )
    for name, (files, usage) in facts.formats.items():
        code = _IMPORTS + usage.format(shape=f"{channels}, {height}, {width}") + _CLASS
        yield f"### {name}"
        sizes = (f"`{n}`" + when_known(facts.files, n, " ({:,} bytes)") for n in files)
        yield f"{', '.join(sizes)}. {_needs(code, facts.files)}"
        yield f"```python\n{code}```"
    if channels in (1, 3):
        mode = "L" if channels == 1 else "RGB"
        code = _PICTURE.format(channels=channels, height=height, width=width, mode=mode)
        yield "### From a picture to `image`"
        yield (
            f"{_needs(code, facts.files)} `read_image(path)`, for torch "
            "`torch.from_numpy(read_image(path))`, takes the place of the zeros above."
        )
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
    if "nas-compact" in foreign:
        return "It needs this toolkit: `pip install .` in a checkout of it."
    return f"It needs: `pip install {' '.join(foreign)}`."
