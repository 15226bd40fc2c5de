"""The optimizer and its learning rate, which is a function of the step alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import nn
from torch.optim import AdamW, Optimizer

from ..errors import TrainingConfigError
from .configuration import OptimizerConfig

_BASE = "base_lr"


def make_optimizer(
    module: nn.Module, groups: Mapping[str, Mapping[str, nn.Parameter]], config: OptimizerConfig
) -> AdamW:
    """AdamW over the parameters of `module` that require a gradient.

    Args:
        module: that trains.
        groups: its parameters by the names that `config.learning_rates` knows; others have the common rate.
        config: rates and decay.

    Raises:
        TrainingConfigError: a learning rate for a group that does not train.
    """
    rates: dict[int, float] = {}
    for name, rate in config.learning_rates.items():
        members = [parameter for parameter in groups.get(name, {}).values() if parameter.requires_grad]
        if not members:
            raise TrainingConfigError(f"optimizer.learning_rates names {name}, of which nothing trains")
        rates |= {id(parameter): rate for parameter in members}
    sorted_by: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in module.parameters():
        if parameter.requires_grad:
            rate = rates.get(id(parameter), config.learning_rate)
            decay = config.weight_decay if parameter.ndim >= 2 else 0.0
            sorted_by.setdefault((rate, decay), []).append(parameter)
    return AdamW(
        [
            {"params": members, "lr": rate, _BASE: rate, "weight_decay": decay}
            for (rate, decay), members in sorted_by.items()
        ],
        betas=(0.9, 0.98),
    )


def set_learning_rate(optimizer: Optimizer, config: OptimizerConfig, step: int) -> None:
    """Set every group's rate for the step that follows `step` finished ones."""
    for group in optimizer.param_groups:
        group["lr"] = group[_BASE] * scale(config, step)


def scale(config: OptimizerConfig, step: int) -> float:
    """Linear warm-up, then cosine decay to zero."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
