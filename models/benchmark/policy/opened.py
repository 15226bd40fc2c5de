"""The policy that is measured, and the engine that runs it."""

from __future__ import annotations

import torch

from ...engine.engine import Running
from ...engine.history import LeanHistory
from ...engine.parts import why_not_lean
from ...errors import MobileVLAError
from ...policy import VLAPolicy


class BenchmarkError(MobileVLAError):
    """Something cannot be measured; the message says what and why."""


@torch.inference_mode()
def begin(policy: VLAPolicy, instruction: str) -> Running:
    """A run of the policy's engine, beside the policy's own."""
    return policy.engine.begin(policy.encoder(policy.model, [instruction]))


def begin_lean(policy: VLAPolicy, instruction: str) -> LeanHistory:
    """The same for a policy whose step is made of parts.

    Raises:
        BenchmarkError: it is not.
    """
    history = begin(policy, instruction)
    if not isinstance(history, LeanHistory):
        reason = why_not_lean(policy.config) or f"the engine {policy.engine.name} runs it in one piece"
        raise BenchmarkError(f"the policy's step is not made of parts that can be looked at one by one: {reason}")
    return history
