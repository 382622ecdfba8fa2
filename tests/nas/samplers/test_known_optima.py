"""Problems whose best is known in closed form: `auto` finds all of it, and soon."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from evaluators.evaluator import Metric
from nas.pareto import hypervolume
from nas.samplers import Problem
from nas.samplers._gaussian import GaussianProcess, learn, normal_scores
from nas.samplers.auto import CHILDREN, FRESH, PARENTS, AutoSampler
from nas.study import Study
from search_spaces.arch import Task
from search_spaces.spaces import SPACES

PLACES = 6
WORTH = np.array([5.0, 4.0, 3.0, 2.5, 1.5, 1.0])
CATEGORIES = {f"x{i}": CategoricalDistribution(["a", "b", "c"]) for i in range(PLACES)}


def searched(objective, trials, directions, distributions=CATEGORIES, seed=0):
    study = optuna.create_study(directions=directions, sampler=AutoSampler(seed=seed))
    for _ in range(trials):
        trial = study.ask(distributions)
        values, constraints = objective(trial.params)
        for name, value in constraints.items():
            trial.set_constraint(name, value)
        study.tell(trial, values)
    return study


def has_b(params):
    return np.array([params[f"x{i}"] == "b" for i in range(PLACES)])


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_729(seed):
    study = searched(lambda p: ([float(WORTH @ has_b(p))], {}), 40, ["maximize"], seed=seed)
    assert study.best_value == WORTH.sum()


def test_the_best_of_a_million_numbers():
    sizes = {f"x{i}": IntDistribution(0, 9) for i in range(PLACES)}
    goal = np.array([1, 3, 5, 7, 9, 2])

    def objective(params):
        return [float(np.abs(np.array([params[n] for n in sizes]) - goal).sum())], {}

    study = searched(objective, 120, ["minimize"], sizes)
    assert study.best_value <= 1


@pytest.mark.parametrize("seed", range(2))
def test_the_front(seed):
    """The k most worthy places hold b, for every k: 7 points of 729."""

    def objective(params):
        return [float(WORTH @ has_b(params)), float(has_b(params).sum())], {}

    study = searched(objective, 80, ["maximize", "minimize"], seed=seed)
    whole = [(WORTH[:k].sum(), k) for k in range(PLACES + 1)]
    volumes = [
        hypervolume(points, (0, PLACES), ("max", "min"))
        for points in ([trial.values for trial in study.best_trials], whole)
    ]
    assert volumes[0] >= 0.97 * volumes[1]


def test_the_best_within_a_constraint():
    def objective(params):
        return [float(WORTH @ has_b(params))], {"count": float(has_b(params).sum()) - 3}

    study = searched(objective, 50, ["maximize"])
    assert study.best_value == WORTH[:3].sum()
    broken = [trial.constraints["count"] > 0 for trial in study.trials]
    assert sum(broken[25:]) < sum(broken[:25])  # it learns where the limit is


def test_where_nothing_is_feasible_it_goes_on_from_the_least_that_is_broken(monkeypatch):
    """Nothing is; all six b come nearest. And a pool does not grow with the trials."""
    sizes, pool = [], AutoSampler._pool

    def counted(*arguments):
        sizes.append(len(found := pool(*arguments)))
        return found

    monkeypatch.setattr(AutoSampler, "_pool", counted)

    def objective(params):
        return [0.0], {"missing": 1 + float(PLACES - has_b(params).sum())}

    study = searched(objective, 50, ["maximize"])
    assert min(trial.constraints["missing"] for trial in study.trials) == 1
    assert max(sizes) <= FRESH + 1.5 * PARENTS * CHILDREN


def test_what_follows_exactly_is_not_learned():
    """After 60 candidates out of 10**13 there is a smaller one than among 1,000 random ones."""
    space, task = SPACES["small"], Task(10, (1, 28, 28))
    study = Study(space, task, (Metric("params", "min"),), seed=0)
    for candidate in study:
        study.tell(candidate, "complete", {"params": float(candidate.cost.params)})
        if study.asked == 60:
            break
    problem = Problem(space, task, ())
    random = problem.costs(problem.genome.sample(1_000, np.random.default_rng(0)))
    assert study.frame()["params"].min() < random[:, 0].min()


class TestGaussianProcess:
    def test_scores_are_in_order_and_ties_are_equal(self):
        scores = normal_scores(np.array([3.0, 1.0, 2.0, 2.0, 100.0]))
        assert scores[1] < scores[2] == scores[3] < scores[0] < scores[4]
        assert scores.mean() == pytest.approx(0, abs=0.05)

    def test_it_knows_what_it_was_told_and_doubts_the_rest(self):
        x = np.linspace(0, 1, 9)[:, None]
        y = np.sin(6 * x[:, 0])
        process = GaussianProcess(x, y, np.empty((0, 1)), np.array([20.0]), 1e-6)
        mean, doubt = process.predict(x)
        assert mean == pytest.approx(y, abs=1e-3)
        assert doubt.max() < 0.01 < process.predict(np.array([[3.0]]))[1][0]

    def test_what_is_pending_takes_doubt_but_no_hope(self):
        x, y, at = np.array([[0.0], [1.0]]), np.array([1.0, -1.0]), np.array([[0.4], [0.5]])
        before = GaussianProcess(x, y, np.empty((0, 1)), np.array([2.0]), 1e-3).predict(at)
        after = GaussianProcess(x, y, at[1:], np.array([2.0]), 1e-3).predict(at)
        assert after[0] == pytest.approx(before[0])
        assert (after[1] < before[1]).all()

    def test_groups_that_do_not_matter_weigh_less(self):
        rng = np.random.default_rng(0)
        x = rng.random((80, 4))
        weights, noise = learn(x, np.sin(5 * x[:, 0]), np.array([0, 1, 2, 2]))
        assert weights[0] > 10 * weights[1:].max()
        assert weights[2] == weights[3]
        assert noise < 0.1
