"""What a conversion did, for the terminal."""

from __future__ import annotations

from collections import Counter

from rich.markup import escape
from rich.table import Table

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
