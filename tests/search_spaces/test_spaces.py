import json
import random

import pytest
import yaml

from search_spaces.arch import Task
from search_spaces.errors import SpecError, UnknownName
from search_spaces.spaces import SPACES, find_space, read_space, space_from_plain, space_to_plain
from search_spaces.subspace import bounds

PLAIN = {
    "schema": 1,
    "stem": {"width": [8, 16], "stride": 1},
    "stages": [{"width": 16, "depth": [1, 2], "stride": 2, "blocks": ["mbconv", {"kind": "fe"}]}],
    "head": {"width": [0, 64]},
}


@pytest.mark.parametrize("name", list(SPACES))
@pytest.mark.parametrize(("suffix", "dump"), [("json", json.dumps), ("yaml", yaml.safe_dump)])
def test_files_give_the_space_back(tmp_path, name, suffix, dump):
    path = tmp_path / f"space.{suffix}"
    path.write_text(dump(space_to_plain(SPACES[name])))
    assert find_space(str(path)) == SPACES[name]


def test_one_value_stands_for_a_list_and_the_file_names_the_space(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(PLAIN))
    space = read_space(path)
    assert space.name == "mine"
    assert space.stages[0].width == (16,)
    assert [menu.kind for menu in space.stages[0].blocks] == ["mbconv", "fe"]


@pytest.mark.parametrize(("given", "found"), [(28, (28,)), ([20, 28], (20, 28))])
def test_files_may_give_resolutions(given, found):
    space = space_from_plain(PLAIN | {"resolution": given})
    assert space.resolution == found
    assert space_from_plain(space_to_plain(space)) == space


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": []}, r"\$.resolution: expected a whole number or a list"),
        ({"resolution": [28, 20]}, r"\$: `resolution` .* must ascend"),
        ({"resolution": 5000}, r"\$: `resolution` \(=5000\) must be from 8 to"),
        (
            {"stages": [{"width": 8, "blocks": [{"kind": "mbconv", "kernel": [3, 4]}]}]},
            r"\$.stages\[0\]: mbconv: `kernel` \(=4\) must be odd",
        ),
        (
            {"stages": [{"width": 8, "depth": 2000, "blocks": ["mbconv"]}]},
            r"\$: a space must hold at most 1e290 architectures",
        ),
        (
            {"stages": [{"width": 8, "blocks": ["mbconv", "mbconv"]}]},
            r"\$.stages\[0\]: `blocks` holds mbconv twice with variants in common",
        ),
        ({"schema": 2}, r"\$.schema: expected 1, but got 2"),
        ({"stagse": []}, r"\$: unknown key 'stagse'; did you mean 'stages'"),
        ({"stages": 3}, r"\$.stages: expected a list"),
        ({"stages": [{"width": 8}]}, r"\$.stages\[0\]: key 'blocks' is missing"),
        (
            {"stages": [{"width": 8, "blocks": ["mbcon"]}]},
            r"blocks\[0\].kind: .* 'mbconv'\?.*--plugin FILE",
        ),
        (
            {"stages": [{"width": 8, "blocks": [{"kind": "mbconv", "kernal": 3}]}]},
            r"\$.stages\[0\].blocks\[0\]: mbconv has no knob 'kernal'",
        ),
        ({"stages": [{"width": "8", "blocks": ["mbconv"]}]}, r"\$.stages\[0\].width: expected a"),
        ({"stages": [{"width": [16, 8], "blocks": ["mbconv"]}]}, r"\$.stages\[0\]: `width`"),
        ({"stages": [{"width": 8, "stride": "2", "blocks": ["mbconv"]}]}, r"\$.stages\[0\]"),
        ({"stem": {"width": 8, "colour": 1}}, r"\$.stem: unknown key 'colour'"),
        ({"stem": {}}, r"\$.stem.width: expected a whole number"),
        ({"head": {"width": [0], "act": "swish"}}, r"\$.head.act: 'swish' is none of"),
    ],
)
def test_faults_carry_their_path(change, message):
    with pytest.raises(SpecError, match=message):
        space_from_plain(PLAIN | change)


def test_faults_of_a_file_carry_its_name(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("stages: [")
    with pytest.raises(SpecError, match=r"space.yaml: line 1, column 10: expected"):
        read_space(path)
    path.write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(SpecError, match="could not determine a constructor"):
        read_space(path)


def test_a_network_may_be_deeper_than_pythons_stack():
    block = {"kind": "mbconv", "kernel": 3, "expand": 1, "se": False}
    space = space_from_plain(
        PLAIN
        | {
            "stages": [{"width": 8, "depth": 2000, "blocks": [block]}],
            "stem": {"width": 8},
            "head": {},
        }
    )
    task = Task(10, (1, 28, 28))
    least, most = bounds(space, task, "params")
    assert least == most == space.sample(random.Random(0)).cost(task).params


def test_unknown_names_are_refused():
    with pytest.raises(UnknownName, match="unknown space 'smal'; did you mean 'small'"):
        find_space("smal")
    with pytest.raises(UnknownName, match=r"space file 'no\.yaml' does not exist"):
        find_space("no.yaml")


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("schema: 1\nstages: []\nhead: {}\nstages: []\n")
    with pytest.raises(SpecError, match=r"mine\.yaml: line 4, .*'stages' is there twice"):
        read_space(path)
    path = tmp_path / "mine.json"
    path.write_text('{"schema": 1, "stages": [], "stages": []}')
    with pytest.raises(SpecError, match=r"mine\.json: key 'stages' stands there twice"):
        read_space(path)
