"""Tests for formats of an export, ready to use on your own: a contract in a few lines.

::

    class TestMyFormat(ExporterContract):
        @pytest.fixture
        def name(self) -> str:
            return "mine"

Needs pytest. The tests skip where a runtime of the format is missing, and name its extra; those
that start processes carry the marker `slow`.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path, PurePath

import pytest
import torch

from evaluators.child import Child, ChildDied
from evaluators.target import torch_threads
from search_spaces.arch import Arch, Task
from search_spaces.errors import NasError
from search_spaces.network import build

from .exporter import EXPORTERS, Exporter, Model, save
from .verify import faults

TASK = Task(3, (1, 28, 28))
ARCH = Arch.from_text("stem(width=8) | stage(width=16,stride=2): mbconv(expand=3), csc | head")
CUTS = (0.0, 0.1, 0.5, 0.9, 1.0)  # of a file's length; 1 stands for all but the last byte


def model() -> Model:
    """Return a small network with fresh weights for images of `TASK`."""
    network = build(ARCH, TASK, seed=1).eval()
    return Model(ARCH, TASK, network, ("a", "b", "c"), (0.3,), (0.2,))


class ExporterContract:
    """What every format must do; subclasses have a fixture `name`, as it is registered."""

    @pytest.fixture
    def here(self, name: str) -> str:
        """Return the format's name, if its runtimes are here."""
        if extra := EXPORTERS[name].missing():
            pytest.skip(f"needs the extra {extra}: pip install 'nas-compact[{extra}]'")
        return name

    @pytest.fixture
    def exporter(self, here: str) -> Exporter:
        """Return the format."""
        return EXPORTERS[here]()

    @pytest.fixture
    def folder(self, here: str, tmp_path: Path) -> Path:
        """Return the folder of a model with a file of this format."""
        save(model(), tmp_path / "model", [here])
        return tmp_path / "model"

    def test_files_are_its_own(self, name: str) -> None:
        """Plain names, visible, and not those of another format."""
        files = EXPORTERS[name].files()
        assert all(file == PurePath(file).name and not file.startswith(".") for file in files)
        others = {f for other in EXPORTERS if other != name for f in EXPORTERS[other].files()}
        assert len({*files, *others}) == len(files) + len(others)

    def test_its_origin_is_a_format_that_does_not_round(self, name: str) -> None:
        """Or none, and then its scores have a limit."""
        if origin := EXPORTERS[name].origin:
            assert EXPORTERS[origin].limit.error is not None
        else:
            assert EXPORTERS[name].limit.error is not None

    def test_it_agrees_with_the_network(self, here: str, tmp_path: Path) -> None:
        """On a batch and on one image, as `save` compares them; its files are those it names."""
        *_, found = save(model(), tmp_path / "out", [here])
        assert found.format == here
        assert not found.agreement.fault
        assert all((tmp_path / "out" / file).is_file() for file in EXPORTERS[here].files())
        assert not faults(tmp_path / "out")

    def test_scores_are_the_callers(self, exporter: Exporter, folder: Path) -> None:
        """Float32 (batch, classes) for any batch, and the next call does not overwrite them."""
        run = exporter.open(folder / exporter.file)
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(3, *TASK.shape, generator=generator)
        with torch.inference_mode():
            first = run(images)
            kept = first.clone()
            run(1 - images)
        assert first.shape == (3, TASK.classes)
        assert first.dtype == torch.float32
        assert torch.equal(first, kept)

    def test_the_network_stays_as_it_was(self, exporter: Exporter) -> None:
        """In its mode, with its weights."""
        source = model()
        source.network.train()
        before = {key: value.clone() for key, value in source.network.state_dict().items()}
        exporter.encode(source)
        assert all(module.training for module in source.network.modules())
        assert all(value.equal(before[key]) for key, value in source.network.state_dict().items())

    def test_nothing_is_printed_and_no_file_is_left(
        self,
        here: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """Stdout belongs to `--json`."""
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        save(model(), tmp_path / "out", [here])
        assert capfd.readouterr().out == ""
        assert not list((tmp_path / "tmp").iterdir())
        assert {path.name for path in tmp_path.iterdir()} == {"tmp", "out"}

    @pytest.mark.parametrize("content", [b"", b"no such file"])
    def test_a_foreign_file_is_refused(
        self, exporter: Exporter, content: bytes, tmp_path: Path
    ) -> None:
        """With a `NasError` that names it."""
        for file in exporter.files():
            (tmp_path / file).write_bytes(content)
        with pytest.raises(NasError, match=re.escape(str(tmp_path))):
            exporter.open(tmp_path / exporter.file)

    @pytest.mark.slow
    def test_a_truncated_file_is_refused_or_right(self, here: str, folder: Path) -> None:
        """With a `NasError` and not with a crash; what can still be read gives the same scores."""
        images = torch.rand(2, *TASK.shape, generator=torch.Generator().manual_seed(0))
        wanted, child = _scores(here, folder, images), Child()
        for file, cut in product(EXPORTERS[here].files(), CUTS):
            content = (folder / file).read_bytes()
            (folder / file).write_bytes(content[: min(int(len(content) * cut), len(content) - 1)])
            assert any(file in fault for fault in faults(folder))
            try:
                torch.testing.assert_close(child.call(_scores, here, folder, images), wanted)
            except ChildDied as error:
                pytest.fail(f"{file}, {cut:.0%} of it: {error}")
            except NasError:
                pass
            finally:
                (folder / file).write_bytes(content)
        child.end()

    @pytest.mark.slow
    def test_its_usage_makes_the_scores(self, here: str, folder: Path) -> None:
        """As it stands in the model card, in the export's folder, in a process of its own."""
        shape = ", ".join(map(str, TASK.shape))
        code = "import json\nfrom pathlib import Path\n" + EXPORTERS[here].usage.format(shape=shape)
        ast.parse(code)
        code += "\nprint(json.dumps([[float(score) for score in row] for row in scores]))"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = torch.tensor(json.loads(done.stdout.splitlines()[-1]))
        wanted = _scores(here, folder, torch.zeros(1, *TASK.shape))
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def _scores(name: str, folder: Path, images: torch.Tensor) -> torch.Tensor:
    exporter = EXPORTERS[name]()
    with torch_threads(1), torch.inference_mode():
        return exporter.open(folder / exporter.file)(images)
