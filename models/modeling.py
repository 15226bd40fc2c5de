"""The model: a backbone's and CLIP's features of each frame -> fusion -> head over the window -> chunk of actions."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, PreTrainedModel

from .action_bins import ActionBins
from .backbone import backbone_configuration, build_backbone, find_backbone
from .clip import ClipGrounding
from .configuration import PolicyConfig
from .errors import BackboneError
from .fusion import build_fusion
from .head import ActionHead, build_head
from .preprocessing import normalise
from .prompt import EncodedPrompt
from .quantization.linear import QuantisedLinear
from .readout import read_out
from .resampler import PerceiverResampler
from .sequence import Sequence, compose, lay_out
from .state import StateEncoder


@dataclass(frozen=True)
class EncodedInstruction:
    """What the words come to, computed once per instruction (batch b, the same for every frame of a run).

    Attributes:
        prompt: tokens of the backbone's prompt.
        clip_text: features of CLIP's text tower by name, each (b, size); none if the policy has no such feature.
        clip_prompts: (b, n, e), CLIP embeddings of the n prompts to compare patches with, unit length; None without.
    """

    prompt: EncodedPrompt
    clip_text: dict[str, Tensor]
    clip_prompts: Tensor | None


@dataclass(frozen=True)
class Observation:
    """Windows of frames.

    Attributes:
        pictures: uint8 (b, l, c, s, s, 3), oldest frame first, cameras in the order of the configuration.
        state: float (b, l, S), units of the configuration; None if the policy takes none.
    """

    pictures: Tensor
    state: Tensor | None = None


class VLAModel(nn.Module):
    """Weights and computation of a policy; knows tensors only, no files and no strings.

    Args:
        config: of the policy.
        vlm: the backbone's model; None: with freshly drawn weights, as `config` says.
        clip: likewise.

    Raises:
        BackboneError: a part of the backbone is missing, or the pictures are not of its size.
    """

    def __init__(self, config: PolicyConfig, vlm: PreTrainedModel | None = None, clip: CLIPModel | None = None) -> None:
        super().__init__()
        self.config = config
        name, language_head = config.backbone.type, config.backbone.language_head
        if vlm is None:
            self.backbone = build_backbone(name, backbone_configuration(config.backbone.config), language_head)
        else:
            self.backbone = find_backbone(name)(vlm, language_head)
        if self.backbone.image_size not in (None, config.image.size):
            raise BackboneError(
                f"image.size is {config.image.size}, the backbone's vision tower takes {self.backbone.image_size}"
            )
        width = self.backbone.hidden_size
        self.resampler = (
            PerceiverResampler(width, **config.resampler.model_dump()) if config.resampler is not None else None
        )
        self.state_encoder = StateEncoder(config.state, width) if config.state else None
        self.action_tokens: nn.Parameter | None = None
        if config.readout is not None and config.readout.type == "action_token":
            self.action_tokens = nn.Parameter(self._like_words(config.readout.tokens))
        self.clip: ClipGrounding | None = None
        if config.clip is not None:
            towers = clip if clip is not None else CLIPModel(CLIPConfig(**config.clip.config))
            self.clip = ClipGrounding(towers, config.features)
        self.fusion = build_fusion(config.fusion, self.feature_sizes) if config.fusion is not None else None
        self.bins: ActionBins | None = None
        self.head: ActionHead | None = None
        if config.head.type == "discrete":
            if config.head.end > self.backbone.vocabulary_size:
                raise BackboneError(
                    f"head.end is {config.head.end}, the backbone knows {self.backbone.vocabulary_size} ids"
                )
            self.bins = ActionBins(config.head.bins, config.head.end)
        else:
            self.head = build_head(
                config.head,
                in_features=config.fusion.hidden_size if config.fusion is not None else self.feature_sizes["backbone"],
                window=config.window,
                chunk=config.chunk,
                continuous=len(config.action.continuous),
                binary=len(config.action.binary),
            )

    @property
    def feature_sizes(self) -> dict[str, int]:
        """Width of every feature that a frame can have, by name."""
        sizes: dict[str, int] = {}
        if self.config.readout is not None:
            sizes["backbone"] = self.backbone.hidden_size * self.config.readout.tokens
        sizes["backbone_image"] = self.backbone.hidden_size
        if "backbone_vision" in self.config.features:
            sizes["backbone_vision"] = self.backbone.vision_size
        if self.clip is not None and self.config.clip is not None:
            for tower, size in (("clip_image", self.clip.vision_size), ("clip_text", self.clip.text_size)):
                sizes[tower] = sizes[f"{tower}_raw"] = self.clip.embedding_size
                sizes[f"{tower}_pooled"] = size
            sizes["clip_similarity"] = self.clip.patches * len(self.config.clip.prompts)
        return sizes

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backbone.word_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of what runs through the backbone's decoder."""
        return self.backbone.word_embedding.weight.dtype

    @property
    def runs_decoder(self) -> bool:
        """Whether actions depend on the backbone's decoder; the fusion may take other features only."""
        return "backbone" in self.config.features

    @property
    def shows_backbone(self) -> bool:
        """Whether actions depend on what the backbone makes of pictures."""
        return any(name.startswith("backbone") for name in self.config.features)

    def parameter_count(self) -> int:
        """Number of parameters, all parts; shared ones count once, quantised ones too."""
        quantised = (layer for layer in self.modules() if isinstance(layer, QuantisedLinear))
        return sum(parameter.numel() for parameter in self.parameters()) + sum(
            layer.in_features * layer.out_features + (layer.out_features if layer.bias is not None else 0)
            for layer in quantised
        )

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """Pictures uint8 (n, s, s, 3), resized -> features for the backbone's sequence (n, q, w)."""
        return self.encode_pixels(normalise(pictures, self.config.image))

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Normalised pictures (n, 3, s, s) -> features for the backbone's sequence (n, q, w).

        Raises:
            BackboneError: a resampler, and a backbone whose features are looked at, or go to deeper layers too.
        """
        return self._resample(self.backbone.encode_images(pixels.to(plain_dtype(self.backbone.vision_tower))))

    def encode_frames(self, pictures: Tensor, instruction: EncodedInstruction) -> tuple[Tensor, dict[str, Tensor]]:
        """What the vision towers make of frames; each tower looks once at each picture.

        Args:
            pictures: uint8 (n, c, s, s, 3), resized, cameras in the order of the configuration.
            instruction: batch n, or 1 for all frames.

        Returns:
            Features for the backbone's sequence (n, c, q, w), with q 0 where actions do not depend on them; and those
            features of single frames that the fusion asks for, by name, each (n, size), of the first camera.
        """
        count, cameras = pictures.shape[:2]
        pixels = normalise(pictures.flatten(0, 1), self.config.image)
        features: dict[str, Tensor] = {}
        images = pixels.new_zeros(count, cameras, 0, 0)
        if self.shows_backbone:
            seen = pixels.to(plain_dtype(self.backbone.vision_tower))
            if "backbone_vision" in self.config.features:
                flat, pooled = self.backbone.encode_images_pooled(seen)
                features["backbone_vision"] = pooled[::cameras]
            else:
                flat = self.backbone.encode_images(seen)
            flat = self._resample(flat)
            images = flat.view(count, cameras, *flat.shape[1:])
            features["backbone_image"] = images[:, 0, :, : self.backbone.hidden_size].mean(dim=1)
        features |= self._clip_features(pixels[::cameras], instruction)
        return images, {name: features[name] for name in self.config.features if name in features}

    def _resample(self, images: Tensor) -> Tensor:
        if self.resampler is None:
            return images
        if images.shape[-1] != self.backbone.hidden_size:
            raise BackboneError(
                f"pictures' features are {images.shape[-1]} wide, the resampler's {self.backbone.hidden_size}: "
                f"no resampler can follow {type(self.backbone).__name__}, whose features are more than a sequence's"
            )
        return self.resampler(images)  # type: ignore[no-any-return]

    def _clip_features(self, pixels: Tensor, instruction: EncodedInstruction) -> dict[str, Tensor]:
        """All features of CLIP, each (n, size), of normalised pictures (n, 3, s, s)."""
        features: dict[str, Tensor] = {}
        if self.clip is None:
            return features
        if self.clip.sees:
            image, patches = self.clip.encode_image(pixels.to(plain_dtype(self.clip)))
            features |= image.features("clip_image")
            if instruction.clip_prompts is not None and "clip_similarity" in self.config.features:
                similarity = self.clip.similarity(patches, instruction.clip_prompts)
                features["clip_similarity"] = similarity.sigmoid().flatten(1)
        return features | {name: value.expand(len(pixels), -1) for name, value in instruction.clip_text.items()}

    def sequence(
        self,
        prompt: EncodedPrompt,
        images: Tensor,
        state: Tensor | None,
        actions: Tensor | None,
        *,
        together: bool,
        open_ended: bool = False,
        lengths: Several[int] | None = None,
    ) -> Sequence:
        """Compose prompts over windows of frames.

        Args:
            prompt: of b instructions.
            images: (b, l, c, q, w), from `encode_pictures`.
            state: (b, l, S), or None.
            actions: (b, l, n, d), embeddings in the place of `{action}`; None for a prompt that has no such place,
                or ends there.
            together: one sequence of l prompts for each sample, instead of l sequences of one.
            open_ended: end the last prompt at `{action}`.
            lengths: for each sample how many of the n are there; None: all.

        Returns:
            b sequences if together, else b * l, those of a sample side by side.
        """
        length = images.shape[1]
        images = self._as_placed(images, prompt)
        layout = lay_out(
            prompt,
            image_tokens=0 if self.backbone.cross_attends else images.shape[3],
            pictures=1,
            action_tokens=lengths if lengths is not None else 0 if actions is None else actions.shape[2],
            frames=length if together else 1,
            open_ended=open_ended,
        ).to(images.device)
        words = self.backbone.word_embedding(prompt.ids)
        states = self._state_tokens(state) if prompt.has_state else None
        if together:
            flat = None if actions is None else actions.flatten(1, 2)
            return compose(layout, words, images.flatten(1, 2), states, flat)
        return compose(
            layout.repeat(length),
            words.repeat_interleave(length, dim=0),
            images.flatten(0, 1),
            None if states is None else states.flatten(0, 1).unsqueeze(1),
            None if actions is None else actions.flatten(0, 1),
        )

    def video_sequence(self, prompt: EncodedPrompt, images: Tensor, state: Tensor | None) -> Sequence:
        """Compose one prompt over a window's pictures (b, l, c, q, w); of the states (b, l, S), the newest."""
        length = images.shape[1]
        layout = lay_out(
            prompt,
            image_tokens=0 if self.backbone.cross_attends else images.shape[3],
            pictures=length,
            action_tokens=0 if self.action_tokens is None else len(self.action_tokens),
        ).to(images.device)
        actions = self.action_embeddings(len(images), 1)
        states = self._state_tokens(None if state is None else state[:, -1:])
        images = self._as_placed(images, prompt).transpose(1, 2).flatten(1, 2)
        words = self.backbone.word_embedding(prompt.ids)
        return compose(layout, words, images, states, None if actions is None else actions.flatten(1, 2))

    def backbone_features(self, images: Tensor, state: Tensor | None, prompt: EncodedPrompt) -> Tensor:
        """What is read of the backbone over windows of frames.

        Args:
            images: (b, l, c, q, w), from `encode_pictures`.
            state: (b, l, S), or None.
            prompt: of b instructions.

        Returns:
            (b, l, tokens * d); with history "video" (b, 1, tokens * d), of the newest frame.
        """
        batch, length = images.shape[:2]
        if self.config.history == "video":
            sequence = self.video_sequence(prompt, images, state)
            return self.read(sequence, self.backbone.run(sequence)).flatten(2)
        actions = self.action_embeddings(batch, length)
        sequence = self.sequence(prompt, images, state, actions, together=self.config.history == "pre")
        return self.read(sequence, self.backbone.run(sequence)).view(batch, length, -1)

    def read(self, sequence: Sequence, states: Tensor) -> Tensor:
        """Read-out of last states (b, L, d) -> (b, frames, tokens, d)."""
        if self.config.readout is None:
            raise TypeError("a policy that speaks its actions has no features to read")
        return read_out(states, sequence.layout, self.config.readout)

    def observe(self, observation: Observation, instruction: EncodedInstruction) -> dict[str, Tensor]:
        """Features of windows of frames under b instructions, each (b, l, size); l is 1 with history "video"."""
        batch, length = observation.pictures.shape[:2]
        prompts = instruction.clip_prompts
        repeated = EncodedInstruction(
            instruction.prompt,
            {name: value.repeat_interleave(length, dim=0) for name, value in instruction.clip_text.items()},
            None if prompts is None else prompts.repeat_interleave(length, dim=0),
        )
        images, single = self.encode_frames(observation.pictures.flatten(0, 1), repeated)
        features = {name: value.view(batch, length, -1) for name, value in single.items()}
        if self.runs_decoder:
            images = images.view(batch, length, *images.shape[1:])
            features["backbone"] = self.backbone_features(images, observation.state, instruction.prompt)
        return features

    def act(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Features over a window, each (b, l, size) -> continuous group (b, l, chunk, k) in [-1, 1], binary logits."""
        if self.head is None:
            raise TypeError("a policy that speaks its actions has no head to act with; see spoken.py")
        dtype = plain_dtype(self.head)
        features = {name: value.to(dtype) for name, value in features.items()}
        return self.head(self.fusion(features) if self.fusion is not None else features["backbone"])  # type: ignore[no-any-return]

    def forward(self, observation: Observation, instruction: EncodedInstruction) -> tuple[Tensor, Tensor]:
        """Windows -> continuous group (b, l, chunk, k) in [-1, 1] and binary logits (b, l, chunk, m)."""
        return self.act(self.observe(observation, instruction))

    def _as_placed(self, images: Tensor, prompt: EncodedPrompt) -> Tensor:
        """(b, l, c, q, w), cameras in the order of the configuration -> in that of their places in the prompt."""
        return images[:, :, [self.config.cameras.index(name) for name in prompt.cameras]].to(self.dtype)

    def action_embeddings(self, batch: int, length: int) -> Tensor | None:
        """The learnt action tokens for windows of frames, (b, l, n, d); None for a policy that has none."""
        return None if self.action_tokens is None else self.action_tokens.expand(batch, length, -1, -1)

    def _state_tokens(self, state: Tensor | None) -> Tensor | None:
        """(b, l, S) -> (b, l, d)."""
        if (state is None) != (self.state_encoder is None):
            expected = [dimension.name for dimension in self.config.state]
            raise ValueError(f"the policy takes a state of {expected}, got {'none' if state is None else state.shape}")
        return None if self.state_encoder is None else self.state_encoder(state)

    def _like_words(self, count: int) -> Tensor:
        """`count` random vectors, as long as this backbone's words are."""
        vocabulary = self.backbone.word_embedding.num_embeddings
        if self.device.type == "meta":
            return torch.empty(count, self.backbone.hidden_size, device="meta")
        with torch.no_grad():
            words = self.backbone.word_embedding(torch.arange(3, min(vocabulary, 256)))
        std: Tensor = words.std()
        return torch.randn(count, words.shape[-1]) * std


def plain_dtype(module: nn.Module) -> torch.dtype:
    """Of what a module computes with: quantised matrices are buffers, what stands beside them are parameters."""
    return next(parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())


def initialise(config: PolicyConfig, seed: int) -> VLAModel:
    """A model with freshly drawn weights, the same for the same seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VLAModel(config)
