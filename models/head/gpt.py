"""The GPT head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model

from ..configuration import Squash
from ..layers import Layer
from .mlp import ActionHead


class GPTHead(ActionHead):
    """Causal GPT-2 over the window with learned positions, then the action MLPs on every frame's state.

    Same computation as RoboVLMs' GPTDecoder (Li et al., 2024) with `latent` 1. Its checkpoints also hold the causal
    masks (`gpt.h.*.attn.bias`, `gpt.h.*.attn.masked_bias`), which are no weights.
    """

    def __init__(
        self,
        in_features: int,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        dropout: float,
        window: int,
        mlp: Sequence[Layer],
        squash: Squash,
        chunk: int,
        continuous: int,
        binary: int,
    ) -> None:
        if hidden_size % num_heads:
            raise ValueError(f"GPT head: hidden size {hidden_size} is no multiple of the {num_heads} attention heads")
        super().__init__(hidden_size, mlp, squash, chunk, continuous, binary)
        self.window = window
        self.fc = nn.Identity() if in_features == hidden_size else nn.Linear(in_features, hidden_size)
        self.gpt = GPT2Model(
            GPT2Config(
                vocab_size=1,
                n_positions=window,
                n_embd=hidden_size,
                n_layer=num_layers,
                n_head=num_heads,
                activation_function="gelu_new",
                embd_pdrop=dropout,
                attn_pdrop=dropout,
                resid_pdrop=dropout,
                bos_token_id=None,
                eos_token_id=None,
            )
        )
        # Features come in place of tokens: no token embedding, and so no parameter that never gets a gradient.
        self.gpt.set_input_embeddings(nn.Identity())

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Run the GPT over the frames given; a frame sees itself and those before it.

        Args:
            features: (b, l, in_features), oldest frame first, l at most `window`.

        Returns:
            continuous group (b, l, chunk, k) in [-1, 1] and logits of the binary group (b, l, chunk, m; m may be 0).

        Raises:
            ValueError: more frames than the window has positions.
        """
        if features.shape[1] > self.window:
            raise ValueError(f"GPT head: {features.shape[1]} frames, but its window is {self.window}")
        states = self.gpt(inputs_embeds=self.fc(features), use_cache=False).last_hidden_state
        return self.actions(states)
