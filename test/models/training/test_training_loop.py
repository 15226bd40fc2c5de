"""The loop: exact resumption, parts of batches, guards, averages, patience."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toys import Drawn, Toy, optimizer, run, same, stage, weights

from mobile_vla_models import DataError, TrainingConfigError
from mobile_vla_models.training.errors import InterruptedTrainingError, NotFiniteError
from mobile_vla_models.training.loop import Trainer
from mobile_vla_models.training.optimization import make_optimizer, scale
from mobile_vla_models.training.sampling import Order, part_of


def trained(folder: Path, batches: Drawn | None = None, seed: int = 0, **changes: Any) -> dict[str, torch.Tensor]:
    toy = Toy()
    Trainer(stage(toy, batches, **changes), run(folder, seed)).run()
    return weights(toy)


class Interrupting(Drawn):
    """Batches of which one brings a signal with it."""

    def __init__(self, size: int, step: int, number: int) -> None:
        super().__init__(size)
        self.step, self.number = step, number

    def __call__(self, step: int, part: int, parts: int) -> Any:
        if step == self.step:
            os.kill(os.getpid(), self.number)
        return super().__call__(step, part, parts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_an_interrupted_stage_goes_on_to_the_same_bits(tmp_path: Path, number: int, ema: float | None) -> None:
    config = optimizer(ema=ema)
    unbroken = trained(tmp_path / "unbroken", config=config)
    before = signal.getsignal(number)
    with pytest.raises(InterruptedTrainingError, match="after step 4 of 6 of toy"):
        trained(tmp_path / "broken", Interrupting(8, 3, number), config=config)
    assert signal.getsignal(number) is before
    batches = Drawn(8)
    resumed = trained(tmp_path / "broken", batches, config=config)
    assert batches.asked == [(4, 0, 1), (5, 0, 1)]
    assert same(unbroken, resumed)
    assert not same(unbroken, trained(tmp_path / "other", config=config, seed=1)), "dropout is of the seed"


def test_a_killed_stage_repeats_what_no_checkpoint_holds(tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError):
        trained(tmp_path / "broken", Drawn(8, spoilt=(5 * 8 + 2,)))
    batches = Drawn(8)
    assert same(trained(tmp_path / "broken", batches), trained(tmp_path / "unbroken"))
    assert batches.asked[0] == (4, 0, 1)


def test_a_finished_stage_is_not_repeated(tmp_path: Path) -> None:
    first = trained(tmp_path)
    batches = Drawn(8)
    assert same(first, trained(tmp_path, batches))
    assert batches.asked == []


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    trained(tmp_path)
    with pytest.raises(DataError, match=r"toy\.pt is of another configuration"):
        trained(tmp_path, config=optimizer(learning_rate=0.01))


@pytest.mark.parametrize("size", [0, 10, 500])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, size: int) -> None:
    trained(tmp_path)
    path = tmp_path / "checkpoints" / "toy.pt"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"toy\.pt cannot be used; delete it"):
        trained(tmp_path)


def test_accumulated_parts_are_one_batch(tmp_path: Path) -> None:
    """Without dropout, whose draws are of the parts."""
    found = []
    for parts in (1, 2, 4):
        toy = Toy(dropout=0.0)
        batches = Drawn(8)
        Trainer(stage(toy, batches, config=optimizer(accumulation=parts)), run(tmp_path / str(parts))).run()
        assert batches.asked[:parts] == [(0, part, parts) for part in range(parts)]
        found.append(weights(toy))
    for other in found[1:]:
        for name, value in found[0].items():
            torch.testing.assert_close(value, other[name])


def test_a_batch_that_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingConfigError, match="a batch of 8 cannot be cut into 3 parts"):
        trained(tmp_path, config=optimizer(accumulation=3))


def test_a_loss_that_is_no_number_names_its_batch_and_saves_nothing(tmp_path: Path) -> None:
    toy = Toy()
    with pytest.raises(NotFiniteError, match=r"toy step 2: loss is nan on the batch row 12, row 13, row 14, row 15$"):
        Trainer(
            stage(toy, Drawn(8, spoilt=(13,)), config=optimizer(accumulation=2)), run(tmp_path, checkpoint_every=1)
        ).run()
    assert torch.load(tmp_path / "checkpoints" / "toy.pt", weights_only=True)["progress"]["step"] == 1
    assert all(bool(value.isfinite().all()) for value in weights(toy).values())


class Steep(nn.Module):
    """A finite loss whose gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        return {"loss": self.weight.sqrt().sum()}


def test_a_gradient_that_is_no_number_changes_nothing(tmp_path: Path) -> None:
    steep: Any = Steep()
    with pytest.raises(NotFiniteError, match=r"toy step 1: gradient is inf on the batch row 0, .* row 7$"):
        Trainer(stage(steep), run(tmp_path)).run()
    assert not bool(steep.weight.any())
    assert not (tmp_path / "checkpoints").exists()


