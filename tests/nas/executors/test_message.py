from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from evaluators.accuracy import Accuracy
from evaluators.data import DataSpec
from evaluators.fidelity import Fidelity
from evaluators.recipe import Recipe
from nas.executors._message import work_from_json, work_to_json
from nas.finalists import Finish
from search_spaces.arch import Arch, Task

ARCH = Arch.from_text("stem(width=8) | stage(width=16,stride=2): csc, mbconv(kernel=5) | head")
TASK = Task(3, (1, 16, 16))


@pytest.mark.parametrize(
    "evaluator",
    [
        Accuracy(DataSpec(image_size=32), Recipe(epochs=2, seed=7)),
        Accuracy(rungs=(Fidelity(1, 0.5), Fidelity(2, resolution=8)), checkpoint=Path("a.pt")),
        Finish(DataSpec(), Recipe(epochs=2), Path("/runs/a/models")),  # its deadline is infinite
    ],
)
def test_work_comes_back_as_it_was(evaluator):
    text = work_to_json(partial(evaluator, ARCH, TASK))
    again = work_from_json(text)
    assert again.func == evaluator
    assert again.args == (ARCH, TASK)


def test_paths_within_a_folder_lead_into_the_readers_own():
    finish = Finish(DataSpec(), Recipe(), Path("/runs/a/models"))
    text = work_to_json(partial(finish, ARCH, TASK), Path("/runs/a"))
    assert "/runs" not in text
    assert work_from_json(text, Path("/tmp/b")).func.models == Path("/tmp/b/models")


def test_what_is_no_plain_data_is_refused():
    @dataclass(frozen=True)
    class Work:
        thing: object

        def __call__(self):
            yield

    with pytest.raises(TypeError, match=r"<object .* cannot be sent to a worker as JSON"):
        work_to_json(Work(object()))
