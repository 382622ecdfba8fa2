import random
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given

from search_spaces.arch import Arch, Stage, Task
from search_spaces.blocks.fe import FE
from search_spaces.blocks.mbconv import MBConv
from search_spaces.budget import Budget, fit
from search_spaces.errors import SpecError
from search_spaces.heads import Head
from search_spaces.network import build
from search_spaces.networks import NETWORKS
from search_spaces.spaces import SPACES
from search_spaces.stems import Stem
from search_spaces.testing import archs

TASK = Task(10, (1, 28, 28))
ARCH = Arch(Stem(16), (Stage(24, 2, (MBConv(kernel=5), MBConv(kernel=5))),), Head(256))
SMALL = SPACES["small"]


class TestForms:
    @given(archs(SMALL))
    def test_json_and_text_give_the_architecture_back(self, arch):
        assert Arch.from_json(arch.to_json()) == arch
        assert Arch.from_text(str(arch)) == arch

    def test_a_stage_has_stride_1_by_default(self):
        text = "stem(width=16) | stage(width=8{}): mbconv | head".format
        assert Arch.from_text(text("")) == Arch.from_text(text(",stride=1"))

    def test_text_is_short(self):
        text = "stem(width=16) | stage(width=24,stride=2): 2*mbconv(kernel=5) | head(width=256)"
        assert str(ARCH) == text

    def test_digest_is_the_same_in_another_process(self):
        code = f"from search_spaces.arch import Arch; print(Arch.from_text({str(ARCH)!r}).digest)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == ARCH.digest

    def test_digest_tells_architectures_apart(self):
        other = Arch(ARCH.stem, (Stage(24, 2, (MBConv(kernel=5), MBConv())),), ARCH.head)
        assert other.digest != ARCH.digest

    def test_digests_are_those_of_before_there_was_a_resolution(self):
        drawn = [SPACES[name].sample(random.Random(0)) for name in ("small", "mobile")]
        published = [NETWORKS[name].arch for name in ("mobilenetv2-1.0", "fenet-1.0")]
        assert [arch.digest for arch in [ARCH, *drawn, *published]] == [
            "acbd94ec591e", "1d3b15ea5a6b", "5599ab1bdd4b", "893aa37fcc4d", "034916fc7505",
        ]  # fmt: skip


class TestResolution:
    @given(archs(replace(SMALL, resolution=(20, 28))))
    def test_json_and_text_hold_it(self, arch):
        assert Arch.from_json(arch.to_json()) == Arch.from_text(str(arch)) == arch
        assert str(arch).startswith(f"image(resolution={arch.resolution}) | stem(")
        assert arch.digest != replace(arch, resolution=None).digest

    @pytest.mark.parametrize("task", [TASK, Task(10, (1, 24, 20)), Task(10, (1, 20, 20))])
    def test_the_images_are_square_and_of_this_side(self, task):
        arch, at = replace(ARCH, resolution=20), Task(10, (1, 20, 20))
        assert arch.on(task) == arch.on(arch.on(task)) == at
        assert arch.cost(task) == ARCH.cost(at)
        assert [*arch.parts(task)] == [*ARCH.parts(at)]
        assert ARCH.on(task) == task

    def test_narrowing_keeps_it(self):
        arch = replace(ARCH, resolution=20)
        assert fit(arch, Budget(macs=arch.cost(TASK).macs // 2), TASK).resolution == 20


class TestFaults:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", r"\$: not JSON"),
            ('{"schema":1,"stem":{"width":16},"stages":[],"head":{},"resolution":null}',
             r"\$.resolution: expected int, but got None"),
            ('{"schema":1,"stem":{"width":16},"stages":[],"head":{},"resolution":4}',
             r"\$: `resolution` \(=4\) must be from 8 to 1024"),
            ("[]", r"\$.schema: expected"),
            ('{"schema":1}', r"\$: key 'stem' is missing"),
            ('{"schema":1,"stem":{"width":16},"stages":[],"head":{"wdth":8}}',
             r"\$.head: unknown key 'wdth'; did you mean 'width'"),
            ('{"schema":1,"stem":{"width":16},"head":{},"stages":[{"width":8,"stride":3,"blocks":[]}]}',
             r"\$.stages\[0\]: `stride` \(=3\)"),
            ('{"schema":1,"stem":{"width":16},"head":{},"stages":[{"width":8,"stride":1,"blocks":'
             '[{"kind":"mbconv","kernel":4}]}]}',
             r"\$.stages\[0\].blocks\[0\]: `kernel` \(=4\) must be odd"),
            ('{"schema":1,"stem":{"width":16},"head":{},"stages":[{"width":8,"stride":1,"blocks":'
             '[{"kind":"mbconv","kernel":true}]}]}',
             r"\$.stages\[0\].blocks\[0\].kernel: expected int, but got True"),
            ('{"schema":1,"stem":{"width":16,"act":"gelu"},"head":{},"stages":[]}',
             r"\$.stem.act: 'gelu' is none of"),
        ],
    )  # fmt: skip
    def test_json_faults_carry_their_path(self, text, message):
        with pytest.raises(SpecError, match=message):
            Arch.from_json(text)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("nonsense", "expected 'name"),
            ("stem(width=16) | mbconv | head", "stage 0: expected 'stage"),
            ("stem(width=16) | stage(width=8,stride=1): mbcon | head", "did you mean 'mbconv'"),
            ("stem | head", r"\$.stem: key 'width' is missing"),
            ("head | stem", "expected 'stem'"),
        ],
    )
    def test_text_faults_are_named(self, text, message):
        with pytest.raises(SpecError, match=message):
            Arch.from_text(text)

    def test_channels_that_a_block_cannot_take(self):
        with pytest.raises(SpecError, match=r"\$.stages\[0\].blocks\[0\]: fe needs widths .* of 8"):
            Arch(Stem(12), (Stage(16, 1, (FE(units=4),)),), Head())


class TestNetwork:
    @given(archs(SMALL))
    def test_params_are_those_of_the_network(self, arch):
        network = build(arch, TASK)
        assert sum(p.numel() for p in network.parameters()) == arch.cost(TASK).params
        assert network.eval()(torch.zeros(1, 1, 28, 28)).shape == (1, 10)

    def test_weights_follow_from_the_seed(self):
        before = torch.get_rng_state()
        first, again, other = (build(ARCH, TASK, seed).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not torch.equal(first["parts.head.4.weight"], other["parts.head.4.weight"])
        assert torch.equal(before, torch.get_rng_state())

    def test_cost_is_the_sum_over_the_parts(self):
        parts = sum((p.cost for p in ARCH.parts(TASK)), start=type(ARCH.cost(TASK))())
        assert ARCH.cost(TASK) == parts
