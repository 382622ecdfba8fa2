"""The documentation keeps its word: Python runs, commands parse, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"^(?:<!-- not run:(?P<reason>.*?)-->\n)?```(?P<language>\w*)\n(?P<body>.*?)^```$", re.M | re.S
)
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")  # neither to another site nor inside the page

every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))


@every_file
def test_python_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    text = file.read_text("utf-8")
    for block in BLOCK.finditer(text):
        if block["reason"] is not None:
            assert block["reason"].strip(), f"{file.name}: say why a block is not run"
        elif block["language"] == "python":
            above = text.count("\n", 0, block.start("body"))  # a traceback shows the file's line
            exec(compile("\n" * above + block["body"], str(file), "exec"), namespace)


@every_file
def test_commands_parse(file: Path) -> None:
    for block in BLOCK.finditer(file.read_text("utf-8")):
        if block["language"] == "console":
            body = block["body"].replace("\\\n", " ")
            for arguments in re.findall(r"^\$ (?:\S*/)?nas\b([^|>;&\n]*)", body, re.M):
                check(arguments)


def check(arguments: str) -> None:
    command, *flags = re.split(r"(?:^|\s)(?=--?[a-z])", arguments.split(" #")[0])
    unknown = {re.split(r"[\s=]", flag)[0] for flag in flags} - known_flags(command)
    assert not unknown, f"`nas{arguments}`: {', '.join(sorted(unknown))} is not in its help"


@cache
def known_flags(command: str) -> set[str]:
    """The flags in the help of a command; positional arguments before --help do no harm."""
    run = subprocess.run(
        [sys.executable, "-c", "from nas.cli import main; main()", *shlex.split(command), "--help"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"`nas {command}` is no command:\n{run.stderr}"
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", run.stdout))


@every_file
def test_links_resolve(file: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", file.read_text("utf-8")))
    broken = [link for link in LINK.findall(prose) if not (file.parent / link).exists()]
    assert not broken, f"{file.name} has broken links: {', '.join(broken)}"


def test_the_checks_can_fail(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[x](gone.md)\n\n```console\n$ nas search --no-such-flag 3\n```\n", "utf-8")
    with pytest.raises(AssertionError, match=r"broken links: gone\.md"):
        test_links_resolve(page)
    with pytest.raises(AssertionError, match="--no-such-flag is not in its help"):
        test_commands_parse(page)
