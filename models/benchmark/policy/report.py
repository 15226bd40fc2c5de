"""The whole benchmark of a policy, and what it says."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...engine.engine import ONNX, TORCH
from ...engine.parts import prepare, why_not_lean
from ...engine.threads import choose_threads
from ...fit import AUTO, MAPPED
from ...golden import GoldenDifference
from ...hashing import sha256_of
from ...memory.process import ProcessMemory, process_memory
from ...policy import VLAPolicy
from ...policy_entries import TRAINING, WEIGHTS
from .compare import Comparison
from .compare import compare as compare_ways
from .cost import PartCost, exported, part_precisions, step_cost
from .export_error import ExportError, export_error
from .opened import begin_lean
from .pictures import INSTRUCTION, stepper
from .roofline import PRODUCTS, PartFloor, Product, Roofline, measure_roofline, model_shapes, step_floor
from .stability import ENDURANCE, SMALL, WARM_UP, Stability, run_steadily, throttling
from .stages import StageTimes, time_stages

_LEAST_STEPS = 10  # of which first and last tenth are compared


@dataclass(frozen=True)
class Weights:
    """What was measured.

    Attributes:
        name: the policy's directory.
        sha256: the first 16 digits, of model.safetensors; None where there is no file.
        random: whether nobody trained them.
    """

    name: str
    sha256: str | None
    random: bool


@dataclass(frozen=True)
class Machine:
    """What it was measured on.

    Attributes:
        device: torch's name for it, and the maker's.
        processor: the CPU's architecture and what torch uses of it.
        cores: that this process may use.
        threads: of torch.
        load: tasks that wanted to run, before and after: means over a minute.
        torch: version.
    """

    device: str
    processor: str
    cores: int
    threads: int
    load: tuple[float, float]
    torch: str


@dataclass(frozen=True)
class Report:
    """All results.

    Attributes:
        weights: that were measured.
        parameters: their number.
        precisions: of each part.
        engine: that ran the steps.
        golden: how well the golden vectors were reproduced; None without any.
        tokens: of the decoder's sequence for a frame; None for a policy whose step is not lean.
        window: frames.
        machine: it was measured on.
        stages: times of a step.
        roofline: of the machine.
        floor: the least time of each part.
        memory: of the process after the steps, before the comparison.
        device_peak: most bytes that torch had on a CUDA device by then.
        stability: over further steps; None where there were too few.
        comparison: with other ways; None if not asked for.
        export: how far the engine's answers lie from the policy's; None without a comparison, or an export in fewer
            bits.
    """

    weights: Weights
    parameters: int
    precisions: dict[str, str]
    engine: str
    golden: GoldenDifference | None
    tokens: int | None
    window: int
    machine: Machine
    stages: StageTimes
    roofline: Roofline
    floor: tuple[PartFloor, ...]
    memory: ProcessMemory
    device_peak: int | None
    stability: Stability | None
    comparison: Comparison | None
    export: ExportError | None

    @property
    def floor_seconds(self) -> float:
        """The least time of a step."""
        return sum(part.seconds for part in self.floor)

    @property
    def ratio(self) -> float:
        """Median step over the least."""
        return self.stages.step.p50 / 1e3 / self.floor_seconds

    @property
    def notes(self) -> list[str]:
        """What whoever reads the figures should know."""
        found = []
        if self.weights.random:
            found.append("The weights are random: times are those of trained ones, actions mean nothing.")
        busy = max(self.machine.load)
        if busy > self.machine.threads + 1:
            found.append(f"The machine was busy with other work: load {busy:.1f} with {self.machine.threads} threads.")
        slow = None if self.stability is None else throttling(self.stability)
        return found if slow is None else [*found, f"{slow[0].upper()}{slow[1:]}."]

    def document(self) -> dict[str, Any]:
        """As plain types, for JSON.

        Times are in ms, memory in bytes, rates in operations or bytes per second. `golden`, `spread`, `difference` and
        the errors of an export are shares of each action's range, and of 1 for probabilities.
        """
        return {
            "weights": asdict(self.weights),
            "parameters": self.parameters,
            "precision": self.precisions,
            "engine": self.engine,
            "golden": None if self.golden is None else self.golden.worst,
            "tokens": self.tokens,
            "window": self.window,
            "machine": {**asdict(self.machine), "load": list(self.machine.load)},
            "steps": len(self.stages.steps),
            "stages": {name: asdict(quantiles) for name, quantiles in self.stages.stages.items()},
            "step": asdict(self.stages.step),
            "roofline": {
                "rates": dict(self.roofline.rates),
                "read": self.roofline.read,
                "copied": self.roofline.copied,
            },
            "floor": {
                "parts": {
                    part.cost.name: {
                        "precision": part.cost.precision.value,
                        "operations": part.cost.operations,
                        "weights": part.cost.weights,
                        "compute": part.compute * 1e3,
                        "memory": part.memory * 1e3,
                    }
                    for part in self.floor
                },
                "step": self.floor_seconds * 1e3,
                "ratio": self.ratio,
            },
            "memory": {**asdict(self.memory), "device_peak": self.device_peak},
            "stability": None
            if self.stability is None
            else {**asdict(self.stability), "growth": self.stability.growth, "drift": self.stability.drift},
            "comparison": None
            if self.comparison is None
            else {
                "steps": self.comparison.steps,
                "spread": self.comparison.spread,
                "left_out": list(self.comparison.left_out),
                "ways": {way.name: {**asdict(way.times), "difference": way.difference} for way in self.comparison.ways},
                "windows": {str(window): asdict(times) for window, times in self.comparison.windows.items()},
            },
            "export": None if self.export is None else {**asdict(self.export), "within": self.export.within},
            "notes": self.notes,
        }


def benchmark_policy(
    path: Path, engine: str, threads: int | None, steps: int, compare: bool, device: str = "cpu"
) -> Report:
    """Measure a policy directory.

    Args:
        path: of the directory.
        engine: that is to run it.
        threads: of torch; None: as many as are fastest while a core is left to the rest of the robot.
        steps: to time.
        compare: beside other ways of the same step.
        device: of the policy.

    Raises:
        PolicyDirectoryError: see `VLAPolicy.from_pretrained`.
        BenchmarkError: a comparison for a policy whose step is not made of parts.
    """
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        # An export is compared with the stored weights: in memory there would be no towers beside it.
        policy = VLAPolicy.from_pretrained(path, device, engine=engine, weights=MAPPED if engine == ONNX else AUTO)
        return measure_policy(policy, weights_of(path), threads, steps, compare)
    finally:
        torch.set_num_threads(before)


def measure_policy(
    policy: VLAPolicy,
    weights: Weights,
    threads: int | None,
    steps: int,
    compare: bool,
    endurance: int | None = None,
) -> Report:
    """Measure a policy that is loaded; see `benchmark_policy`.

    Args:
        policy: that is loaded.
        weights: what to call it.
        threads: see `benchmark_policy`.
        steps: see `benchmark_policy`.
        compare: see `benchmark_policy`.
        endurance: steps to look for growth and drift in; None: 10,000 of a small policy, `steps` of others.
    """
    if steps < 1:
        raise ValueError(f"{steps} steps: expected at least 1")
    model, config = policy.model, policy.config
    if compare:
        begin_lean(policy, INSTRUCTION)  # refuses before anything is measured
    small = model.parameter_count() <= SMALL
    lasting = (ENDURANCE if small else steps) if endurance is None else endurance
    warm_up = WARM_UP if small else 1
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    load = _load()
    before = torch.get_num_threads()
    with Progress(*columns, transient=True) as progress:
        try:
            if threads is None:
                with _shown(progress, "choosing the number of threads", 1):
                    # The others have compiled, or started, for as many as torch has now.
                    chosen = policy.engine.name == TORCH and model.device.type == "cpu"
                    threads = choose_threads(stepper(policy), before) if chosen else before
                policy.reset()
            torch.set_num_threads(threads)
            with _shown(progress, "timing stages", None) as done:
                stages = time_stages(policy, steps, done=done)
            memory = process_memory()
            peak = torch.cuda.max_memory_allocated(model.device) if model.device.type == "cuda" else None
            stability = None
            if lasting >= _LEAST_STEPS:
                with _shown(progress, "looking for growth and drift", warm_up + lasting) as done:
                    stability = run_steadily(stepper(policy), lasting, warm_up, done)
                policy.reset()
            with _shown(progress, "measuring the machine's limits", None):
                costs, products = _measured_by(policy)
                roofline = measure_roofline(model.device, model_shapes(model), products=products)
            comparison = None
            if compare:
                with _shown(progress, "comparing", None) as done:
                    comparison = compare_ways(policy, steps, done)
        finally:
            torch.set_num_threads(before)
    return Report(
        weights=weights,
        parameters=model.parameter_count(),
        precisions={part: precision.value for part, precision in part_precisions(model).items()},
        engine=policy.engine.describe(),
        golden=policy.golden_difference,
        tokens=_tokens(policy),
        window=config.window,
        machine=_machine(model.device, threads, (load, _load())),
        stages=stages,
        roofline=roofline,
        floor=tuple(step_floor(costs, roofline)),
        memory=memory,
        device_peak=peak,
        stability=stability,
        comparison=comparison,
        export=None if comparison is None else export_error(policy, comparison),
    )


def _measured_by(policy: VLAPolicy) -> tuple[list[PartCost], Mapping[str, Sequence[Product]]]:
    """What a step takes as its engine computes it, and the products to hold it against."""
    costs = step_cost(policy)
    if policy.engine.name != ONNX or policy.model.device.type != "cpu":
        return costs, PRODUCTS
    from ...engine.onnx_engine import OnnxEngine
    from .onnx_products import ONNX_PRODUCTS

    assert isinstance(policy.engine, OnnxEngine)
    return exported(costs, policy.engine.dtype), ONNX_PRODUCTS


def weights_of(path: Path) -> Weights:
    """Name the weights of a policy directory that could be loaded."""
    training = json.loads((path / TRAINING).read_text(encoding="utf-8"))
    said = training.get("weights") if isinstance(training, dict) else None
    return Weights(str(path), sha256_of(path / WEIGHTS)[:16], isinstance(said, str) and said.startswith("random"))


@contextmanager
def _shown(progress: Progress, text: str, total: int | None) -> Iterator[Any]:
    task = progress.add_task(text, total=total)
    yield lambda: progress.advance(task)
    progress.remove_task(task)


def _tokens(policy: VLAPolicy) -> int | None:
    if why_not_lean(policy.config) is not None:
        return None
    with torch.inference_mode():
        return len(prepare(policy.model, policy.encoder(policy.model, [INSTRUCTION])).source)


def _machine(device: torch.device, threads: int, load: tuple[float, float]) -> Machine:
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return Machine(
        device=f"{device} ({name})",
        processor=f"{platform.machine()} ({torch.backends.cpu.get_cpu_capability()})",
        cores=len(os.sched_getaffinity(0)),
        threads=threads,
        load=load,
        torch=torch.__version__,
    )


def _load() -> float:
    return round(os.getloadavg()[0], 2)
