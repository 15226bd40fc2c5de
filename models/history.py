"""A run's history at run time: each picture is encoded once, and what can be kept of earlier frames is.

Whatever is kept, the answer to a frame is what the model gives for the window that ends there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from .backbone import DecoderCache
from .modeling import EncodedInstruction, VLAModel
from .spoken import Spoken, speak_actions


@dataclass(frozen=True)
class Frame:
    """What is kept of a frame.

    Pictures as (1, 1, c, q, w) for the backbone, state (1, 1, S), and features of this frame alone (1, size).
    """

    images: Tensor
    state: Tensor | None
    features: dict[str, Tensor]


class History(ABC):
    """One run under one instruction.

    Args:
        model: in evaluation mode.
        instruction: batch of 1.
    """

    def __init__(self, model: VLAModel, instruction: EncodedInstruction) -> None:
        self._model = model
        self._instruction = instruction
        self._frames: deque[Frame] = deque(maxlen=model.config.window)

    @torch.inference_mode()
    def step(self, pictures: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take the next frame.

        Args:
            pictures: uint8 (c, s, s, 3).
            state: (S,), or None.

        Returns:
            continuous group (chunk, k) in [-1, 1] and probabilities of the binary group (chunk, m), of this frame.
        """
        model = self._model
        images, features = model.encode_frames(pictures[None], self._instruction)
        self._frames.append(Frame(images[None], None if state is None else state[None, None], features))
        return self._answer() if model.runs_decoder else self._act(None)

    @abstractmethod
    def _answer(self) -> tuple[Tensor, Tensor]:
        """What to do at the newest frame."""

    def _images(self) -> Tensor:
        return torch.cat([frame.images for frame in self._frames], dim=1)

    def _states(self) -> Tensor | None:
        states = [frame.state for frame in self._frames if frame.state is not None]
        return torch.cat(states, dim=1) if states else None

    def _act(self, backbone: Tensor | None) -> tuple[Tensor, Tensor]:
        """Head over the window; `backbone` (1, l, size)."""
        features = {} if backbone is None else {"backbone": backbone}
        for name in self._frames[-1].features:
            features[name] = torch.stack([frame.features[name] for frame in self._frames], dim=1)
        continuous, binary = self._model.act(features)
        return continuous[0, -1], binary[0, -1].sigmoid()


class PostHistory(History):
    """Each frame goes through the backbone once; the head sees the features of the window."""

    def __init__(self, model: VLAModel, instruction: EncodedInstruction) -> None:
        super().__init__(model, instruction)
        self._features: deque[Tensor] = deque(maxlen=model.config.window)

    def _answer(self) -> tuple[Tensor, Tensor]:
        newest = self._frames[-1]
        self._features.append(self._model.backbone_features(newest.images, newest.state, self._instruction.prompt))
        return self._act(torch.cat(list(self._features), dim=1))


class PreHistory(History):
    """The frames' prompts lie in one causal sequence.

    While the window fills, only the new frame's prompt is run, on the keys and values of those before. Once it is
    full, the oldest frame leaves it, and with it what all later ones had seen: the sequence is run anew, from pictures
    encoded before.
    """

    def __init__(self, model: VLAModel, instruction: EncodedInstruction) -> None:
        super().__init__(model, instruction)
        self._cache = DecoderCache()
        self._features: list[Tensor] = []

    def _answer(self) -> tuple[Tensor, Tensor]:
        if len(self._features) == self._model.config.window:
            backbone = self._model.backbone_features(self._images(), self._states(), self._instruction.prompt)
            return self._act(backbone)
        newest = self._frames[-1]
        model = self._model
        tokens = model.action_embeddings(1, 1)
        sequence = model.sequence(self._instruction.prompt, newest.images, newest.state, tokens, together=False)
        states = model.backbone.run(sequence, self._cache)
        self._features.append(model.read(sequence, states).flatten(2))
        if len(self._features) == model.config.window:
            self._cache = DecoderCache()
        return self._act(torch.cat(self._features, dim=1))


class VideoHistory(History):
    """All pictures of the window lie in one prompt, which is run anew from pictures encoded before."""

    def _answer(self) -> tuple[Tensor, Tensor]:
        return self._act(self._model.backbone_features(self._images(), self._states(), self._instruction.prompt))


class SpokenHistory(History):
    """The backbone speaks its actions; with history "pre" it hears those that it spoke before."""

    def __init__(self, model: VLAModel, instruction: EncodedInstruction) -> None:
        super().__init__(model, instruction)
        self._spoken: deque[Tensor] = deque(maxlen=model.config.window)

    def _answer(self) -> tuple[Tensor, Tensor]:
        spoken = self._speak()
        self._spoken.append(spoken.ids)
        return spoken.continuous[0], spoken.binary[0]

    def _speak(self) -> Spoken:
        model, prompt = self._model, self._instruction.prompt
        if model.config.history != "pre" or len(self._frames) == 1:
            newest = self._frames[-1]
            sequence = model.sequence(prompt, newest.images, newest.state, None, together=False, open_ended=True)
            return speak_actions(model, sequence)
        before = list(self._spoken)[1 - len(self._frames) :]
        # The place of the newest action is not reached: an open-ended sequence stops before it.
        ids = torch.stack([*before, before[-1]], dim=1)
        words = model.backbone.word_embedding(ids)
        sequence = model.sequence(prompt, self._images(), self._states(), words, together=True, open_ended=True)
        return speak_actions(model, sequence)


def begin_history(model: VLAModel, instruction: EncodedInstruction) -> History:
    """The history of a run that begins, of the kind that the policy's configuration names."""
    if model.head is None:
        return SpokenHistory(model, instruction)
    if model.config.history == "pre":
        return PreHistory(model, instruction)
    if model.config.history == "video":
        return VideoHistory(model, instruction)
    return PostHistory(model, instruction)
