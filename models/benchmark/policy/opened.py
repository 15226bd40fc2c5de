"""The policy that is measured, and the engine that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ...engine.history import LeanHistory
from ...engine.parts import why_not_lean
from ...errors import MobileVLAError
from ...modeling import EncodedInstruction
from ...policy import VLAPolicy

ENGINES = ("torch",)


class BenchmarkError(MobileVLAError):
    """Something cannot be measured; the message says what and why."""


class Running(Protocol):
    """A run under one instruction."""

    def step(self, pictures: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take the next frame; as `History.step`."""


class Engine(Protocol):
    """What computes a policy's steps."""

    @property
    def name(self) -> str:
        """Of the kind of engine."""

    def begin(self, instruction: EncodedInstruction) -> Running:
        """Begin a run under one instruction (batch 1)."""


def open_policy(path: Path, engine: str) -> VLAPolicy:
    """Load a policy directory with the engine that is to run it.

    Raises:
        PolicyDirectoryError: see `VLAPolicy.from_pretrained`.
        BenchmarkError: no such engine.
    """
    if engine not in ENGINES:
        raise BenchmarkError(f"engine {engine!r} is unknown, expected one of {', '.join(ENGINES)}")
    return VLAPolicy.from_pretrained(path)


def engine_of(policy: VLAPolicy) -> Engine:
    """The engine that a policy runs its steps on."""
    return policy._engine


@torch.inference_mode()
def begin(policy: VLAPolicy, instruction: str) -> Running:
    """A run of the policy's engine, beside the policy's own."""
    return engine_of(policy).begin(policy.encoder(policy.model, [instruction]))


def begin_lean(policy: VLAPolicy, instruction: str) -> LeanHistory:
    """The same for a policy whose step is made of parts.

    Raises:
        BenchmarkError: it is not.
    """
    history = begin(policy, instruction)
    if not isinstance(history, LeanHistory):
        reason = why_not_lean(policy.config) or f"the engine {engine_of(policy).name} runs it in one piece"
        raise BenchmarkError(f"the policy's step is not made of parts that can be looked at one by one: {reason}")
    return history
