import random
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.blocks.csc import CSC
from search_spaces.blocks.fe import FE
from search_spaces.blocks.mbconv import MBConv
from search_spaces.errors import SpecError
from search_spaces.heads import Head
from search_spaces.space import Space, StageSpace
from search_spaces.spaces import SPACES, space_for, space_from_plain, space_to_plain
from search_spaces.stems import Stem
from search_spaces.testing import archs

SMALL = SPACES["small"]
PLAIN = {"se": (False,)}
TINY = Space(
    name="tiny",
    stem=Stem(8, stride=1),
    stem_width=(8, 16),
    stages=(
        StageSpace((8, 16), (1, 2), 2, (MBConv.over(expand=(3,), **PLAIN), FE.over(**PLAIN))),
        StageSpace((16,), (1,), 1, (CSC.over(kernel=(3,), expand=(1,), **PLAIN),)),
    ),
    head=Head(),
    head_width=(0, 32),
)
MBCONVS = MBConv.over(kernel=(3,), **PLAIN), MBConv.over(kernel=(5,), expand=(6,), se=(True,))
TWINS = replace(  # a kind twice in a menu
    TINY, name="twins", stages=(StageSpace((8, 16), (1, 2), 2, (*MBCONVS, FE.over(**PLAIN))),)
)
SIZED = replace(TINY, name="sized", resolution=(8, 12, 16))
seeds = st.integers(0, 2**32).map(random.Random)


class TestMenusOfOneKind:
    def test_each_has_genes_of_its_own(self):
        choices = {gene.name: gene.choices for gene in TWINS.genes()}
        assert choices["s0.b0.kind"] == ("mbconv", "mbconv#2", "fe")
        assert not [name for name in choices if name.startswith("s0.b0.mbconv#2")]  # all fixed
        conditions = TWINS.conditions()
        assert conditions["s0.b0.mbconv.expand"] == ("s0.b0.kind", ("mbconv",))

    def test_every_architecture_is_there_once_and_comes_back(self):
        archs = list(TWINS.enumerate())
        assert len({arch.digest for arch in archs}) == len(archs) == TWINS.size()
        assert all(TWINS.decode(TWINS.encode(arch)) == arch for arch in archs)
        assert space_from_plain(space_to_plain(TWINS)) == TWINS

    def test_a_block_of_none_of_them_is_refused(self):
        arch = replace(TWINS, stages=(StageSpace((8,), (1,), 2, (MBConv.over(kernel=(7,)),)),))
        with pytest.raises(SpecError, match="twins: the architecture's fixed parts differ"):
            TWINS.encode(arch.sample(random.Random(0)))

    def test_variants_in_common_are_refused(self):
        with pytest.raises(SpecError, match="`blocks` holds mbconv twice with variants in common"):
            StageSpace((8,), (1,), 1, (MBConv.over(kernel=(3, 5)), MBConv.over(expand=(6,))))

    @given(archs(TWINS), archs(TWINS), seeds)
    def test_children_come_back(self, first, second, rng):
        for child in (TWINS.mutate(first, rng), TWINS.crossover(first, second, rng)):
            assert TWINS.decode(TWINS.encode(child)) == child


class TestDraw:
    @given(archs(SMALL))
    def test_decode_inverts_encode(self, arch):
        assert SMALL.decode(SMALL.encode(arch)) == arch

    @given(archs(SMALL), seeds)
    def test_dormant_genes_are_ignored(self, arch, rng):
        dormant = {gene.name: rng.choice(gene.choices) for gene in SMALL.genes()}
        assert SMALL.decode(dormant | SMALL.encode(arch)) == arch

    @given(archs(SMALL))
    def test_genes_are_among_those_of_the_space(self, arch):
        choices = {gene.name: gene.choices for gene in SMALL.genes()}
        assert all(value in choices[name] for name, value in SMALL.encode(arch).items())

    @given(archs(TINY))
    def test_conditions_say_which_genes_are_active(self, arch):
        active, woken = TINY.encode(arch), set()
        for gene in TINY.genes():
            parent, values = TINY.conditions().get(gene.name, (None, ()))
            if parent is None or (parent in woken and active[parent] in values):
                woken.add(gene.name)
        assert woken == set(active)

    def test_a_missing_gene_is_named(self):
        with pytest.raises(SpecError, match=r"gene 'stem\.width' is missing"):
            SMALL.decode({})

    @given(archs(SMALL))
    def test_foreign_architectures_are_refused(self, arch):
        with pytest.raises(SpecError, match="tiny: gene"):
            TINY.encode(arch)

    def test_fixed_parts_must_agree(self):
        arch = Space(TINY.name, Stem(8, kernel=5), *list(vars(TINY).values())[2:6]).sample(
            random.Random(0)
        )
        with pytest.raises(SpecError, match="fixed parts differ"):
            TINY.encode(arch)


class TestEnumerate:
    def test_counts_and_is_free_of_twins(self):
        found = list(TINY.enumerate())
        assert len(found) == len(set(found)) == TINY.size() == 2 * 2 * (9 + 81) * 2 * 2

    def test_samples_reach_everything(self):
        rng = random.Random(0)
        assert len({TINY.sample(rng) for _ in range(20_000)}) > 0.99 * TINY.size()


