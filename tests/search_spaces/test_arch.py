import subprocess
import sys

import pytest
import torch
from hypothesis import given

from search_spaces.arch import Arch, Stage, Task
from search_spaces.blocks.fe import FE
from search_spaces.blocks.mbconv import MBConv
from search_spaces.errors import SpecError
from search_spaces.heads import Head
from search_spaces.network import build
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


class TestFaults:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", r"\$: not JSON"),
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