def test_gradients_are_clipped(tmp_path: Path) -> None:
    """A loss a million times as steep gives the same step if, and only if, both gradients are cut to one length."""
    steps = []
    for steepness in (1.0, 1e6):
        toy = Toy(dropout=0.0, scale=steepness)
        toy.frozen.weight.grad = torch.full((2, 2), 1e3)  # left by an earlier stage
        trainer = Trainer(stage(toy, config=optimizer(gradient_norm=1e-3)), run(tmp_path))
        trainer.step(0, iter([Drawn(8)(0, 0, 1)]))
        gradients = [parameter.grad for parameter in toy.layers.parameters() if parameter.grad is not None]
        assert float(torch.stack([gradient.norm() for gradient in gradients]).norm()) == pytest.approx(1e-3, rel=1e-3)
        steps.append(weights(toy))
    for name, value in steps[0].items():
        torch.testing.assert_close(value, steps[1][name], rtol=1e-4, atol=1e-6)


def test_the_average_is_what_is_kept_and_left(tmp_path: Path) -> None:
    kept: list[dict[str, torch.Tensor]] = []
    seen: list[dict[str, torch.Tensor]] = []

    class Watching(Drawn):
        def __call__(self, step: int, part: int, parts: int) -> Any:
            seen.append(weights(toy))
            return super().__call__(step, part, parts)

    toy = Toy()
    Trainer(
        stage(
            toy,
            Watching(8),
            config=optimizer(ema=0.5, steps=3),
            keep=lambda module, step, metrics, best: kept.append(weights(toy)),
        ),
        run(tmp_path),
    ).run()
    assert same(kept[-1], weights(toy))
    raw = torch.load(tmp_path / "checkpoints" / "toy.pt", weights_only=True)["weights"]
    name = "layers.0.weight"
    average = seen[0][name]
    for step, after in enumerate([seen[1][name], seen[2][name], raw[name]]):
        average = average.lerp(after, 1.0 - min(0.5, (1 + step) / (10 + step)))
    torch.testing.assert_close(kept[-1][name], average)
    assert not torch.equal(average, raw[name])


def test_patience_ends_a_stage_and_the_best_is_said(tmp_path: Path) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.0, 9.0, 9.0])
    kept: list[tuple[int, bool]] = []
    toy, batches = Toy(), Drawn(8)
    metrics = {"config": optimizer(steps=30), "validate_every": 2, "patience": 2}
    keep = {"keep": lambda module, step, metrics, best: kept.append((step, best))}
    Trainer(stage(toy, batches, validate=lambda _: {"loss": next(losses)}, **metrics, **keep), run(tmp_path)).run()
    assert kept == [(2, True), (4, True), (6, False), (8, False)]
    assert len(batches.asked) == 8
    again = Drawn(8)
    Trainer(stage(Toy(), again, validate=lambda _: {"loss": 0.0}, **metrics), run(tmp_path)).run()
    assert again.asked == [], "a stage that ran out of patience is finished"


def test_frozen_parameters_stay_and_are_not_stored(tmp_path: Path) -> None:
    before, after = weights(Toy()), trained(tmp_path)
    assert torch.equal(before["frozen.weight"], after["frozen.weight"])
    assert not torch.equal(before["layers.0.weight"], after["layers.0.weight"])
    stored = torch.load(tmp_path / "checkpoints" / "toy.pt", weights_only=True)["weights"]
    assert not any(name.startswith("frozen") for name in stored)


def test_one_batch_is_overfitted(tmp_path: Path) -> None:
    class Same(Drawn):
        def __call__(self, step: int, part: int, parts: int) -> Any:
            return super().__call__(0, part, parts)

    toy = Toy(dropout=0.0)
    Trainer(stage(toy, Same(8), config=optimizer(steps=300)), run(tmp_path)).run()
    assert float(toy(Drawn(8)(0, 0, 1))["loss"]) < 1e-3


def test_vectors_do_not_decay_and_groups_have_their_rates() -> None:
    toy = Toy()
    groups = {"head": {"w": toy.layers[3].weight, "b": toy.layers[3].bias}, "clip": dict(toy.frozen.named_parameters())}
    made = make_optimizer(toy, groups, optimizer(learning_rates={"head": 0.5}))
    found = {id(p): (group["lr"], group["weight_decay"]) for group in made.param_groups for p in group["params"]}
    assert found[id(toy.layers[0].weight)] == (0.05, 0.1)
    assert found[id(toy.layers[0].bias)] == (0.05, 0.0)
    assert found[id(toy.layers[3].weight)] == (0.5, 0.1)
    assert found[id(toy.layers[3].bias)] == (0.5, 0.0)
    assert id(toy.frozen.weight) not in found
    with pytest.raises(TrainingConfigError, match="names clip, of which nothing trains"):
        make_optimizer(toy, groups, optimizer(learning_rates={"clip": 0.5}))


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = optimizer(steps=100, warmup_steps=10)
    rates = [scale(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_an_epoch_holds_every_frame_once_whatever_is_asked_first() -> None:
    frames = np.array([2, 3, 5, 7, 11])
    order = Order(frames, None, seed=3)
    epochs = [order.between(5 * epoch, 5 * epoch + 5) for epoch in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == frames.tolist()
    assert not all(np.array_equal(epoch, epochs[0]) for epoch in epochs)
    np.testing.assert_array_equal(Order(frames, None, seed=3).between(3, 13), np.concatenate(epochs)[3:13])
    drawn = Order(frames, np.array([0.5, 0.5, 0, 0, 0]), seed=3).between(0, 500)
    assert set(drawn.tolist()) == {2, 3}
    parts = [place for part in range(4) for place in part_of(12, part, 4)]
    assert parts == list(range(12))
