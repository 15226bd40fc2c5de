"""An inspection for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ..checkpoint.foreign import printable
from .findings import Finding, numbers
from .inspection import InspectedPart, Inspection
from .layers import RecurrentSizes, StackLayer, numbering_gaps
from .optimizer import OptimizerState
from .structure import Contents, Part, RecurrentPart, StackPart, TransformersPart
from .widths import ARCHITECTURES

_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
_MOST_FINDINGS = 40
_MOST_ATTRIBUTES = 40
_MOST_CHARACTERS = 200
_WIDEST = 40


def inspection_tree(inspection: Inspection) -> Tree:
    """What a person sees of an inspection: container, other entries, models, findings, totals."""
    tree = Tree(Text(printable(inspection.path.name or str(inspection.path)), style="bold"), guide_style="dim")
    _container(tree, inspection)
    _entries(tree, inspection)
    _parts(tree, inspection)
    _findings(tree, inspection)
    tree.add(Text.assemble(("total  ", "bold"), _total(inspection.contents)))
    return tree


def size(count: int) -> str:
    """Bytes in words."""
    if count < 2**10:
        return f"{count} B"
    return f"{count / 2**10:,.1f} KiB" if count < 2**20 else f"{count / 2**20:,.1f} MiB"


def _row(columns: Iterable[tuple[str | Text, int | None]]) -> Table:
    """A line in columns of given widths, whose last is folded within itself."""
    row = Table.grid(padding=(0, 2, 0, 0))
    cells = []
    for cell, width in columns:
        row.add_column(width=width, overflow="fold")
        cells.append(cell if isinstance(cell, Text) else Text(cell))
    row.add_row(*cells)
    return row


def _container(tree: Tree, inspection: Inspection) -> None:
    files = "1 file" if len(inspection.files) == 1 else f"{len(inspection.files)} files"
    node = tree.add(Text(f"{inspection.format}, {files}, {size(inspection.bytes)}"))
    if inspection.calls:
        names = ", ".join(printable(name) for name in inspection.calls)
        node.add(Text(f"DANGER: torch.load(weights_only=False) would call {names}", style="bold white on red"))


def _entries(tree: Tree, inspection: Inspection) -> None:
    rows = {name: _shown(value) for name, value in (inspection.others | inspection.metadata).items()}
    rows |= {state.key: _optimizer(state) for state in inspection.optimizers}
    if not rows:
        return
    node = tree.add(Text("beside the model", style="bold"))
    width = _width(rows)
    for name, value in rows.items():
        node.add(_row([(Text(printable(name), style="cyan"), width), (value, None)]))


def _optimizer(state: OptimizerState) -> str:
    if not state.moments:
        return f"an optimiser of {state.listed} tensors, without any state"
    lines = [f"{', '.join(map(printable, state.moments))} of {state.parameters:,} parameters, {size(state.bytes)}"]
    whose = f": {', '.join(map(printable, state.parts))}" if state.parts else ""
    lines.append(f"of its {state.listed} tensors, {numbers(state.covered)} have been trained{whose}")
    for group in state.groups:
        if isinstance(group, Mapping):
            lines.append(_attributes({name: value for name, value in group.items() if value not in (None, False)}))
    return "\n".join(lines)


def _parts(tree: Tree, inspection: Inspection) -> None:
    node = tree.add(Text(printable(inspection.state_key or "tensors"), style="bold"))
    width = _width(_prefix(inspected.part) for inspected in inspection.parts)
    kinds = _width(_title(inspected.part) for inspected in inspection.parts)
    counts = _width(f"{inspected.part.contents.parameters:,}" for inspected in inspection.parts)
    for inspected in inspection.parts:
        part = inspected.part
        name, kind = Text(_prefix(part), style="cyan"), Text(_title(part), style="bold")
        amount = f"{part.contents.parameters:>{counts},} parameters, {_sizes(part.contents)}"
        _details(node.add(_row([(name, width), (kind, kinds), (amount, None)])), inspected)


def _details(node: Tree, inspected: InspectedPart) -> None:
    part = inspected.part
    if isinstance(part, TransformersPart):
        for name, value in _transformers_rows(part, inspected.release):
            node.add(_row([(name, 12), (value, None)]))
    elif isinstance(part, RecurrentPart) and part.sizes is not None:
        node.add(Text(_recurrent(part.sizes)))
    elif isinstance(part, StackPart):
        for line in _stack(part.layers):
            node.add(Text(line, style="dim" if "no tensor" in line else ""))


def _transformers_rows(part: TransformersPart, release: str | None) -> Iterable[tuple[str, str]]:
    architecture = ARCHITECTURES[part.kind]
    for tower in architecture.towers:
        blocks, widths = part.blocks[tower.name], part.widths.get(tower.section, {})
        missing = f" (without {numbers(blocks.gaps)})" if blocks.gaps else ""
        said = [f"{blocks.layers} {'block' if blocks.layers == 1 else 'blocks'}{missing}"]
        for key, form in _WIDTHS.items():
            if key in widths:
                said.append(form.format(widths[key]))
        yield tower.name, ", ".join(said)
    for key, name in (("latent_query_num", "latents"), ("projection_dim", "projection")):
        if key in part.widths:
            yield name, str(part.widths[key])
    yield "widths of", release or "no known release"


_WIDTHS = {
    "embed_dim": "width {}",
    "hidden_size": "width {}",
    "ffn_dim": "ffn {}",
    "intermediate_size": "ffn {}",
    "vocab_size": "{:,} words",
    "max_position_embeddings": "{} positions",
    "patch_size": "patch {}",
    "image_size": "image {} px",
}


def _recurrent(sizes: RecurrentSizes) -> str:
    said = f"{sizes.input_size} -> {sizes.hidden_size}, "
    said += "1 layer" if sizes.num_layers == 1 else f"{sizes.num_layers} layers"
    said += ", both directions" if sizes.bidirectional else ""
    said += f", projected to {sizes.proj_size}" if sizes.proj_size else ""
    return said + ("" if sizes.bias else ", no bias")


def _stack(layers: tuple[StackLayer, ...]) -> list[str]:
    rows: dict[int, tuple[str, str]] = {}
    for layer in layers:
        bias = "" if layer.bias else ", no bias"
        words = f"Linear     {layer.inputs} -> {layer.outputs}{bias}"
        rows[layer.index] = (str(layer.index), words if layer.kind == "linear" else f"LayerNorm  {layer.inputs}")
    for first, last in numbering_gaps(layer.index for layer in layers):
        rows[first] = (numbers([(first, last)]), "no tensor (activation, dropout)")
    width = max((len(name) for name, _ in rows.values()), default=0)
    return [f"{rows[index][0].ljust(width)}  {rows[index][1]}" for index in sorted(rows)]


def _findings(tree: Tree, inspection: Inspection) -> None:
    node = tree.add(Text("findings", style="bold"))
    for finding in inspection.findings[:_MOST_FINDINGS]:
        node.add(_finding(finding))
    more = len(inspection.findings) - _MOST_FINDINGS
    if more > 0:
        node.add(Text(f"and {more} more"))
    if not inspection.findings:
        node.add(Text("none", style="green"))
    if inspection.not_finite is None:
        node.add(Text("values were not read: NaN, infinities and copies would not be seen", style="yellow"))


def _finding(finding: Finding) -> Table:
    style = _STYLES[finding.level]
    where = f"{printable(finding.where)}: " if finding.where else ""
    text = Text(where + _clean(finding.text), style=style if finding.level == "error" else "")
    return _row([(Text(finding.level, style=style), len("warning")), (text, None)])


def _title(part: Part) -> str:
    if isinstance(part, TransformersPart):
        return ARCHITECTURES[part.kind].title
    if isinstance(part, RecurrentPart):
        return part.sizes.cell if part.sizes is not None else "recurrent"
    if isinstance(part, StackPart):
        return "Linear" if [layer.kind for layer in part.layers] == ["linear"] else "Sequential"
    return "unknown"


def _prefix(part: Part) -> str:
    return printable(part.prefix) or "(top)"


def _width(texts: Iterable[str]) -> int:
    """Of a column; a longer text is folded."""
    return min(max(map(len, map(printable, texts)), default=0), _WIDEST)


def _sizes(contents: Contents) -> str:
    return ", ".join(f"{size(count)} {name}" for name, count in contents.bytes.items()) or size(0)


def _total(contents: Contents) -> str:
    tensors = "1 tensor" if contents.tensors == 1 else f"{contents.tensors:,} tensors"
    return f"{contents.parameters:,} parameters in {tensors}, {_sizes(contents)}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "class" in value:
        state = value.get("attributes", value.get("arguments", {}))
        content = _attributes(state) if isinstance(state, Mapping) else _short(state)
        return f"{_clean(str(value['class']))}({content})"
    return _attributes(value) if isinstance(value, Mapping) else _short(value)


def _attributes(values: Mapping[str, Any]) -> str:
    shown = [f"{_short(name)}={_short(value)}" for name, value in list(values.items())[:_MOST_ATTRIBUTES]]
    more = len(values) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more else [])])


def _short(value: Any) -> str:
    text = _clean(str(value))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def _clean(text: str) -> str:
    """Text of the file in which nothing moves the terminal's cursor."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
