"""The model card that is written beside the weights."""

from __future__ import annotations

import json


def model_card(training: dict[str, object]) -> str:
    """README.md of a policy directory: what it is, how to make it again, what training measured."""
    return f"""# A small Kosmos-2 + CLIP + LSTM policy

A camera picture and a sentence in; linear_x (m/s), angular_z (rad/s) and the probability that the task is done out.
Architecture, units, limits and preprocessing are in `config.json`. {training["parameters"]:,} parameters, float32.

## How to make it again

```
mobile-vla render-views --help
mobile-vla record --help
mobile-vla train --config {training["configuration"]}
```

The header of the configuration holds the exact commands. Weights were trained from scratch, with no pretrained part:
this policy knows the simulator's rooms and sentences and nothing else.

## What training measured

`grounding`: share of held-out views in which the best patch shows the named thing, for both towers, beside a random
patch (`chance`) and a random patch of any object (`any_object`). `imitation`: mean absolute errors of the first
command on held-out recordings, in m/s and rad/s, beside the best constant (`_constant`) and the same frames under
other words (`_swapped_words`).

```json
{json.dumps(training, indent=2)}
```
"""
