"""Two processes train what one trains with twice the accumulation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from recordings import write_bag
from tiny import tiny_policy
from trainings import document, live, write

from mobile_vla_models import TrainingConfigError, VLAPolicy
from mobile_vla_models.training import train

LORA = {"rank": 2, "alpha": 4.0, "dropout": 0.1, "groups": ["decoder"]}


def content(folder: Path, parallel: str, accumulation: int) -> dict[str, Any]:
    made = live(document(folder), steps=3, lora=LORA, clip=True, gradient_checkpointing=True)
    made["imitation"]["optimizer"] |= {"accumulation": accumulation, "ema": 0.9}
    made["start"] = {"type": "pretrained", "policy": str(folder / "pretrained")}
    return made | {"output": str(folder / f"{parallel}{accumulation}"), "parallel": parallel}


def in_two_processes(folder: Path, made: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = Path(__file__).with_name("one_of_two.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*command, str(script), str(write(folder, made))], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("one", "again"):
        write_bag(folder / "bags" / name, [("turn left", 2.0), ("turn right", 1.2)])
    tiny_policy().save_pretrained(folder / "pretrained", {"parameters": 0}, "# tiny\n")
    return folder


@pytest.fixture(scope="module")
def alone(data: Path) -> dict[str, torch.Tensor]:
    AcceleratorState._reset_state(True)
    best = train(write(data, content(data, "ddp", 2)))
    return VLAPolicy.from_pretrained(best.with_name("last")).model.state_dict()


def test_two_processes_are_one_with_twice_the_accumulation(data: Path, alone: dict[str, torch.Tensor]) -> None:
    made = content(data, "ddp", 1)
    done = in_two_processes(data, made)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 x cpu" in done.stdout
    both = VLAPolicy.from_pretrained(Path(made["output"]) / "last").model.state_dict()
    start = tiny_policy().model.state_dict()
    assert any(not torch.equal(value, start[name]) for name, value in both.items())
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, rtol=1e-5, atol=1e-7, msg=name)


def test_processes_that_cannot_shard_do_not_pretend_to(data: Path) -> None:
    """accelerate would take plain data parallelism for it on CPUs, and say nothing."""
    made = content(data, "fsdp", 1)
    AcceleratorState._reset_state(True)
    with pytest.raises(TrainingConfigError, match="fsdp shards among several processes with GPUs; here is 1 x cpu"):
        train(write(data, made))
