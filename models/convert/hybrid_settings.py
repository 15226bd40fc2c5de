"""What no tensor of a Simple-CLIP-LSTM checkpoint shows, and its user has to say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..configuration import FeatureName, Limits
from ..layers import Activation
from ..preprocessing import CLIP_MEAN, CLIP_STD

# What pictures were normalised with, by the name of the models that have it so.
NORMALISATION = {
    "clip": (CLIP_MEAN, CLIP_STD),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class HybridSettings:
    """Said by the user, never guessed.

    Attributes:
        fusion_inputs: features in the order in which they were concatenated, see `FusionConfig`.
        read_out: (source, pooling) of the feature `backbone`, see `PooledReadout`; None where it is not fused.
        fusion_activation: after `feature_fusion`; None for none.
        activation: of the hidden layers of `actions.mlp`; None for none.
        final_tanh: whether the network's output went through tanh.
        actions: names and units of the outputs, in their order.
        action_scale: what an output of 1 means, in the units of `actions`.
        dt: seconds between frames.
        window: frames that the LSTM runs over.
        normalisation: mean and std of the pictures, in shares of full brightness.
        interpolation: of the pictures' resize, see `ImagePreprocessing`.
        prompt: of Kosmos-2, see `prompt.py`, without a place for an action.
        tokenizer, clip_tokenizer: directories or hub ids; the latter only where CLIP reads words.
        kosmos_config, clip_config: config.json of the models; None: the released model of the same widths.
        limits: of the base; None: a policy that drives no base until it has some.
    """

    fusion_inputs: tuple[FeatureName, ...]
    read_out: tuple[str, str] | None
    fusion_activation: Activation | None
    activation: Activation | None
    final_tanh: bool
    actions: tuple[tuple[str, str], ...]
    action_scale: tuple[float, ...]
    dt: float
    window: int
    normalisation: tuple[tuple[float, float, float], tuple[float, float, float]]
    interpolation: str
    prompt: str
    tokenizer: str
    clip_tokenizer: str | None
    kosmos_config: Path | None
    clip_config: Path | None
    limits: Limits | None
