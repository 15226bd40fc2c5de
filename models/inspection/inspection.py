"""What a file of weights holds, and what is wrong with it, without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from ..checkpoint.container import Checkpoint
from ..checkpoint.entry import TensorEntry
from ..checkpoint.reader import other_entries, read_checkpoint, state_dict
from ..errors import CheckpointError
from .architecture import Difference, compare, visible_config
from .content import bytes_to_read, copies, not_finite, tied
from .findings import Finding, findings_of_file, findings_of_part
from .optimizer import OptimizerState, is_optimizer_state, read_optimizer
from .releases import deviations, released
from .structure import Contents, Part, RecurrentPart, StackPart, TransformersPart, contents, find_parts
from .values import dtype_name, plain


@dataclass(frozen=True)
class InspectedPart:
    """A model in the file, beside what it is taken for.

    Attributes:
        part: as its tensors show it.
        release: on the hub, of its widths; None if there is none or it is no model of transformers.
        difference: from what transformers builds of its widths; None if it is not compared.
    """

    part: Part
    release: str | None
    difference: Difference | None


@dataclass(frozen=True)
class Inspection:
    """What there is to say about a file of weights.

    Attributes:
        path: as it was given.
        format: of the container.
        files: that hold the tensors.
        bytes: of all files.
        state_key: top-level entry with the model's tensors; None if they are the top level.
        others: the other top-level entries as plain values, optimisers left out.
        optimizers: their states.
        metadata: texts that a safetensors file carries.
        calls: what loading with pickle would call, beyond what is harmless.
        entries: the model's tensors.
        parts: the models in it.
        contents: of all parts together.
        tied: names of the same bytes.
        copies: names of equal content in different places; None if no values were read.
        not_finite: how many values of a tensor are NaN or infinite, of those that have any; None if not read.
        findings: what a person should know, the worst first.
    """

    path: Path
    format: str
    files: tuple[Path, ...]
    bytes: int
    state_key: str | None
    others: dict[str, Any]
    optimizers: tuple[OptimizerState, ...]
    metadata: dict[str, str]
    calls: tuple[str, ...]
    entries: dict[str, TensorEntry]
    parts: tuple[InspectedPart, ...]
    contents: Contents
    tied: tuple[tuple[str, ...], ...]
    copies: tuple[tuple[str, ...], ...] | None
    not_finite: dict[str, int] | None
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as strict JSON has it."""
        return {
            "path": str(self.path),
            "format": self.format,
            "files": [str(file) for file in self.files],
            "bytes": self.bytes,
            "state_dict": self.state_key,
            "entries": self.others,
            "optimizers": [asdict(state) for state in self.optimizers],
            "metadata": self.metadata,
            "calls": list(self.calls),
            "parts": [self._part(inspected) for inspected in self.parts],
            "contents": asdict(self.contents),
            "tied": self.tied,
            "copies": self.copies,
            "not_finite": self.not_finite,
            "findings": [asdict(finding) for finding in self.findings],
        }

    def _part(self, inspected: InspectedPart) -> dict[str, Any]:
        part = inspected.part
        document = asdict(part)
        del document["names"]
        difference = None if inspected.difference is None else asdict(inspected.difference)
        return {
            "kind": kind_of(part),
            **document,
            "tensors": {
                name: {"dtype": dtype_name(self.entries[name].dtype), "shape": self.entries[name].shape}
                for name in part.names
            },
            "release": inspected.release,
            "difference": difference,
        }


def inspect(path: Path, progress: Progress, *, values: bool = True) -> Inspection:
    """Look into a checkpoint. Memory does not grow with the file; nothing in it is run.

    Args:
        path: a file of torch.save or safetensors, or a directory of shards.
        progress: shows how much is read, in bytes.
        values: whether to read the tensors, for values that are not finite and for copies; takes as long as the disk.

    Raises:
        CheckpointError: not a readable checkpoint, or one without a state dict.
    """
    checkpoint = read_checkpoint(path)
    entries, key = state_dict(checkpoint)
    parts = find_parts(entries)
    inspected = []
    findings: list[Finding] = []
    for part in parts:
        compared, found = _inspect_part(part, entries)
        inspected.append(compared)
        findings += found
    others, optimizers = _others(checkpoint, parts, entries)
    broken, alike = None, None
    if values:
        task = progress.add_task(f"reading {path.name}", total=bytes_to_read(entries))
        broken = not_finite(entries, lambda count: progress.advance(task, count))
        alike = copies(entries)
    everything = contents(entries, entries)
    same = tied(entries)
    findings += findings_of_file(entries, everything, checkpoint.calls, same, alike, broken)
    return Inspection(
        path=path,
        format=checkpoint.format,
        files=checkpoint.files,
        bytes=checkpoint.bytes,
        state_key=key,
        others=others,
        optimizers=optimizers,
        metadata=dict(checkpoint.metadata),
        calls=checkpoint.calls,
        entries=entries,
        parts=tuple(inspected),
        contents=everything,
        tied=same,
        copies=alike,
        not_finite=broken,
        findings=tuple(sorted(findings, key=lambda finding: finding.rank)),
    )


def kind_of(part: Part) -> str:
    """`kosmos2`, `clip`, `recurrent`, `stack` or `unknown`."""
    if isinstance(part, TransformersPart):
        return part.kind
    return {RecurrentPart: "recurrent", StackPart: "stack"}.get(type(part), "unknown")


def _inspect_part(part: Part, entries: Mapping[str, TensorEntry]) -> tuple[InspectedPart, list[Finding]]:
    if not isinstance(part, TransformersPart) or part.problems:
        return InspectedPart(part, None, None), findings_of_part(part, None, ())
    release = released(part.kind, part.widths)
    said = deviations(release, part.widths) if release is not None else ()
    try:
        difference = compare(entries, part.prefix, part.kind, visible_config(part.kind, part.widths))
    except CheckpointError as error:
        refused = Finding("error", part.prefix, str(error))
        return InspectedPart(part, None, None), [refused, *findings_of_part(part, None, said)]
    name = release.name if release is not None else None
    return InspectedPart(part, name, difference), findings_of_part(part, difference, said)


def _others(
    checkpoint: Checkpoint, parts: tuple[Part, ...], entries: Mapping[str, TensorEntry]
) -> tuple[dict[str, Any], tuple[OptimizerState, ...]]:
    """Top-level entries beside the model's tensors; Lightning keeps several optimisers in a list."""
    others: dict[str, Any] = {}
    optimizers = []
    for name, value in other_entries(checkpoint).items():
        listed = value if isinstance(value, list) else [value]
        if listed and all(is_optimizer_state(item) for item in listed):
            names = [name] if value is not listed else [f"{name}[{index}]" for index in range(len(listed))]
            optimizers += [read_optimizer(key, item, parts, entries) for key, item in zip(names, listed, strict=True)]
        else:
            others[name] = plain(value)
    return others, tuple(optimizers)
