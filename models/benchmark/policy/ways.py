"""Ways of the same control step on the same weights: transformers' own, RoboVLMs', a window encoded anew, and ours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from copy import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...engine.parts import Parts, PassedOn, Prepared
from ...engine.stages import rebuilt
from ...modeling import EncodedInstruction, Observation, VLAModel, plain_dtype
from ...policy import VLAPolicy
from ...preprocessing import normalise
from ...sequence import IMAGE_TOKEN, Sequence, compose, lay_out
from .opened import begin_lean

Answer = tuple[Tensor, Tensor]


class Way(ABC):
    """One run. What all must give: the model's answer for the window that ends at the newest frame.

    Args:
        policy: whose step is made of parts; its weights are shared.
        instruction: of the run.
    """

    name: str

    def __init__(self, policy: VLAPolicy, instruction: str) -> None:
        self.policy, self.sentence = policy, instruction
        self.model: VLAModel = policy.model
        self.config = policy.config

    @abstractmethod
    def still(self, pictures: Tensor, times: int) -> None:
        """Take the same frame so many times, without computing it more than once: to fill the window.

        Args:
            pictures: uint8 (c, s, s, 3).
            times: at least 1.
        """

    @abstractmethod
    def step(self, pictures: Tensor) -> Answer:
        """Take the next frame, uint8 (c, s, s, 3) -> continuous group (chunk, k), probabilities (chunk, m)."""


class _PerFrame(Way):
    """Each frame through transformers' models once; fused features of the window through the head at every step."""

    def __init__(self, policy: VLAPolicy, instruction: str) -> None:
        super().__init__(policy, instruction)
        self._window: deque[Tensor] = deque(maxlen=self.config.window)
        with torch.inference_mode():
            self.instruction: EncodedInstruction = policy.encoder(self.model, [instruction])
            prompt, tokens = self.instruction.prompt, self.model.action_tokens
            self.latents = int(self.model.backbone.model.config.latent_query_num)
            self.layout = lay_out(
                prompt, image_tokens=self.latents, pictures=1, action_tokens=0 if tokens is None else len(tokens)
            ).to(self.model.device)
            self.cameras = [self.config.cameras.index(name) for name in prompt.cameras]
            self.first = prompt.cameras.index(self.config.cameras[0])

    @torch.inference_mode()
    def still(self, pictures: Tensor, times: int) -> None:
        """See `Way.still`."""
        self._window.extend([self._fused(pictures)] * times)

    @torch.inference_mode()
    def step(self, pictures: Tensor) -> Answer:
        """See `Way.step`."""
        self._window.append(self._fused(pictures))
        head = self.model.head
        assert head is not None
        continuous, binary = head(torch.stack(list(self._window), dim=1))
        return continuous[0, -1], binary[0, -1].sigmoid()

    @abstractmethod
    def backbone(self, pixels: Tensor) -> dict[str, Tensor]:
        """Kosmos-2's features of normalised pictures (c, 3, s, s), in the order of their places."""

    def words(self) -> EncodedInstruction:
        """The instruction for this frame."""
        return self.instruction

    def embeds(self, images: Tensor) -> Sequence:
        """The frame's prompt around latents (1, c, q, d)."""
        tokens = self.model.action_embeddings(1, 1)
        words = self.model.backbone.word_embedding(self.instruction.prompt.ids)
        return compose(self.layout, words, images, None, None if tokens is None else tokens.flatten(1, 2))

    def vision_features(self, latents: Tensor, pooled: Tensor) -> dict[str, Tensor]:
        """Of latents (c, q, d) and pooled states (c, v)."""
        of_first = slice(self.first, self.first + 1)
        return {"backbone_image": latents[of_first].mean(dim=1), "backbone_vision": pooled[of_first]}

    def read(self, sequence: Sequence, states: Tensor) -> dict[str, Tensor]:
        """The feature `backbone` of last states (1, L, d)."""
        return {"backbone": self.model.read(sequence, states).flatten(1)}

    def _fused(self, pictures: Tensor) -> Tensor:
        model = self.model
        pixels = normalise(pictures, self.config.image)
        features = self.backbone(pixels[self.cameras].to(plain_dtype(model.backbone.vision_tower)))
        features |= self._clip(pixels[:1])
        assert model.head is not None
        dtype = plain_dtype(model.head)
        used = {name: features[name].to(dtype) for name in self.config.features}
        return model.fusion(used) if model.fusion is not None else used["backbone"]

    def _clip(self, pixels: Tensor) -> dict[str, Tensor]:
        clip = self.model.clip
        if clip is None:
            return {}
        instruction = self.words() if clip.reads else self.instruction
        features = dict(instruction.clip_text)
        if clip.sees:
            seen = clip.clip.vision_model(pixel_values=pixels.to(plain_dtype(clip)))
            raw = clip.clip.visual_projection(seen.pooler_output)
            features |= {
                "clip_image_pooled": seen.pooler_output,
                "clip_image_raw": raw,
                "clip_image": F.normalize(raw, dim=-1),
            }
            if "clip_similarity" in self.config.features and instruction.clip_prompts is not None:
                states = clip.clip.vision_model.post_layernorm(seen.last_hidden_state[:, 1:])
                patches = F.normalize(clip.clip.visual_projection(states), dim=-1)
                features["clip_similarity"] = clip.similarity(patches, instruction.clip_prompts).sigmoid().flatten(1)
        return features


