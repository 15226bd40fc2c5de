"""The model card that is written beside the weights."""

from __future__ import annotations

import json
from typing import Any

from ..configuration import PolicyConfig


def model_card(config: PolicyConfig, training: dict[str, Any], recipe: list[str]) -> str:
    """README.md of a policy directory: what it is, how to make it again, what training measured.

    Args:
        config: of the policy.
        training: content of training.json.
        recipe: the commands that lead to the weights, in order.
    """
    commands = "\n".join(recipe)
    clip = " + CLIP" if config.clip is not None else ""
    said = ", ".join(f"{action.name} ({action.unit})" for action in config.action.continuous)
    binary = "".join(f", the probability of {name}" for name in config.action.binary)
    measured = {name: value for name, value in training.items() if name != "data"}
    grounding = _grounded(training)
    return f"""# A {config.backbone.type}{clip} policy with {config.head.type} head

A camera picture and a sentence in; {said}{binary} out. Architecture, units, limits and preprocessing are in
`config.json`. {training["parameters"]:,} parameters, trained as float32.

## How to make it again

```
{commands}
```

{_origin(grounding)}The episodes that training did not see are named in `training.json`, beside marks of the others.

## What training measured

`imitation`: losses and mean absolute errors of the first command on held-out recordings, in the action's units, beside
the best constant (`_constant`) and the same frames under other words (`_swapped_words`).
{_grounding(grounding)}
```json
{json.dumps(measured, indent=2)}
```
"""


def _grounded(training: dict[str, Any]) -> dict[str, dict[str, float]] | None:
    """What grounding measured, in this training or in one before it."""
    before = training.get("started_from")
    found: dict[str, dict[str, float]] | None = training.get("grounding")
    return found if found is not None or before is None else _grounded(before["training"])


def _origin(grounding: dict[str, dict[str, float]] | None) -> str:
    if grounding is None:
        return ""
    return (
        "Weights were trained from scratch, with no pretrained part: this policy knows the rooms and sentences of its "
        "data and\nnothing else. "
    )


def _grounding(grounding: dict[str, dict[str, float]] | None) -> str:
    """What the figures of grounding are, and of a tower that points no better than one that does not hear the words."""
    if grounding is None:
        return ""
    text = (
        "`grounding`: share of held-out views in which the best patch shows the named thing, beside a random patch "
        "(`chance`)\nand a random patch of any object (`any_object`).\n"
    )
    found, deaf = grounding["kosmos2"]["accuracy"], grounding["clip"]["any_object"]
    if found > deaf:
        return text
    return text + (
        f"**Kosmos-2's action token does not yet point at the named thing** ({found:.2f}, where pointing at any object "
        f"gives {deaf:.2f}): in this policy the words reach the action through CLIP.\n"
    )
