from dataclasses import replace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from evaluators.evaluator import Metric
from nas.samplers import Problem
from nas.samplers._costs import COUNTED
from nas.samplers._genome import DORMANT, Genome, parameter
from search_spaces.arch import Task
from search_spaces.blocks.mbconv import MBConv
from search_spaces.space import StageSpace
from search_spaces.spaces import SPACES

MIXED = Genome.flat(
    {
        "category": CategoricalDistribution(["a", "b", "c"]),
        "fixed": CategoricalDistribution(["only"]),
        "float": FloatDistribution(-1, 1),
        "log": FloatDistribution(1e-6, 1, log=True),
        "step": FloatDistribution(0, 1, step=0.25),
        "int": IntDistribution(3, 9, step=2),
        "log int": IntDistribution(1, 1000, log=True),
    }
)


SIZED = replace(SPACES["small"], name="sized", resolution=(32, 48, 64))
MBCONVS = MBConv.over(kernel=(3,)), MBConv.over(kernel=(5, 7), expand=(6,))
TWINS = replace(  # a kind twice in a menu
    SPACES["small"], name="twins", stages=(StageSpace((8, 16), (1, 2, 3), 2, MBCONVS),) * 2
)


@pytest.fixture(
    params=[SPACES["small"], SPACES["mobile"], SIZED, TWINS], ids=lambda space: space.name
)
def problem(request):
    task = Task(10, (3, 64, 64))
    return Problem(request.param, task, (Metric("accuracy", "max"),))


def archs(problem, rows):
    genes = {gene.name: gene for gene in problem.space.genes()}
    for row in rows:
        params = problem.genome.decode(row).items()
        values = {n: genes[n].choices[v] if genes[n].ordered else v for n, v in params}
        yield problem.space.decode(values)


class TestGenome:
    def test_rows_are_what_the_space_calls_its_architectures(self, problem):
        rows = problem.genome.sample(50, np.random.default_rng(0))
        for row, arch in zip(rows, archs(problem, rows), strict=True):
            assert (problem.row(arch) == row).all()

    def test_a_mutant_has_one_gene_changed_and_what_that_wakes(self, problem):
        rng = np.random.default_rng(0)
        parents = problem.genome.sample(200, rng)
        children = problem.genome.mutate(parents, rng)
        for child, arch in zip(children, archs(problem, children), strict=True):
            assert (problem.row(arch) == child).all()  # dormant genes sleep
        both = (parents != DORMANT) & (children != DORMANT)
        assert (((parents != children) & both).sum(axis=1) == 1).all()

    def test_any_parameters_come_back(self):
        rows = MIXED.sample(200, np.random.default_rng(0))
        for row in rows:
            params = MIXED.decode(row)
            assert MIXED.decode(MIXED.encode(params)) == pytest.approx(params)
            assert all(
                d._contains(d.to_internal_repr(params[name]))
                for name, d in MIXED.distributions.items()
            )

    def test_mutants_stay_within_any_parameters(self):
        rng = np.random.default_rng(0)
        rows = MIXED.sample(200, rng)
        mutants = MIXED.mutate(rows, rng)
        assert ((mutants != rows).sum(axis=1) == 1).all()
        assert (mutants >= 0).all()
        assert (mutants <= np.maximum(MIXED.levels - 1, 1)).all()

    def test_categories_are_all_equally_far_apart(self):
        genome = Genome.flat({"category": CategoricalDistribution(["a", "b", "c"])})
        features = genome.features(np.array([[0.0], [1.0], [2.0]]))
        apart = ((features[:, None] - features) ** 2).sum(axis=2)
        assert apart == pytest.approx(1 - np.eye(3))

    def test_values_of_a_gene_have_a_parameter(self, problem):
        gene = next(gene for gene in problem.space.genes() if gene.ordered)
        assert parameter(gene, gene.choices[1]) == 1


class TestCosts:
    def test_equal_those_of_the_architectures(self, problem):
        rows = problem.genome.sample(60, np.random.default_rng(1))
        for row, arch in zip(problem.costs(rows), archs(problem, rows), strict=True):
            cost = arch.cost(problem.task)
            assert row.tolist() == [getattr(cost, name) for name in COUNTED]
