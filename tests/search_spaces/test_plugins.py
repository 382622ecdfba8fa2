import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces.plugins import PluginError, loaded_plugins, read_plugin


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nx +", r"mine\.py: line 2: SyntaxError: invalid syntax"),
        ("x = 1\n\n1 / 0", r"mine\.py: line 3: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)", r"line 2: SystemExit: 3"),
        ("raise ValueError('one\\n  two')", r"line 1: ValueError: one two"),
        ("import no_such_module", r"line 1: ModuleNotFoundError: No module named"),
        (
            "from search_spaces.block import BLOCKS, Block\n"
            "class Mine(Block): pass\n"
            "BLOCKS['mbconv']\n"
            "BLOCKS.register('mbconv')(Mine)",
            r"line 4: block 'mbconv' is registered twice: by search_spaces.* and by nas_plugin",
        ),
    ],
)
def test_what_is_wrong_with_it_is_one_line(text, message, tmp_path):
    before, loaded = set(sys.modules), loaded_plugins()
    with pytest.raises(PluginError, match=message):
        read_plugin(write(tmp_path, text)).load()
    assert not [name for name in set(sys.modules) - before if name.startswith("nas_plugin")]
    assert loaded_plugins() == loaded


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PluginError, match=r"none\.py: No such file"):
        read_plugin(tmp_path / "none.py")


def test_it_runs_once_and_its_classes_are_pickled(tmp_path):
    """In a process of its own, for what is registered stays."""
    path = write(
        tmp_path,
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from search_spaces.block import BLOCKS, Block, knob\n"
        "@BLOCKS.register('mine')\n"
        "@dataclass(frozen=True)\n"
        "class Mine(Block):\n"
        "    kernel: int = knob(3, choices=(3, 5))\n"
        "print('run')\n",
    )
    script = (
        "import pickle, sys; from pathlib import Path\n"
        "from search_spaces.block import BLOCKS\n"
        "from search_spaces.plugins import loaded_plugins, read_plugin\n"
        "plugin = read_plugin(Path(sys.argv[1])); plugin.load(); plugin.load()\n"
        "assert loaded_plugins() == (plugin,)\n"
        "block = BLOCKS['mine'](5)\n"
        "assert pickle.loads(pickle.dumps(block)) == block\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "run\n"), done.stderr
