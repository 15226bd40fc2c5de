"""What a conversion did, for the terminal."""

from __future__ import annotations

from collections import Counter

from rich.markup import escape
from rich.table import Table

from ..memory.units import size_text
from ..receipt import Receipt
from .robovlms import Conversion


def conversion_summary(conversion: Conversion) -> tuple[Table, Table]:
    """Two tables: the policy that was made, and what of the checkpoint was not needed."""
    policy, config = conversion.policy, conversion.policy.config
    made = Table(title="policy", show_header=False, title_justify="left")
    for name, value in (
        ("checkpoint", f"{conversion.checkpoint.name}, sha256 {conversion.sha256}"),
        ("tensors", f"{conversion.tensors}, of these {len(conversion.dropped)} not needed"),
        ("parameters", f"{policy.model.parameter_count():,}"),
        ("backbone", config.backbone.type),
        ("prompt", repr(config.prompt)),
        ("history", f"{config.history}, window {config.window}"),
        ("head", f"{config.head.type}, chunk {config.chunk} of {config.dt:g} s"),
        ("actions", ", ".join((*(action.name for action in config.action.continuous), *config.action.binary))),
        *(("note", note) for note in conversion.notes),
    ):
        made.add_row(name, escape(value))
    left = Table("tensors", "such as", "why not needed", title="not needed", title_justify="left")
    for reason, count in Counter(conversion.dropped.values()).items():
        example = next(name for name, why in conversion.dropped.items() if why == reason)
        left.add_row(str(count), escape(example), escape(reason))
    return made, left


def receipt_tables(receipt: Receipt, made_is: str = "policy") -> tuple[Table, Table]:
    """Two tables: the policy, or what else was made, and its errors against the original."""
    made = Table(title=made_is, show_header=False, title_justify="left")
    features = "not finite" if receipt.features is None else f"{receipt.features:.2e} relative L2"
    for name, value in (
        ("source", f"{receipt.source}, sha256 {receipt.sha256}"),
        ("precision", receipt.precision.summary),
        ("parameters", f"{receipt.parameters:,}"),
        ("on disk", size_text(receipt.disk)),
        ("in memory", f"weights {size_text(receipt.weights)}, a step {size_text(receipt.workspace)} beside them"),
        ("measured on", f"{receipt.frames} frames of {receipt.runs} runs"),
        ("features", features),
        ("not finite", f"{receipt.not_finite:.2%} of features and actions"),
    ):
        made.add_row(name, escape(value))
    errors = Table(
        "action", "mean", "greatest", "of its range", title="error against the original", title_justify="left"
    )
    for action in receipt.actions:
        row = (f"{action.mean:.3g} {action.unit}", f"{action.maximum:.3g} {action.unit}", f"{action.share:.2%}")
        errors.add_row(escape(action.name), *row)
    bound = "forced: beyond the bound of" if receipt.forced else "bound"
    errors.caption = f"{bound} {receipt.bound:.1%}"
    return made, errors
