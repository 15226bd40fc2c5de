"""The model card that is written beside the weights."""

from __future__ import annotations

import json
from typing import Any


def model_card(training: dict[str, Any], recipe: list[str]) -> str:
    """README.md of a policy directory: what it is, how to make it again, what training measured.

    Args:
        training: content of training.json.
        recipe: the commands that lead to the weights, in order.
    """
    commands = "\n".join(recipe)
    return f"""# A small Kosmos-2 + CLIP + LSTM policy

A camera picture and a sentence in; linear_x (m/s), angular_z (rad/s) and the probability that the task is done out.
Architecture, units, limits and preprocessing are in `config.json`. {training["parameters"]:,} parameters, float32.

## How to make it again

```
{commands}
```

Weights were trained from scratch, with no pretrained part: this policy knows the rooms and sentences of its data and
nothing else.

## What training measured

`grounding`: share of held-out views in which the best patch shows the named thing, beside a random patch (`chance`)
and a random patch of any object (`any_object`). `imitation`: mean absolute errors of the first command on held-out
recordings, in m/s and rad/s, beside the best constant (`_constant`) and the same frames under other words
(`_swapped_words`). {_weakness(training["grounding"])}

```json
{json.dumps(training, indent=2)}
```
"""


def _weakness(grounding: dict[str, dict[str, float]]) -> str:
    """What a reader has to know of a tower that points no better than one that does not hear the words."""
    found, deaf = grounding["kosmos2"]["accuracy"], grounding["clip"]["any_object"]
    if found > deaf:
        return ""
    return (
        f"**Kosmos-2's action token does not yet point at the named thing** ({found:.2f}, where pointing at any object "
        f"gives {deaf:.2f}): in this policy the words reach the action through CLIP."
    )
