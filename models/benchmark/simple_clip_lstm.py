"""The policy behind a Simple-CLIP-LSTM checkpoint, written the straightforward way: plain PyTorch and transformers.

Nothing of the package computes here, so that a converted policy can be compared with it.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, Kosmos2Config, Kosmos2Model

from ..convert.hybrid_layout import LANGUAGE_HEAD, HybridLayout

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
    "silu": nn.functional.silu,
    "tanh": torch.tanh,
}
# Over the tokens, states (l, n, d) -> (l, d).
POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda states: states.mean(dim=1),
    "first": lambda states: states[:, 0],
    "last": lambda states: states[:, -1],
    "max": lambda states: states.amax(dim=1),
}


class SimpleCLIPLSTM(nn.Module):
    """Kosmos-2 and CLIP features of each frame, concatenated -> linear -> LSTM over the window -> MLP -> action.

    Args:
        checkpoint_path: of torch.save; its model_state_dict is loaded strictly.
        layout: configurations, prefix, and whether there is a language head (dropped: it makes no feature).
        inputs: the features, in the order of concatenation. "kosmos_text" (last hidden state of the text model) and
            "kosmos_image" (the projected latents of the picture), each with one of ":mean", ":first", ":last",
            ":max" over all its tokens; "kosmos_vision" (class token after the last layer norm); "clip_image_pooled"
            and "clip_text_pooled" (before the projections); "clip_image" and "clip_text" (after), with ":unit" also
            of unit length.
        activation: of each hidden layer of the MLP, a key of `ACTIVATIONS`.
        final_tanh: whether the MLP's output goes through tanh.
        fusion_activation: after the fusion's linear layer; None for none.
        scale: the action is multiplied by, after tanh.
    """

    def __init__(
        self,
        checkpoint_path: Path,
        layout: HybridLayout,
        *,
        inputs: Sequence[str],
        activation: str,
        final_tanh: bool,
        fusion_activation: str | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.inputs = tuple(inputs)
        self.activation = ACTIVATIONS[activation]
        self.fusion_activation = None if fusion_activation is None else ACTIVATIONS[fusion_activation]
        self.final_tanh = final_tanh
        self.scale = scale

        with torch.serialization.safe_globals([Namespace]):
            saved = torch.load(checkpoint_path, weights_only=True)["model_state_dict"]
        if not all(name.startswith(layout.prefix) for name in saved):
            raise ValueError(f"not all names begin with {layout.prefix!r}")
        state = {name[len(layout.prefix) :]: tensor for name, tensor in saved.items()}
        if (LANGUAGE_HEAD in state) != (layout.language_head != "none"):
            raise ValueError(f"the layout says language_head {layout.language_head!r}")
        state.pop(LANGUAGE_HEAD, None)

        self.kosmos_model = Kosmos2Model(Kosmos2Config(**layout.kosmos))
        # As in `backbone.kosmos2`: some versions of transformers let a latent see the earlier patches only.
        self.kosmos_model.image_to_text_projection.x_attn.is_causal = False
        self.clip_model = CLIPModel(CLIPConfig(**layout.clip))
        outputs, width = state["feature_fusion.weight"].shape
        self.feature_fusion = nn.Linear(width, outputs)
        layers = sum(name.startswith("rnn.weight_ih_l") for name in state)
        self.rnn = nn.LSTM(outputs, state["rnn.weight_hh_l0"].shape[1], layers, batch_first=True)
        self.actions = nn.ModuleDict({"mlp": _mlp(state)})
        self.load_state_dict(state, strict=True)
        self.eval()

    @torch.no_grad()
    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        image_position_mask: Tensor,
        clip_pixel_values: Tensor,
        clip_input_ids: Tensor,
    ) -> Tensor:
        """The action after the last frame of a window.

        Args:
            pixel_values: float32 (l, 3, s, s), Kosmos-2's pictures of the window, oldest first.
            input_ids: int64 (1, t), Kosmos-2's words, the same for all frames, unpadded; at the picture's places any
                id but the padding's, which would take away the place's position.
            image_position_mask: bool (1, t), the places of the picture's latents.
            clip_pixel_values: float32 (l, 3, s, s).
            clip_input_ids: int64 (1, t'), CLIP's words, unpadded, with their end token.

        Returns:
            float32 (2,).
        """
        features = self.features(pixel_values, input_ids, image_position_mask, clip_pixel_values, clip_input_ids)
        fused = self.feature_fusion(torch.cat([features[name] for name in self.inputs], dim=-1))
        if self.fusion_activation is not None:
            fused = self.fusion_activation(fused)
        states, _ = self.rnn(fused[None])
        action = self._head(states[0, -1])
        if self.final_tanh:
            action = torch.tanh(action)
        return action * self.scale

    @torch.no_grad()
    def features(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        image_position_mask: Tensor,
        clip_pixel_values: Tensor,
        clip_input_ids: Tensor,
    ) -> dict[str, Tensor]:
        """Every feature there is, by its name, (l, its width); arguments as of `forward`."""
        frames = len(pixel_values)
        words = input_ids.expand(frames, -1)
        kosmos = self.kosmos_model(
            pixel_values=pixel_values,
            input_ids=words,
            attention_mask=torch.ones_like(words),
            image_embeds_position_mask=image_position_mask.expand(frames, -1),
        )
        features = {
            # Again: in the forward above, the projected latents take the pooled output's place.
            "kosmos_vision": self.kosmos_model.vision_model(pixel_values=pixel_values).pooler_output,
            "clip_image_pooled": self.clip_model.vision_model(pixel_values=clip_pixel_values).pooler_output,
            "clip_text_pooled": self.clip_model.text_model(input_ids=clip_input_ids).pooler_output.expand(frames, -1),
        }
        for name, pool in POOLINGS.items():
            features[f"kosmos_text:{name}"] = pool(kosmos.last_hidden_state)
            # As they leave the projection: the text model scales them with its words, by the root of its width.
            features[f"kosmos_image:{name}"] = pool(kosmos.image_embeds)
        features["clip_image"] = self.clip_model.visual_projection(features["clip_image_pooled"])
        features["clip_text"] = self.clip_model.text_projection(features["clip_text_pooled"])
        for name in ("clip_image", "clip_text"):
            features[f"{name}:unit"] = features[name] / features[name].norm(dim=-1, keepdim=True)
        return features

    def _head(self, state: Tensor) -> Tensor:
        gap = False
        for layer in cast(nn.Sequential, self.actions["mlp"]):
            # Of the gaps side by side, the first is the activation and the others are dropout.
            if isinstance(layer, nn.Identity):
                state = state if gap else self.activation(state)
                gap = True
            else:
                state = layer(state)
                gap = False
        return state


def random_inputs(layout: HybridLayout, *, seed: int, frames: int, words: int = 5) -> dict[str, Tensor]:
    """Arguments of `SimpleCLIPLSTM.forward` by their names: <s>, the picture's latents, words, </s>."""
    generator = torch.Generator().manual_seed(seed)
    latents = int(layout.kosmos["latent_query_num"])

    def sentence(config: Mapping[str, Any], latents: int) -> Tensor:
        # Ordinary words: no special ids, which are the first four or the last two.
        drawn = torch.randint(4, int(config["vocab_size"]) - 2, (words,), generator=generator)
        begin, end = int(config["bos_token_id"]), int(config["eos_token_id"])
        return torch.tensor([[begin, *[4] * latents, *drawn.tolist(), end]])

    def pictures(config: Mapping[str, Any]) -> Tensor:
        size = int(config["image_size"])
        return torch.randn(frames, 3, size, size, generator=generator)

    input_ids = sentence(layout.kosmos["text_config"], latents)
    place = torch.arange(input_ids.shape[1])[None]
    return {
        "pixel_values": pictures(layout.kosmos["vision_config"]),
        "input_ids": input_ids,
        "image_position_mask": (place >= 1) & (place <= latents),
        "clip_pixel_values": pictures(layout.clip["vision_config"]),
        "clip_input_ids": sentence(layout.clip["text_config"], 0),
    }


def _mlp(state: Mapping[str, Tensor]) -> nn.Sequential:
    """`actions.mlp` by the shapes of its tensors, a gap where an index has none.

    Raises:
        ValueError: a hidden layer without a gap for its activation, or with gaps in two places.
    """
    name = "actions.mlp."
    weights = {
        int(key[len(name) :].split(".")[0]): tensor
        for key, tensor in state.items()
        if key.startswith(name) and key.endswith(".weight")
    }
    layers: list[nn.Module] = []
    places: list[int] = []  # where gaps are, of each hidden layer
    for index in range(max(weights) + 1):
        weight = weights.get(index)
        if weight is None:
            if not isinstance(layers[-1], nn.Identity):
                places[-1] += 1
            layers.append(nn.Identity())
        elif weight.dim() == 2:
            layers.append(nn.Linear(weight.shape[1], weight.shape[0]))
            places.append(0)
        else:
            layers.append(nn.LayerNorm(len(weight)))
    if places != [1] * (len(places) - 1) + [0]:
        raise ValueError(f"gaps in {places} places of the linear layers of {name}, expected 1 of each but the last")
    return nn.Sequential(*layers)