class Stock(_PerFrame):
    """Kosmos2ForConditionalGeneration as transformers calls it, keys and values kept and all; and both CLIP towers."""

    name = "transformers"

    def __init__(self, policy: VLAPolicy, instruction: str) -> None:
        super().__init__(policy, instruction)
        self._kosmos = with_language_head(self.model)
        self._mask = self.layout.kinds == IMAGE_TOKEN
        self._all = torch.ones_like(self.layout.kinds)

    def words(self) -> EncodedInstruction:
        """CLIPModel runs its text tower at every call."""
        return self.policy.encoder(self.model, [self.sentence])

    def backbone(self, pixels: Tensor) -> dict[str, Tensor]:
        """See `_PerFrame.backbone`."""
        width = self.model.backbone.hidden_size
        places = torch.zeros(1, len(pixels), self.latents, width, dtype=self.model.dtype, device=pixels.device)
        sequence = self.embeds(places)
        out = self._kosmos(
            pixel_values=pixels,
            inputs_embeds=sequence.embeds,  # it writes the picture into them
            image_embeds_position_mask=self._mask,
            attention_mask=self._all,
            output_hidden_states=True,
        )
        features = self.vision_features(out.image_embeds, out.vision_model_output.pooler_output)
        return features | self.read(sequence, out.hidden_states[-1])


class RoboVLMs(_PerFrame):
    """RoboVLMs' step with its LSTM: the causal model with its language head over embeddings composed outside."""

    name = "RoboVLMs-style"

    def __init__(self, policy: VLAPolicy, instruction: str) -> None:
        super().__init__(policy, instruction)
        self._kosmos = with_language_head(self.model)
        self._all = torch.ones_like(self.layout.kinds)

    def backbone(self, pixels: Tensor) -> dict[str, Tensor]:
        """See `_PerFrame.backbone`."""
        latents, pooled = self.model.backbone.encode_images_pooled(pixels)
        sequence = self.embeds(latents[None].to(self.model.dtype))
        out = self._kosmos.text_model(
            inputs_embeds=sequence.embeds, attention_mask=self._all, use_cache=False, output_hidden_states=True
        )
        return self.vision_features(latents, pooled) | self.read(sequence, out.hidden_states[-1])


class WholeWindow(Way):
    """All pictures of the window through the model at every step, in one batch."""

    name = "whole window"

    def __init__(self, policy: VLAPolicy, instruction: str) -> None:
        super().__init__(policy, instruction)
        self._pictures: deque[Tensor] = deque(maxlen=self.config.window)
        with torch.inference_mode():
            self._instruction = policy.encoder(self.model, [instruction])

    def still(self, pictures: Tensor, times: int) -> None:
        """See `Way.still`."""
        self._pictures.extend([pictures] * times)

    @torch.inference_mode()
    def step(self, pictures: Tensor) -> Answer:
        """See `Way.step`."""
        self._pictures.append(pictures)
        continuous, binary = self.model(Observation(torch.stack(list(self._pictures))[None]), self._instruction)
        return continuous[0, -1], binary[0, -1].sigmoid()


class Ours(Way):
    """The policy's engine.

    Args:
        policy: see `Way`.
        instruction: see `Way`.
        window: frames of the window; None: the policy's.
    """

    name = "this package"

    def __init__(self, policy: VLAPolicy, instruction: str, window: int | None = None) -> None:
        super().__init__(policy, instruction)
        made: list[_Replayed] = []

        def wrap(parts: Parts) -> Parts:
            made.append(_Replayed(parts))
            return made[-1]

        self._run = rebuilt(begin_lean(policy, instruction), wrap, window)
        self._replayed = made[0]

    def still(self, pictures: Tensor, times: int) -> None:
        """See `Way.still`."""
        self.step(pictures)
        self._replayed.replays = True
        for _ in range(times - 1):
            self.step(pictures)
        self._replayed.replays = False

    def step(self, pictures: Tensor) -> Answer:
        """See `Way.step`."""
        return self._run.step(pictures, None)


class _Replayed(PassedOn):
    """Parts that say again what they said of the last frame while `replays` is set; nothing else is in their way."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.replays = False
        self._seen: tuple[Tensor, Tensor] | None = None
        self._read: Tensor | None = None
        self._clip: tuple[Tensor, ...] | None = None

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.see`."""
        if not self.replays or self._seen is None:
            self._seen = self._parts.see(pixels)
        return self._seen

    def read(self, latents: Tensor, prepared: Prepared) -> Tensor:
        """See `Parts.read`."""
        if not self.replays or self._read is None:
            self._read = self._parts.read(latents, prepared)
        return self._read

    def clip(self, pixels: Tensor, prepared: Prepared) -> tuple[Tensor, ...]:
        """See `Parts.clip`."""
        if not self.replays or self._clip is None:
            self._clip = self._parts.clip(pixels, prepared)
        return self._clip


def with_language_head(model: VLAModel) -> Any:
    """The whole Kosmos-2 of transformers over a model's own modules, its language head tied to the words: no copies."""
    kosmos, text = _shell(model.backbone.model), _shell(model.backbone.model.text_model)
    words = model.backbone.word_embedding.weight
    text.lm_head = nn.Linear(words.shape[1], words.shape[0], bias=False, device="meta")
    text.lm_head.weight = nn.Parameter(words.detach(), requires_grad=False)
    kosmos.text_model = text
    return kosmos.eval()


def _shell(module: nn.Module) -> Any:
    """The same module again, whose submodules can be replaced without the first's noticing."""
    shell = copy(module)
    shell._modules = dict(module._modules)
    return shell