class TestVariation:
    @given(archs(SMALL), seeds)
    def test_a_mutant_is_another_one_of_the_space(self, arch, rng):
        mutant = SMALL.mutate(arch, rng)
        assert mutant != arch
        SMALL.encode(mutant)

    @given(archs(SMALL), archs(SMALL), seeds)
    def test_a_child_has_its_parents_genes(self, first, second, rng):
        child = SMALL.encode(SMALL.crossover(first, second, rng))
        parents = SMALL.encode(first), SMALL.encode(second)
        for name, value in child.items():
            known = [genes[name] for genes in parents if name in genes]
            assert value in known or not known

    def test_samples_follow_from_the_seed_in_another_process(self):
        code = (
            "import random; from search_spaces.spaces import SPACES;"
            "print(SPACES['small'].sample(random.Random(7)).digest)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == SMALL.sample(random.Random(7)).digest


class TestResolution:
    def test_it_is_the_first_gene_and_ordered(self):
        gene = SIZED.genes()[0]
        assert gene == ("resolution", (8, 12, 16))
        assert gene.ordered
        assert [gene.name for gene in SIZED.genes()[1:]] == [gene.name for gene in TINY.genes()]

    def test_each_architecture_is_there_at_each(self):
        found = list(SIZED.enumerate())
        assert len(found) == len(set(found)) == SIZED.size() == 3 * TINY.size()
        assert set(found) == {
            replace(a, resolution=r) for a in TINY.enumerate() for r in (8, 12, 16)
        }

    @given(archs(SIZED), archs(SIZED), seeds)
    def test_variation_stays_in_the_space(self, first, second, rng):
        assert SIZED.decode(SIZED.encode(first)) == first
        assert SIZED.mutate(first, rng) != first
        child = SIZED.crossover(first, second, rng)
        assert child.resolution in (first.resolution, second.resolution)
        SIZED.encode(child)

    def test_a_mutant_may_differ_in_nothing_else(self):
        arch, rng = SIZED.sample(random.Random(0)), random.Random(0)
        mutants = [SIZED.mutate(arch, rng) for _ in range(100)]
        assert any(replace(m, resolution=arch.resolution) == arch for m in mutants)

    def test_one_alone_is_no_gene(self):
        fixed = replace(TINY, resolution=(12,))
        assert fixed.genes() == TINY.genes()
        assert fixed.sample(random.Random(0)).resolution == 12

    def test_other_architectures_are_refused(self):
        arch = TINY.sample(random.Random(0))
        with pytest.raises(SpecError, match=r"gene 'resolution' takes \(8, 12, 16\), .* None"):
            SIZED.encode(arch)
        for other in (TINY, replace(TINY, resolution=(12,))):
            with pytest.raises(SpecError, match="fixed parts differ"):
                other.encode(replace(arch, resolution=16))

    @pytest.mark.parametrize(
        ("resolution", "message"),
        [
            ((16, 8), "`resolution` .* must ascend"),
            ((4, 8), r"`resolution` \(=4\) must be from 8 to 1024"),
            ((224, 2048), r"`resolution` \(=2048\) must be from 8 to 1024"),
        ],
    )
    def test_broken_rules_are_named(self, resolution, message):
        with pytest.raises(SpecError, match=message):
            replace(TINY, resolution=resolution)


class TestRules:
    @pytest.mark.parametrize(
        ("stage", "message"),
        [
            (lambda: StageSpace((16, 8), (1,), 1, (MBConv.over(),)), "`width` .* must ascend"),
            (lambda: StageSpace((16,), (), 1, (MBConv.over(),)), "`depth` .* must ascend"),
            (lambda: StageSpace((16,), (1,), 4, (MBConv.over(),)), "`stride` .=4."),
            (lambda: StageSpace((16,), (1,), 1, ()), "`blocks` of a stage must hold at least one"),
            (lambda: MBConv.over(kernal=(3,)), "mbconv has no knob 'kernal'"),
            (lambda: MBConv.over(kernel=(3, 3)), "mbconv.kernel needs distinct choices"),
            (lambda: MBConv.over(kernel=("3",)), "`kernel` .='3'. must be of type int"),
        ],
    )
    def test_broken_rules_are_named(self, stage, message):
        with pytest.raises(SpecError, match=message):
            stage()

    def test_widths_that_a_block_cannot_take_are_found_early(self):
        stage = StageSpace((12,), (1,), 1, (FE.over(),))
        with pytest.raises(SpecError, match=r"\$.stages\[0\]: fe .* multiples of 8"):
            Space("bad", Stem(8), (8,), (stage,), Head(), (0,))


@pytest.mark.parametrize(("side", "name"), [(28, "small"), (64, "small"), (224, "mobile")])
def test_the_preset_follows_the_image(side, name):
    assert space_for((3, side, side)).name == name


@pytest.mark.parametrize("name", list(SPACES))
def test_presets_hold_all_six_blocks_in_every_stage(name):
    for stage in SPACES[name].stages:
        assert len({menu.kind for menu in stage.blocks}) == 6
