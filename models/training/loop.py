"""The loop of every stage: batches that are functions of seed and step, one optimizer step after the other.

Interrupted and run again, a stage gives what an unbroken one gives; and so do n processes what one with n times the
accumulation gives.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any, Protocol, TypeVar

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter

from ..errors import TrainingConfigError
from .checkpoint import Checkpoint, Progress
from .configuration import OptimizerConfig
from .ema import WeightAverage
from .errors import InterruptedTrainingError, NotFiniteError
from .optimization import make_optimizer, set_learning_rate
from .sampling import torch_seed
from .tasks import TOTAL

B = TypeVar("B", bound="StepBatch")
_LOG_EVERY = 50


class StepBatch(Protocol):
    """What a module is run on at once."""

    @property
    def origin(self) -> tuple[str, ...]:
        """Where each of its samples comes from, for whoever has to look."""

    def to(self: B, device: torch.device) -> B:
        """On another device."""


class Batches(Protocol):
    """All batches of a stage; pickles, for processes that decode."""

    def __call__(self, step: int, part: int, parts: int) -> StepBatch:
        """Part number `part` of `parts` of the batch of `step`: the same whenever and wherever it is asked for."""


@dataclass(frozen=True)
class Stage:
    """What a run of the loop trains.

    Attributes:
        name: of the stage.
        objective: a batch in; scalars out, of which "loss" is lowered. Only what requires a gradient trains.
        batches: what it is trained on.
        config: how.
        groups: of parameters, by the names that `config.learning_rates` knows.
        validate: measures held-out data with the module given, in evaluation mode; "loss", if there, is what is best.
        validate_every: optimizer steps.
        patience: validations without a better loss before the stage ends; None: never.
        keep: what is to be done with the weights after a validation: metrics, and whether they are the best.
    """

    name: str
    objective: nn.Module
    batches: Batches
    config: OptimizerConfig
    groups: Mapping[str, Mapping[str, nn.Parameter]]
    validate: Callable[[nn.Module], dict[str, float]]
    validate_every: int
    patience: int | None = None
    keep: Callable[[nn.Module, int, dict[str, float], bool], None] | None = None


@dataclass
class Run:
    """What the stages of a training share.

    Attributes:
        accelerator: of this process.
        console: said to by the first process only.
        folder: of checkpoints and logs.
        seed: of everything random.
        workers: processes that decode.
        checkpoint_every: optimizer steps.
        fingerprint: of configuration and data.
        interrupted: whether a signal has asked for an end.
    """

    accelerator: Accelerator
    console: Console
    folder: Path
    seed: int
    workers: int
    checkpoint_every: int
    fingerprint: str
    interrupted: bool = field(default=False, init=False)

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks."""
        return bool(self.accelerator.is_main_process)

    def say(self, text: str) -> None:
        """A line, of the first process."""
        if self.leads:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def signals_heeded(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the stage after its step, whole, while it is open."""

        def heed(number: int, frame: FrameType | None) -> None:
            del number, frame
            self.interrupted = True

        before = {number: signal.signal(number, heed) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def anyone_interrupted(self) -> bool:
        """Whether any process has been asked to end: all must do so at the same step."""
        if self.accelerator.num_processes == 1:
            return self.interrupted
        asked = torch.tensor(float(self.interrupted), device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, "sum") > 0)


def fingerprint(*parts: object) -> str:
    """SHA-256 of what can be written as JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Trainer:
    """One stage in this process.

    Args:
        stage: what is trained.
        run: shared by the stages.
    """

    def __init__(self, stage: Stage, run: Run) -> None:
        self._stage, self._run = stage, run
        self._parts = run.accelerator.num_processes * stage.config.accumulation
        if stage.config.batch_size % self._parts:
            raise TrainingConfigError(
                f"{stage.name}: a batch of {stage.config.batch_size} cannot be cut into {self._parts} parts, "
                f"{stage.config.accumulation} for each of {run.accelerator.num_processes} processes"
            )
        optimizer = make_optimizer(stage.objective, stage.groups, stage.config)
        self.module, self._optimizer = run.accelerator.prepare(stage.objective, optimizer)
        # Of what is frozen an earlier stage may have left gradients.
        self._parameters = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.module.train()
        self._average = None if stage.config.ema is None else WeightAverage(self.module, stage.config.ema)

    def step(self, number: int, batches: Iterator[StepBatch]) -> dict[str, Tensor]:
        """One optimizer step; losses are means over this process's parts.

        Raises:
            NotFiniteError: a loss or a gradient is not finite; the weights are those of the last step.
        """
        stage, accelerator = self._stage, self._run.accelerator
        self._optimizer.zero_grad(set_to_none=True)
        set_learning_rate(self._optimizer, stage.config, number)
        means: dict[str, Tensor] = {}
        origins: list[str] = []
        count = stage.config.accumulation
        for turn in range(count):
            batch = next(batches).to(accelerator.device)
            origins += batch.origin
            # Dropout too is a function of seed, step and part.
            torch.manual_seed(torch_seed(self._run.seed, number, self._part(turn)))
            # Gradients are exchanged once, with the last part.
            with accelerator.no_sync(self.module) if turn < count - 1 else nullcontext():
                losses = self.module(batch)
                self._check_finite(number, losses, batch.origin)
                accelerator.backward(losses[TOTAL] / count)
            for name, loss in losses.items():
                means[name] = means.get(name, 0.0) + loss.detach() / count
        norm = accelerator.clip_grad_norm_(self._parameters, stage.config.gradient_norm)
        if accelerator.scaler is None:  # the scaler of fp16 skips such steps, and tries a smaller scale
            self._check_finite(number, {"gradient": norm}, tuple(origins))
        self._optimizer.step()
        if self._average is not None:
            self._average.update(number)
        return means

    def run(self) -> dict[str, float]:
        """Train to the end, from where an earlier run got to; the last validation's metrics.

        Raises:
            NotFiniteError: see `step`; nothing is saved.
            InterruptedTrainingError: a signal came; all is saved.
            DataError: the checkpoint is of another run.
        """
        stage, run = self._stage, self._run
        path = run.folder / "checkpoints" / f"{stage.name}.pt"
        checkpoint = Checkpoint(
            path,
            fingerprint(run.fingerprint, stage.name, stage.config.model_dump(mode="json", exclude={"accumulation"})),
            self.module,
            getattr(self._optimizer, "optimizer", self._optimizer),
            self._average,
            run.accelerator.scaler,
        )
        progress = checkpoint.resume()
        log = SummaryWriter(str(run.folder / "log" / stage.name)) if run.leads else None
        with run.signals_heeded(), self._bars() as bars:
            shown = bars.add_task(stage.name, total=stage.config.steps, completed=progress.step, told="")
            self._run_steps(
                progress, checkpoint, log, lambda told: bars.update(shown, completed=progress.step, told=told)
            )
        if log is not None:
            log.close()
        with self._averaged():
            metrics = self._validate()
        if self._average is not None:
            self._average.apply()
        return metrics

    def _run_steps(
        self, progress: Progress, checkpoint: Checkpoint, log: SummaryWriter | None, tell: Callable[[str], None]
    ) -> None:
        stage, run = self._stage, self._run
        batches = _Waiting(self.batches(progress.step))
        while not progress.finished:
            began = perf_counter()
            losses = self.step(progress.step, batches)
            progress.step += 1
            step = progress.step
            validated = step % stage.validate_every == 0 or step == stage.config.steps
            progress.finished = step == stage.config.steps
            stopped = run.anyone_interrupted()
            seconds, waited = perf_counter() - began, batches.reset()
            rate = stage.config.batch_size / seconds
            if log is not None and (step % _LOG_EVERY == 0 or progress.finished):
                speed = {"samples_per_second": rate, "waiting_share": waited / seconds}
                _write(log, step, {**{name: float(loss) for name, loss in losses.items()}, **speed})
            if step % 10 == 0 or validated or step == 1:
                told = "  ".join(f"{name} {float(loss):.4f}" for name, loss in losses.items())
                tell(f"{told}  {rate:.0f} samples/s  {waited / seconds:.0%} waiting for data")
            if validated:
                self._judge(progress, log)
            if step % run.checkpoint_every == 0 or progress.finished or stopped:
                checkpoint.save(progress, write=run.leads)
            if stopped and not progress.finished:
                with self._averaged():
                    self._keep(progress, self._validate(), best=False)
                raise InterruptedTrainingError(
                    f"interrupted after step {step} of {stage.config.steps} of {stage.name}; "
                    "the same command goes on from there"
                )

    def _judge(self, progress: Progress, log: SummaryWriter | None) -> None:
        """Validate, keep, and see whether patience is over."""
        stage = self._stage
        with self._averaged():
            metrics = self._validate()
            loss = metrics.get(TOTAL)
            better = loss is not None and (progress.best is None or loss < progress.best)
            progress.best, progress.since_best = (loss, 0) if better else (progress.best, progress.since_best + 1)
            self._keep(progress, metrics, best=better)
        self.module.train()
        if log is not None:
            _write(log, progress.step, {f"validation/{name}": value for name, value in metrics.items()})
        told = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        self._run.say(f"{stage.name} step {progress.step}: {told}")
        if stage.patience is not None and progress.since_best >= stage.patience and not progress.finished:
            progress.finished = True
            self._run.say(f"{stage.name} ends: no better validation in {progress.since_best}")

    def _validate(self) -> dict[str, float]:
        self.module.eval()
        with torch.no_grad():
            return self._stage.validate(self.module)

    def _keep(self, progress: Progress, metrics: dict[str, float], *, best: bool) -> None:
        if self._stage.keep is not None:
            self._stage.keep(self.module, progress.step, metrics, best)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        with self._average.swapped() if self._average is not None else nullcontext():
            yield

    def _part(self, turn: int) -> int:
        accelerator = self._run.accelerator
        return int(turn * accelerator.num_processes + accelerator.process_index)

    def batches(self, begin: int) -> Iterator[StepBatch]:
        """This process's parts of the steps from `begin` on, in order."""
        config = self._stage.config
        wanted = [
            (step, self._part(turn)) for step in range(begin, config.steps) for turn in range(config.accumulation)
        ]
        return iter(
            DataLoader(
                _Parts(self._stage.batches, self._parts),
                batch_size=None,
                sampler=wanted,
                num_workers=self._run.workers,
            )
        )

    def _check_finite(self, number: int, values: Mapping[str, Tensor], origin: tuple[str, ...]) -> None:
        for name, value in values.items():
            if not bool(torch.isfinite(value)):
                raise NotFiniteError(
                    f"{self._stage.name} step {number + 1}: {name} is {float(value.detach())} "
                    f"on the batch {', '.join(origin)}"
                )

    def _bars(self) -> Bars:
        return Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}"),
            console=self._run.console,
            disable=not self._run.leads,
        )


class _Parts(Dataset[StepBatch]):
    """Batches by (step, part), for torch's loader."""

    def __init__(self, batches: Batches, parts: int) -> None:
        self._batches, self._count = batches, parts

    def __getitem__(self, wanted: tuple[int, int]) -> StepBatch:
        return self._batches(wanted[0], wanted[1], self._count)


class _Waiting(Iterator[StepBatch]):
    """Batches, and how long they were waited for."""

    def __init__(self, batches: Iterator[StepBatch]) -> None:
        self._batches, self._seconds = batches, 0.0

    def __next__(self) -> StepBatch:
        began = perf_counter()
        batch = next(self._batches)
        self._seconds += perf_counter() - began
        return batch

    def reset(self) -> float:
        """Seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


def _write(log: SummaryWriter, step: int, values: Mapping[str, float | Any]) -> None:
    for name, value in values.items():
        log.add_scalar(name, value, step)
