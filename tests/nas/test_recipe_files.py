from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evaluators.recipe import Recipe
from nas.lists import LISTS
from nas.recipe_files import find_recipe, recipes
from search_spaces.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path


def test_every_shipped_recipe_is_one() -> None:
    assert recipes() == ["default", "imagenet"]
    for name in recipes():
        assert isinstance(find_recipe(name), Recipe)
    assert find_recipe("imagenet").peak_lr == 0.5


def test_the_list_says_what_a_shipped_recipe_is_for_and_changes() -> None:
    small, large = LISTS["recipes"]()
    assert small == {
        "name": "default",
        "what": "For small images: as in a search, but for longer.",
        "fields": "epochs=60",
    }
    assert large["what"].startswith("For ImageNet-1k at 224x224")
    assert "epochs=240, batch=1024, lr=0.0625" in large["fields"]


def test_a_file_sets_fields_and_flags_override_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 7\nweight_decay: 5e-5  # a text, says YAML 1.1\nlr: 1\n")
    assert find_recipe(str(path)) == Recipe(epochs=7, weight_decay=5e-5, lr=1.0)
    assert find_recipe(str(path), {"epochs": 2}).epochs == 2
    path.write_text("# nothing yet\n")
    assert find_recipe(str(path)) == Recipe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mix_up: 1.0", r"mine\.yaml: \$: unknown key 'mix_up'; did you mean 'mixup'"),
        ("epochs: many", r"mine\.yaml: \$\.epochs: expected int, but got 'many'"),
        ("lr: much", r"mine\.yaml: \$\.lr: expected float, but got 'much'"),
        ("- 3", r"mine\.yaml: expected fields of a recipe"),
        ("lr: [", r"mine\.yaml: line \d"),
        ("lr: !!python/name:os.system", r"mine\.yaml: line 1.*could not determine"),
        ("lr: 0", r"mine\.yaml: \$: `lr` \(=0.0\) must be finite, above 0"),
    ],
)
def test_what_a_file_gets_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=message):
        find_recipe(str(path))
