"""A small objective and its batches, to watch the loop with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from rich.console import Console
from torch import Tensor, nn

from mobile_vla_models.training.configuration import OptimizerConfig
from mobile_vla_models.training.loop import Run, Stage

OPTIMIZER = {
    "steps": 6,
    "batch_size": 8,
    "learning_rate": 0.05,
    "warmup_steps": 2,
    "weight_decay": 0.1,
    "gradient_norm": 1.0,
}


@dataclass(frozen=True)
class Pairs:
    origin: tuple[str, ...]
    x: Tensor
    y: Tensor

    def to(self, device: torch.device) -> Pairs:
        return replace(self, x=self.x.to(device), y=self.y.to(device))


class Drawn:
    """Batches of y = 3 x_0, rows numbered through; `spoilt` are rows of nothing that is a number."""

    def __init__(self, size: int, spoilt: tuple[int, ...] = ()) -> None:
        self.size, self.spoilt = size, spoilt
        self.asked: list[tuple[int, int, int]] = []

    def __call__(self, step: int, part: int, parts: int) -> Pairs:
        self.asked.append((step, part, parts))
        count = self.size // parts
        rows = range(step * self.size + part * count, step * self.size + (part + 1) * count)
        x = torch.stack([torch.randn(4, generator=torch.Generator().manual_seed(row)) for row in rows])
        y = 3.0 * x[:, :1]
        for place, row in enumerate(rows):
            if row in self.spoilt:
                y[place] = float("nan")
        return Pairs(tuple(f"row {row}" for row in rows), x, y)


class Toy(nn.Module):
    """Layers with dropout, and one that no loss depends on."""

    def __init__(self, dropout: float = 0.2, scale: float = 1.0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))
            self.unused = nn.Linear(3, 3)
            self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self._scale = scale

    def forward(self, batch: Pairs) -> dict[str, Tensor]:
        return {"loss": self._scale * (self.layers(batch.x) - batch.y).square().mean()}


def optimizer(**changes: Any) -> OptimizerConfig:
    return OptimizerConfig.model_validate({**OPTIMIZER, **changes})


def stage(toy: Toy, batches: Drawn | None = None, **changes: Any) -> Stage:
    held_out = Drawn(32)(1000, 0, 1)
    given: dict[str, Any] = {
        "config": optimizer(),
        "validate_every": 3,
        "validate": lambda module: {"loss": float(module(held_out)["loss"])},
        **changes,
    }
    found = batches if batches is not None else Drawn(given["config"].batch_size)
    return Stage(name="toy", objective=toy, batches=found, groups={}, **given)


def run(folder: Path, seed: int = 0, checkpoint_every: int = 2) -> Run:
    AcceleratorState._reset_state(True)
    return Run(
        accelerator=Accelerator(cpu=True),
        console=Console(quiet=True),
        folder=folder,
        seed=seed,
        workers=0,
        checkpoint_every=checkpoint_every,
        fingerprint="toy",
    )


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


Validate = Callable[[nn.Module], dict[str, float]]
