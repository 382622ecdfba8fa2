from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from evaluators.augment import augment, gather, normalise
from evaluators.data import Images, Split
from evaluators.loop import Training
from evaluators.memory import keep_freed_memory, memory_suffices
from evaluators.optimizer import parameter_groups, penalised
from evaluators.recipe import Recipe, epochs_within, steps_per_epoch
from evaluators.training import evaluate, predict_logits, train, train_until_settled
from search_spaces.arch import Arch, Task
from search_spaces.errors import CandidateError, DataError, SpecError
from search_spaces.network import build
from search_spaces.shift import ActiveShift, SparseShift

SIDE = 8
TASK = Task(2, (1, SIDE, SIDE))
ARCH = Arch.from_text(
    "stem(width=8,stride=1) | stage(width=8,stride=2): mbconv(expand=3) | head(dropout=0.1)"
)
RECIPE = Recipe(epochs=3, batch=32, lr=0.4, crop=1)


def toy_split(n: int, seed: int) -> Split:
    """Noise with a bright bar, across for class 1 and upright for class 0."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (n,), generator=rng)
    images = torch.randint(100, (n, SIDE, SIDE, 1), generator=rng)
    images[labels == 1, 3:5] += 120
    images[labels == 0, :, 3:5] += 120
    return Split(images.byte().permute(0, 3, 1, 2), labels)


def toy_images(n_train: int = 250, n_val: int = 100) -> Images:
    return Images(
        name="toy",
        classes=("upright", "across"),
        train=toy_split(n_train, 0),
        val=toy_split(n_val, 1),
        test=toy_split(n_val, 2),
        mean=(0.31,),
        std=(0.23,),
    )


IMAGES = toy_images()


def toy_network(seed: int = 0) -> nn.Module:
    return build(ARCH, TASK, seed)


def fingerprint(network: nn.Module) -> float:
    return sum(float(t.double().abs().sum()) for t in network.state_dict().values())


# Learning


def test_learns_what_can_be_learned() -> None:
    network = toy_network()
    results = list(train(network, IMAGES, replace(RECIPE, epochs=8)))
    assert [result.epoch for result in results] == list(range(1, 9))
    assert results[-1].loss < 0.6 * results[0].loss
    assert results[-1].accuracy >= 0.98
    assert evaluate(network, IMAGES.test, IMAGES) >= 0.98
    assert results[-1].images_per_s > 0
    assert results[-1].seconds > 0


def test_overfits_labels_that_mean_nothing() -> None:
    split = Split(IMAGES.train.images[:32], torch.arange(32) % 2)
    images = replace(IMAGES, train=split, val=split)
    plain = Recipe(epochs=60, batch=32, lr=0.2, crop=0, flip=False, weight_decay=0)
    arch = Arch.from_text(str(ARCH).replace("dropout=0.1", "width=64,dropout=0"))
    *_, last = train(build(arch, TASK), images, plain)
    assert last.accuracy == 1


def test_network_holds_the_averaged_weights_in_evaluation_mode_after_every_epoch() -> None:
    network = toy_network()
    for result in train(network, IMAGES, RECIPE):
        assert not network.training
        assert evaluate(network, IMAGES.val, IMAGES) == result.accuracy
        if result.epoch == 2:
            break


def test_more_images_than_a_multiple_of_the_batch_and_fewer_than_a_batch() -> None:
    for n_train in (65, 20):
        *_, last = train(toy_network(), toy_images(n_train), RECIPE)
        assert math.isfinite(last.loss)


# Randomness


def test_same_seed_same_result_in_another_process() -> None:
    list(train(network := toy_network(), IMAGES, RECIPE))
    here = fingerprint(network)
    code = (
        "from importlib.util import module_from_spec, spec_from_file_location as at\n"
        f"spec = at('toy', {__file__!r})\n"
        "toy = module_from_spec(spec)\n"
        "spec.loader.exec_module(toy)\n"
        "list(toy.train(network := toy.toy_network(), toy.IMAGES, toy.RECIPE))\n"
        "print(repr(toy.fingerprint(network)))"
    )
    root = Path(__file__).parents[2]
    run = [sys.executable, "-c", code]
    there = subprocess.run(run, cwd=root, capture_output=True, text=True, check=True)
    assert float(there.stdout) == here


def test_another_seed_gives_another_result() -> None:
    prints = set()
    for seed in (0, 1):
        network = toy_network()
        list(train(network, IMAGES, replace(RECIPE, epochs=1, seed=seed)))
        prints.add(fingerprint(network))
    assert len(prints) == 2


def test_the_callers_randomness_is_neither_used_nor_changed() -> None:
    prints = set()
    for caller in (1, 2):
        torch.manual_seed(caller)
        before = torch.get_rng_state()
        list(train(network := toy_network(), IMAGES, replace(RECIPE, epochs=1)))
        assert torch.equal(before, torch.get_rng_state())
        prints.add(fingerprint(network))
    assert len(prints) == 1


# Failures


def test_divergence_is_the_candidates_failure() -> None:
    with pytest.raises(CandidateError, match=r"diverged in epoch \d: the loss is .*lower `lr`"):
        list(train(toy_network(), IMAGES, replace(RECIPE, lr=1e30, momentum=0)))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
)
def test_lack_of_memory_is_the_candidates_failure(error: Exception) -> None:
    with pytest.raises(CandidateError, match="smaller `batch`"), memory_suffices():
        raise error


def test_a_real_lack_of_memory_is_recognised() -> None:
    with pytest.raises(CandidateError, match="not enough memory"), memory_suffices():
        torch.empty(1 << 50)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="ours") as caught, memory_suffices():
        raise RuntimeError("a bug of ours")
    assert not isinstance(caught.value, CandidateError)


def test_freed_memory_is_kept_on_linux() -> None:
    assert keep_freed_memory() or sys.platform != "linux"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch", 1),
        ("seed", 1 << 32),
        ("lr", 0.0),
        ("lr", math.inf),
        ("momentum", 1.0),
        ("crop", -1),
        ("weight_decay", -1.0),
        ("shift_penalty", -1.0),
        ("shift_penalty", math.nan),
        ("shift_norm", "l3"),
    ],
)
def test_recipe_refuses_what_cannot_work(field: str, value: float | str) -> None:
    with pytest.raises(SpecError, match=rf"`{field}` \(={value!r}\) must"):
        replace(RECIPE, **dict[str, Any]({field: value}))


# Checkpoints


def test_going_on_from_a_checkpoint_equals_not_having_stopped(tmp_path: Path) -> None:
    whole, path = toy_network(), tmp_path / "new" / "toy.ckpt"
    expected = list(train(whole, IMAGES, RECIPE))
    assert next(train(toy_network(), IMAGES, RECIPE, checkpoint=path)).epoch == 1
    resumed = toy_network(seed=5)
    results = list(train(resumed, IMAGES, RECIPE, checkpoint=path))
    for result, other in zip(results, expected[1:], strict=True):
        assert (result.epoch, result.loss, result.accuracy) == (
            (other.epoch, other.loss, other.accuracy)
        )
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [file.name for file in path.parent.iterdir()] == ["toy.ckpt"]


def test_a_finished_checkpoint_gives_its_weights_back(tmp_path: Path) -> None:
    path = tmp_path / "toy.ckpt"
    list(train(first := toy_network(), IMAGES, RECIPE, checkpoint=path))
    assert list(train(second := toy_network(5), IMAGES, RECIPE, checkpoint=path)) == []
    assert fingerprint(first) == fingerprint(second)


def test_foreign_and_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.ckpt"
    next(train(toy_network(), IMAGES, RECIPE, checkpoint=path))
    with pytest.raises(SpecError, match="the checkpoint's recipe is"):
        next(train(toy_network(), IMAGES, replace(RECIPE, lr=0.01), checkpoint=path))
    other = build(Arch.from_text(str(ARCH).replace("width=8", "width=16")), TASK)
    with pytest.raises(SpecError, match="another network"):
        next(train(other, IMAGES, RECIPE, checkpoint=path))
    for content in (path.read_bytes()[:-100], b"", b"no checkpoint"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="damaged or no checkpoint"):
            next(train(toy_network(), IMAGES, RECIPE, checkpoint=path))


# Settling


def test_settles_in_the_second_half_and_keeps_the_best_epoch() -> None:
    recipe = replace(RECIPE, epochs=40)
    network = toy_network()
    results = list(train_until_settled(network, IMAGES, recipe, patience=2))
    best = max(results, key=lambda result: result.accuracy)  # the first of equals
    assert 40 * 1.1 / 2 < len(results) < 40
    assert len(results) - best.epoch >= 2
    assert evaluate(network, IMAGES.val, IMAGES) == best.accuracy


def test_a_settled_checkpoint_stays_settled(tmp_path: Path) -> None:
    path, recipe = tmp_path / "toy.ckpt", replace(RECIPE, epochs=30)
    first, second = toy_network(), toy_network(5)
    shown = list(train_until_settled(first, IMAGES, recipe, patience=1, checkpoint=path))
    assert len(shown) < 30
    assert not list(train_until_settled(second, IMAGES, recipe, patience=1, checkpoint=path))
    assert fingerprint(first) == fingerprint(second)


def test_does_not_settle_early_with_patience() -> None:
    assert len(list(train_until_settled(toy_network(), IMAGES, RECIPE, patience=5))) == 3


# Schedules


def test_learning_rate_in_closed_form() -> None:
    recipe = Recipe(lr=0.4, batch=64, warmup=0.1)
    rates = [recipe.lr_at(step, 100) for step in range(100)]
    assert recipe.peak_lr == 0.2
    assert rates[0] == pytest.approx(0.02)
    assert rates[9] == 0.2 == max(rates)
    assert rates[54] == pytest.approx(0.1 * (1 + math.cos(math.pi * 45 / 91)))
    assert rates[99] == pytest.approx(0.1 * (1 + math.cos(math.pi * 90 / 91)))
    assert 0 < rates[99] < 0.001
    assert rates[9:] == sorted(rates[9:], reverse=True)


def test_a_single_step_learns_without_warm_up() -> None:
    assert Recipe(warmup=0).lr_at(0, 1) > 0
    assert Recipe().lr_at(0, 1) > 0


def test_average_warms_up() -> None:
    recipe = Recipe(ema_decay=0.99)
    assert recipe.ema_decay_at(0) == 0.1
    assert recipe.ema_decay_at(90) == 0.91
    assert recipe.ema_decay_at(10_000) == 0.99


def test_epochs_within_a_time() -> None:
    assert epochs_within(60, 1_000, 10_000) == 6
    assert epochs_within(1, 1_000, 10_000) == 1


def test_batches_are_balanced() -> None:
    assert steps_per_epoch(250, 32) == 8
    assert {len(batch) for batch in torch.arange(250).tensor_split(8)} == {31, 32}


# The step


def slow_epoch(network: nn.Module, recipe: Recipe) -> dict[str, torch.Tensor]:
    """One epoch as a textbook has it, without dropout or augmentation; return the average."""
    average = {name: value.clone() for name, value in network.state_dict().items()}
    decays = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim == 1]
    groups: list[dict[str, Any]] = [
        {"params": decays, "weight_decay": recipe.weight_decay},
        {"params": rest},
    ]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=recipe.momentum, nesterov=True)
    order = torch.randperm(len(IMAGES.train), generator=torch.Generator().manual_seed(0))
    steps = steps_per_epoch(len(order), recipe.batch)
    network.train()
    for step, index in enumerate(order.tensor_split(steps)):
        x = (IMAGES.train.images[index] / 255 - IMAGES.mean[0]) / IMAGES.std[0]
        scores = network(x)
        target = F.one_hot(IMAGES.train.labels[index], 2) * 0.9 + 0.05
        loss = -(target * scores.log_softmax(1)).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(step, steps * recipe.epochs)
        optimizer.step()
        keep = recipe.ema_decay_at(step)
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                average[name] = keep * average[name] + (1 - keep) * value
    return average


def test_an_epoch_equals_the_textbook(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = Arch.from_text(str(ARCH).replace("dropout=0.1", "dropout=0"))
    recipe = Recipe(epochs=4, batch=64, lr=0.1, crop=0, flip=False)
    order = torch.randperm(len(IMAGES.train), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: order)
    next(train(network := build(arch, TASK), IMAGES, recipe))
    for name, value in slow_epoch(build(arch, TASK), recipe).items():
        if value.is_floating_point():
            torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-3, atol=1e-4)


class ShiftNet(nn.Module):
    """Every kind of parameter that is treated in a way of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 18, 3, padding=1)
        self.norm = nn.BatchNorm2d(18)
        self.slope = nn.PReLU(18)
        self.active, self.sparse = ActiveShift(18), SparseShift(18)
        self.classify = nn.Linear(18, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.sparse(self.active(self.slope(self.norm(self.conv(x)))))
        return self.classify(y.mean((2, 3)))  # type: ignore[no-any-return]


def test_parameter_groups() -> None:
    network, recipe = ShiftNet(), Recipe(weight_decay=0.01)
    found = {
        id(parameter): (group["lr_scale"], group["weight_decay"])
        for group in parameter_groups(network, recipe)
        for parameter in group["params"]
    }
    expected = dict.fromkeys(dict(network.named_parameters()), (1.0, 0.0))
    expected |= dict.fromkeys(("conv.weight", "classify.weight"), (1.0, 0.01))
    expected |= dict.fromkeys(("active.alpha", "active.beta"), (0.01, 0.0))
    assert {n: found[id(p)] for n, p in network.named_parameters()} == expected


def test_clipping_leaves_normalised_shifts_out() -> None:
    """Their gradients neither count towards the longest one nor become shorter."""
    steps = []
    for clip in (0.0, 1e-3):
        torch.manual_seed(0)
        recipe = replace(RECIPE, batch=250, warmup=0, momentum=0, weight_decay=0, clip=clip)
        training = Training(ShiftNet(), IMAGES, replace(recipe, shift_penalty=0))
        before = {n: p.detach().clone() for n, p in training.network.named_parameters()}
        training.run_epoch()
        after = training.network.named_parameters()
        steps.append({n: (p.detach() - before[n]) / recipe.lr_at(0, 3) for n, p in after})
    free, clipped = steps
    for name in ("active.alpha", "active.beta"):
        torch.testing.assert_close(clipped.pop(name), free.pop(name))
    assert torch.stack([s.norm() for s in clipped.values()]).norm() == pytest.approx(1e-3, rel=0.01)
    assert torch.stack([s.norm() for s in free.values()]).norm() > 1e-2


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_penalty_is_part_of_the_loss(norm: str) -> None:
    """The first step moves the offsets by the penalty's gradient further than without it."""
    recipe = replace(RECIPE, batch=250, epochs=9, warmup=0, momentum=0, shift_norm=norm)
    offsets = []
    for factor in (0.0, 0.02):
        torch.manual_seed(0)
        network = ShiftNet()
        begun = network.sparse.a.data.mul_(0.6).clone()
        training = Training(network, IMAGES, replace(recipe, shift_penalty=factor))
        training.run_epoch()
        offsets.append(training.network.sparse.a.detach())
    pull = recipe.lr_at(0, 9) * 0.02 * (begun.sign() if norm == "l1" else begun)
    torch.testing.assert_close(offsets[0] - offsets[1], pull, atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_sparse_shifts_are_penalised_and_freeze_half_way(norm: str) -> None:
    torch.manual_seed(0)
    network = ShiftNet()
    assert penalised(network) == [network.sparse]
    recipe = replace(RECIPE, epochs=4, shift_penalty=0.1, shift_norm=norm)
    training = Training(network, IMAGES, recipe)
    (moving,) = penalised(training.network)
    sizes = [moving.penalty(norm).item()]
    for _ in range(4):
        training.run_epoch()
        sizes.append(moving.penalty(norm).item())
    assert sizes[0] > sizes[1] > sizes[2] == sizes[3] == sizes[4]


# Augmentation


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def colour_batch(n: int = 64) -> torch.Tensor:
    """(n, 3, 8, 6), channels-last; every pixel of image i is i + 1."""
    return (
        (torch.arange(n) + 1)
        .byte()
        .expand(8, 6, 3, n)
        .permute(3, 2, 0, 1)
        .contiguous(memory_format=torch.channels_last)
    )


@pytest.mark.parametrize("change", [{"crop": 2}, {"flip": True}, {"erase": 0.5}])
def test_augmentation_keeps_what_it_must(change: dict[str, Any], rng: torch.Generator) -> None:
    batch = colour_batch()
    recipe = replace(Recipe(crop=0, flip=False), **change)
    changed = augment(batch, recipe, rng)
    assert changed.shape == batch.shape
    assert changed.dtype == torch.uint8
    assert changed.is_contiguous(memory_format=torch.channels_last)
    # Order is kept: image i shows its own colour or the black from outside, nothing of another.
    assert ((changed == batch) | (changed == 0)).all()
    assert (changed == batch).flatten(1).any(1).all()
    assert torch.equal(batch, colour_batch())


def test_crop_is_one_of_the_shifted_images(rng: torch.Generator) -> None:
    batch = torch.randint(1, 256, (50, 3, 8, 6), dtype=torch.uint8, generator=rng)
    padded = F.pad(batch, (1, 1, 1, 1))
    seen = set()
    for i, moved in enumerate(augment(batch, Recipe(crop=1, flip=False), rng)):
        fits = [
            (y, x)
            for y in range(3)
            for x in range(3)
            if torch.equal(moved, padded[i, :, y : y + 8, x : x + 6])
        ]
        assert len(fits) == 1
        seen.update(fits)
    assert len(seen) == 9


def test_flip_mirrors_about_half_of_the_images(rng: torch.Generator) -> None:
    batch = torch.randint(256, (200, 1, 8, 6), dtype=torch.uint8, generator=rng)
    changed = augment(batch, Recipe(crop=0, flip=True), rng)
    kept = (changed == batch).flatten(1).all(1)
    mirrored = (changed == batch.flip(3)).flatten(1).all(1)
    assert (kept | mirrored).all()
    assert 70 < mirrored.sum() < 130


def test_erased_squares_lie_anywhere_and_have_the_size(rng: torch.Generator) -> None:
    batch = torch.full((500, 1, 8, 8), 9, dtype=torch.uint8)
    holes = augment(batch, Recipe(crop=0, flip=False, erase=0.5), rng) == 0
    assert holes.sum((1, 2, 3)).max() == 16
    assert holes.any(0).all()
    assert torch.equal(holes, (holes.any(3, keepdim=True) & holes.any(2, keepdim=True)))


def test_gather_and_normalise_equal_the_obvious(rng: torch.Generator) -> None:
    index = torch.randperm(250, generator=rng)[:40]
    batch = gather(IMAGES.train.images, index)
    assert torch.equal(batch, IMAGES.train.images[index])
    expected = (batch.double() / 255 - IMAGES.mean[0]) / IMAGES.std[0]
    torch.testing.assert_close(normalise(batch, IMAGES).double(), expected, rtol=1e-5, atol=1e-5)


# Prediction


def test_evaluate_equals_a_slow_loop() -> None:
    network = toy_network().train()
    images = toy_images(n_val=300)  # more than one batch
    before = fingerprint(network)
    logits = predict_logits(network, images.val, images)
    accuracy = evaluate(network, images.val, images)
    assert network.training
    assert fingerprint(network) == before
    network.eval()
    right = 0
    for i in range(300):
        x = normalise(images.val.images[i : i + 1], images)
        scores = network(x)
        torch.testing.assert_close(logits[i], scores[0], rtol=1e-4, atol=1e-5)
        right += int(scores.argmax() == images.val.labels[i])
    assert accuracy == right / 300
