"""Tables that others have published, read from files that are no part of this project.

A space has each kind of block once in a menu, and samplers see names, not blocks. So blocks of ours
stand for the published operations, which were trained as their authors describe them.
"""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING

from search_spaces.block import kind_of

from .problems import CELL, CELL_TASK, KINDS, Table, chain

if TYPE_CHECKING:
    from pathlib import Path

    from search_spaces.arch import Arch
    from search_spaces.space import Space

MACRO_KINDS = ("identity", "csc", "mbconv")
MACRO = chain("macro", MACRO_KINDS, 8)
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "avg_pool_3x3", "nor_conv_3x3")


def macro(path: Path) -> Table:
    """Return NAS-Bench-Macro: eight places for nothing or one of two inverted residuals.

    Its 6,561 networks were trained three times each on CIFAR-10; the signal of a seed is one of the
    three, the truth is their mean. Multiply-adds, in millions, stand for the latency.

    Source: Su et al. 2021, arXiv:2103.11922; `data/nas-bench-macro_cifar10.json` of its authors.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    digests = _digests(MACRO, MACRO_KINDS)
    runs = {digests[code]: tuple(known["test_acc"]) for code, known in found.items()}
    truth = {
        digests[code]: (known["mean_acc"], known["flops"] / 1e6) for code, known in found.items()
    }
    return Table(MACRO, CELL_TASK, truth, noise=0.0, runs=runs)


def cells(path: Path) -> Table:
    """Return NAS-Bench-201: the six edges of a cell, each with one of five operations.

    The file is a CSV with the columns `cell`, the published string |nor_conv_3x3~0|+|...|,
    `signal`, what a search is told, say the accuracy on validation images, and `accuracy`, by which
    it is judged. With true signals, it is told `accuracy`. The number of convolutions, one of 1x1
    counting a quarter, stands for the latency.

    Source: Dong and Yang 2020, arXiv:2001.00326.
    """
    digests, truth, runs = _digests(CELL, KINDS), {}, {}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            operations = re.findall(r"(\w+)~", line["cell"])
            digest = digests["".join(str(OPERATIONS.index(name)) for name in operations)]
            cost = 1 + operations.count("nor_conv_3x3") + operations.count("nor_conv_1x1") / 4
            truth[digest] = float(line["accuracy"]), cost
            runs[digest] = (float(line["signal"]),)
    return Table(CELL, CELL_TASK, truth, noise=0.0, runs=runs)


def _digests(space: Space, kinds: tuple[str, ...]) -> dict[str, str]:
    """Return the digest of each architecture by the numbers of its kinds."""
    return {_code(arch, kinds): arch.digest for arch in space.enumerate()}


def _code(arch: Arch, kinds: tuple[str, ...]) -> str:
    return "".join(str(kinds.index(kind_of(type(stage.blocks[0])))) for stage in arch.stages)
