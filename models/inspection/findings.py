"""What a person should know of a file of weights before using it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..checkpoint.entry import TensorEntry
from ..documents import first_of
from .architecture import Difference
from .layers import joined
from .structure import Contents, Part, TransformersPart
from .widths import ARCHITECTURES, Blocks

_LEVELS = ("error", "warning", "note")
_SHOWN = 4


@dataclass(frozen=True)
class Finding:
    """A thing that a person should know.

    Attributes:
        level: error: the file is damaged, dangerous or not whole; warning: it is not what one may take it for; note:
            no harm.
        where: prefix of a part or name of a tensor; empty for the file.
        text: what it is.
    """

    level: Literal["error", "warning", "note"]
    where: str
    text: str

    @property
    def rank(self) -> tuple[int, bool]:
        """Its place in a list: the worst first, and what concerns the whole file before its parts."""
        return _LEVELS.index(self.level), bool(self.where)


def numbers(gaps: Sequence[tuple[int, int]]) -> str:
    """Runs of numbers in words: 0-5, 8."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in gaps)


def findings_of_part(part: Part, difference: Difference | None, deviations: Sequence[str]) -> list[Finding]:
    """What is to say about a part.

    Args:
        part: as its tensors show it.
        difference: from the model that it should be, if it was compared.
        deviations: from the release that it has the widths of, in words.
    """
    found = [Finding("error", part.prefix, problem) for problem in part.problems]
    if isinstance(part, TransformersPart):
        found += [
            Finding(
                "error", part.prefix, f"{tower} lacks {_blocks(blocks)}: {blocks.present} of {blocks.layers} are there"
            )
            for tower, blocks in part.blocks.items()
            if blocks.gaps
        ]
        if difference is not None:
            found += _of_difference(part, difference)
    return found + [Finding("warning", part.prefix, said) for said in deviations]


def findings_of_file(
    entries: Mapping[str, TensorEntry],
    contents: Contents,
    calls: Sequence[str],
    tied: Sequence[Sequence[str]],
    copies: Sequence[Sequence[str]] | None,
    not_finite: Mapping[str, int] | None,
) -> list[Finding]:
    """What is to say about the whole file."""
    found = []
    if calls:
        names = first_of(calls, _SHOWN, ", ")
        names = first_of(calls, _SHOWN, ", ")
        text = (
            f"torch.load(weights_only=False) would call {names}: an attack, unless it is of the program that saved it"
        )
        found.append(Finding("error", "", text))
    for name, count in (not_finite or {}).items():
        text = f"{count:,} of {entries[name].numel:,} values are NaN or infinite"
        found.append(Finding("error", name, text))
    floating = [name for name in contents.bytes if name.startswith(("float", "bfloat"))]
    if len(floating) > 1:
        found.append(Finding("warning", "", f"its weights are of several dtypes: {', '.join(floating)}"))
    for first, *others in copies or ():
        found.append(Finding("note", first, f"holds the same values as {first_of(others, _SHOWN, ', ')}"))
    for first, *others in tied:
        found.append(Finding("note", first, f"is tied to {first_of(others, _SHOWN, ', ')}: the same bytes"))
    return found


def _of_difference(part: TransformersPart, difference: Difference) -> list[Finding]:
    """Names within the part, which the finding names; blocks that are missing as a whole are said already."""

    def said(problem: str, tensors: Mapping[str, str]) -> Finding:
        count = "1 tensor" if len(tensors) == 1 else f"{len(tensors):,} tensors"
        start = joined(part.prefix, "")
        listed = [f"{name.removeprefix(start)} {what}" for name, what in tensors.items()]
        return Finding("error", part.prefix, f"{count} {problem}: {first_of(listed, _SHOWN)}")

    gone = tuple(
        joined(part.prefix, f"{tower.blocks}{number}.")
        for tower in ARCHITECTURES[part.kind].towers
        for first, last in part.blocks[tower.name].gaps
        for number in range(first, last + 1)
    )
    found = []
    missing = {name: str(shape) for name, shape in difference.missing.items() if not name.startswith(gone)}
    if missing:
        found.append(said("missing", missing))
    if difference.unknown:
        found.append(said("unknown to transformers", {name: str(shape) for name, shape in difference.unknown.items()}))
    if difference.wrong_shape:
        shapes = {name: f"{shape}, expected {expected}" for name, (shape, expected) in difference.wrong_shape.items()}
        found.append(said("of another shape", shapes))
    return found + [Finding("note", name, f"is left over: {why}") for name, why in difference.left_over.items()]


def _blocks(blocks: Blocks) -> str:
    one = len(blocks.gaps) == 1 and blocks.gaps[0][0] == blocks.gaps[0][1]
    return f"{'block' if one else 'blocks'} {numbers(blocks.gaps)}"
