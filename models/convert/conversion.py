"""From weights in files to a policy directory of a wanted precision, with its receipt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..checkpoint.entry import TensorEntry
from ..configuration import PolicyConfig, PrecisionConfig
from ..data.frames import Run
from ..engine.torch_engine import TorchEngine
from ..errors import ConversionError, MemoryShortageError, PrecisionError
from ..fit import weight_bytes
from ..golden import GoldenVectors
from ..hashing import sha256_of
from ..history import begin_history
from ..instruction import InstructionEncoder
from ..memory.available import available_memory
from ..memory.disk import check_disk
from ..memory.units import size_text
from ..modeling import VLAModel
from ..policy import VLAPolicy
from ..policy_directory import PolicyParts, staged_directory, write_beside
from ..policy_entries import WEIGHTS
from ..precision import uniform
from ..quantization import check_device, quantise_blocks, slow_on
from ..quantization.linear import Int4Linear
from ..receipt import Receipt
from ..weights import empty_model, fill, load_weights
from .measure import Made, receipt_of, run_over, tried_on
from .stored import check_entries, quantised_layers, towers, write_weights

# Anonymous memory: pieces of tensors, activations of one frame, and the libraries' own; calibration has the inverse of
# a matrix of as many rows and columns as a layer has inputs in addition.
_WORKING = 600 * 10**6
_CALIBRATING = 1200 * 10**6
_GOLDEN = 32 * 10**6


@dataclass(frozen=True)
class Source:
    """A policy as its weights lie in files.

    Attributes:
        name: of the file, for the receipt and the model card.
        config: of the policy, in float32.
        entries: its weights by the names of the model's tensors.
        tokenizer, clip_tokenizer: its own.
        training: of training.json: what is known of how it was made.
        notes: for the model card, a line each.
    """

    name: str
    config: PolicyConfig
    entries: Mapping[str, TensorEntry]
    tokenizer: PreTrainedTokenizerBase
    clip_tokenizer: PreTrainedTokenizerBase | None
    training: dict[str, object]
    notes: tuple[str, ...] = field(default=())

    def encoder(self) -> InstructionEncoder:
        """What makes tokens of instructions."""
        return InstructionEncoder(self.config, self.tokenizer, self.clip_tokenizer)


@dataclass(frozen=True)
class Wanted:
    """What a source is to become.

    Attributes:
        precision: of its parts.
        device: that it is measured on.
        bound: greatest error of an action, as a share of its range, that is accepted.
        force: accept more.
    """

    precision: PrecisionConfig
    device: str
    bound: float
    force: bool

    @property
    def target(self) -> torch.device:
        """The device.

        Raises:
            PrecisionError: there is none of that name.
        """
        try:
            return torch.device(self.device)
        except RuntimeError as error:
            raise PrecisionError(f"device {self.device!r} is none: expected such as cpu or cuda") from error


def warnings(wanted: Wanted) -> list[str]:
    """Sentences on precisions that the device only emulates."""
    found = (slow_on(precision, wanted.target) for precision in wanted.precision.parts.values())
    return sorted({sentence for sentence in found if sentence is not None})


def convert(source: Source, wanted: Wanted, runs: list[Run], out_dir: Path, progress: Progress) -> Receipt:
    """Write the policy directory, whole or not at all.

    The original's weights stay in their files, and are run from there: memory is that of pieces and activations.

    Args:
        source: what is converted.
        wanted: what it is to become.
        runs: of real frames, to measure on; with int4, every second one is to calibrate on instead.
        out_dir: to write; must not exist or be a policy directory, which is then replaced.
        progress: shows bytes and frames.

    Raises:
        ConversionError: weights missing, not finite, or no room on the disk.
        MemoryShortageError: too little memory.
        DataError: the policy does not take the frames, or their sentence.
        PrecisionError: a precision cannot be had on the device, or moves the actions by more than the bound.
        PolicyDirectoryError: `out_dir` is something else.
    """
    if any(entry.file.resolve().is_relative_to(out_dir.resolve()) for entry in source.entries.values()):
        raise ConversionError(f"{out_dir} holds what is converted: write to another directory")
    for precision in set(wanted.precision.parts.values()):
        check_device(precision, wanted.target)
    config = source.config.model_copy(update={"precision": wanted.precision})
    model = empty_model(config)
    check_entries(model, source.entries)
    calibrates = any(isinstance(layer, Int4Linear) for layer in quantised_layers(model).values())
    measured, calibration = _split(runs) if calibrates else (runs, [])
    size = weight_bytes(model)
    check_disk(out_dir.parent, size + _GOLDEN)
    _check_memory(_CALIBRATING if calibrates else _WORKING)
    with staged_directory(out_dir) as staging:
        original = _original(source)
        # First of all: what the policy does not take of these frames shows before anything large is written.
        before = run_over("original", original, measured, progress)
        files = {entry.file for entry in source.entries.values()}
        task = progress.add_task("weights", total=sum(entry.nbytes for entry in source.entries.values()))
        write_weights(
            staging / WEIGHTS,
            model,
            source.entries,
            _calibration(original, model, calibration, progress) if calibrates else None,
            lambda done: progress.advance(task, done),
        )
        del original
        load_weights(model, staging / WEIGHTS, wanted.target)
        # As a device computes that knows the precision: there numbers overflow that float32 would hold.
        policy = VLAPolicy(PolicyParts(config, model, source.encoder()), TorchEngine(model, widen=False))
        after = run_over("converted", policy, measured, progress)
        made = Made(
            source=source.name,
            sha256=_sha256(sorted(files), progress),
            precision=wanted.precision,
            parameters=sum(entry.numel for entry in source.entries.values()),
            disk=(staging / WEIGHTS).stat().st_size,
            weights=weight_bytes(policy.model),
        )
        receipt = receipt_of(made, config.action, measured, before, after, wanted.bound, wanted.force)
        golden = GoldenVectors.record(policy, config)
        write_beside(staging, config, policy.encoder, golden, source.training, _model_card(source, receipt))
        receipt.save(staging)
    return receipt


def _original(source: Source) -> VLAPolicy:
    config = source.config.model_copy(update={"precision": uniform("fp32")})
    model = empty_model(config)
    fill(model, source.entries)
    return VLAPolicy(PolicyParts(config, model, source.encoder()))


def _calibration(
    original: VLAPolicy, model: VLAModel, runs: list[Run], progress: Progress
) -> Callable[[Callable[[str, dict[str, Tensor]], None]], None]:
    """Hands over int4 layers, calibrated tower by tower on what the original sees."""
    wanted = {name for name, layer in quantised_layers(model).items() if isinstance(layer, Int4Linear)}

    def run() -> None:
        with tried_on():
            for item in runs:
                # The model itself, whose blocks are looked at, and not an engine that computes the same without them.
                with torch.inference_mode():
                    history = begin_history(original.model, original.encoder(original.model, [item.instruction]))
                for frame in item.frames:
                    history.step(torch.from_numpy(frame).unsqueeze(0), None)

    def calibrate(take: Callable[[str, dict[str, Tensor]], None]) -> None:
        for name, blocks in towers(original.model).items():
            if not any(layer.startswith(f"{name}.") for layer in wanted):
                continue
            task = progress.add_task(f"calibrating {name}", total=len(blocks))

            def taken(layer: str, tensors: dict[str, Tensor], prefix: str = name) -> None:
                take(f"{prefix}.{layer}", tensors)

            def told(done: int, of: int, bar: int = task) -> None:
                progress.update(bar, completed=done, total=of)  # type: ignore[arg-type]

            quantise_blocks(blocks, run, taken, told)

    return calibrate


def _split(runs: list[Run]) -> tuple[list[Run], list[Run]]:
    """To measure on and to calibrate on."""
    if len(runs) == 1:
        half = len(runs[0].frames) // 2
        if half == 0:
            raise PrecisionError("int4 is calibrated on some frames and measured on others: give at least two")
        first, second = runs[0].frames[:half], runs[0].frames[half:]
        return [Run(runs[0].instruction, second)], [Run(runs[0].instruction, first)]
    return runs[::2], runs[1::2]


def _check_memory(needed: int) -> None:
    available = available_memory(torch.device("cpu"))
    if available.bytes < needed:
        raise MemoryShortageError(
            f"a conversion needs {size_text(needed)} of memory, {size_text(available.bytes)} are free of "
            f"{size_text(available.total)} ({available.source})"
        )


def _sha256(files: list[Path], progress: Progress) -> str:
    task = progress.add_task("sha256", total=sum(file.stat().st_size for file in files))
    return sha256_of(*files, done=lambda size: progress.advance(task, size))


def _model_card(source: Source, receipt: Receipt) -> str:
    config = source.config
    rows = "".join(
        f"| {action.name} ({action.unit}) | {action.mean:.3g} | {action.maximum:.3g} | {action.share:.2%} |\n"
        for action in receipt.actions
    )
    notes = "".join(f"- {note}\n" for note in source.notes) or "- none\n"
    features = "not finite" if receipt.features is None else f"{receipt.features:.2e}"
    return (
        f"# {source.name}\n\n"
        f"Converted from `{source.name}` (sha256 `{receipt.sha256}`).\n\n"
        f"- precision: {receipt.precision.summary}; {size_text(receipt.disk)} on disk, "
        f"{receipt.parameters:,} parameters\n"
        f"- backbone {config.backbone.type}, history {config.history}, window {config.window} of {config.dt:g} s, "
        f"head {config.head.type}, chunk {config.chunk}\n\n"
        f"## Error against the original\n\nOver {receipt.frames} frames of {receipt.runs} runs; features: relative L2 "
        f"{features}. {'Beyond the bound, and forced.' if receipt.forced else ''}\n\n"
        f"| action | mean | greatest | share of range |\n|---|--:|--:|--:|\n{rows}\n## Notes\n\n{notes}"
    )
