"""Optimizer, learning-rate schedule and checkpoints that resume: shared by both stages of training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from ..errors import DataError
from .configuration import OptimizerConfig


def make_optimizer(modules: Iterable[nn.Module], config: OptimizerConfig) -> tuple[AdamW, LambdaLR]:
    """AdamW (weight decay on matrices only) with linear warm-up and cosine decay to zero over `config.steps`."""
    parameters = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))

    def scale(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))

    return optimizer, LambdaLR(optimizer, scale)


class Checkpoint:
    """One file that holds a stage's modules, optimizer, schedule and step; written aside, then renamed.

    Batches are drawn from generators seeded by (seed, step), so that a resumed run sees what an unbroken one would.
    """

    def __init__(self, path: Path, modules: dict[str, nn.Module], optimizer: AdamW, schedule: LambdaLR) -> None:
        self.path = path
        self.modules = modules
        self.optimizer = optimizer
        self.schedule = schedule

    def save(self, step: int) -> None:
        """Write the state after `step` optimizer steps."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".part")
        state = {
            "step": step,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        torch.save(state, temporary)
        temporary.replace(self.path)

    def resume(self) -> int:
        """Load the file if there is one; the number of steps already done.

        Raises:
            DataError: the file does not fit this model (delete it to begin anew).
        """
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True)
        try:
            for name, module in self.modules.items():
                module.load_state_dict(state["modules"][name])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise DataError(f"checkpoint {self.path} is of another configuration; delete it ({error})") from error
        return int(state["step"])


def optimizer_step(loss: Tensor, optimizer: AdamW, schedule: LambdaLR, gradient_norm: float) -> None:
    """Backward, clip, step.

    Raises:
        FloatingPointError: the loss is not finite; nothing is changed then.
    """
    if not bool(torch.isfinite(loss)):
        raise FloatingPointError(f"the training loss is {float(loss)}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    nn.utils.clip_grad_norm_(parameters, gradient_norm)
    optimizer.step()
    schedule.step()
