"""This process among those that train together."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, FullyShardedDataParallelPlugin

from ..errors import TrainingConfigError
from ..modeling import VLAModel
from .configuration import TrainingConfig
from .groups import decoder_blocks

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def make_accelerator(config: TrainingConfig, model: VLAModel) -> Accelerator:
    """Join the other processes, if `torchrun` or `accelerate launch` has started any; take the GPU, if there is one.

    Raises:
        TrainingConfigError: a precision that this machine does not compute in, or fsdp for one process.
    """
    try:
        accelerator = Accelerator(
            # Not left to accelerate, which takes several processes without GPUs for so many single ones.
            cpu=not torch.cuda.is_available(),
            mixed_precision=_PRECISIONS[config.precision],
            # Towers have parts that no feature asks for: CLIP's pooled states, a vision tower's last block.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
            fsdp_plugin=_sharding(model) if config.parallel == "fsdp" else None,
        )
    except ValueError as error:
        raise TrainingConfigError(f"precision: {config.precision} cannot be had here ({error})") from error
    if config.precision == "fp16" and accelerator.device.type == "cpu":
        raise TrainingConfigError("precision: fp16 is for GPUs, on a CPU train in bf16 or fp32")
    if config.parallel == "fsdp" and accelerator.distributed_type != DistributedType.FSDP:
        raise TrainingConfigError(
            f"parallel: fsdp shards among several processes with GPUs; here is {accelerator.num_processes} x "
            f"{accelerator.device}: start it with torchrun"
        )
    return accelerator


def _sharding(model: VLAModel) -> FullyShardedDataParallelPlugin:
    """The decoder's blocks are gathered one by one, all else at once."""
    blocks = {type(block).__name__ for block in decoder_blocks(model.backbone)}
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=sorted(blocks),
        reshard_after_forward=True,
        cpu_ram_efficient_loading=False,
        state_dict_type="FULL_STATE_DICT",
    )
