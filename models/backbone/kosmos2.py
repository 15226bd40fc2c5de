"""Kosmos-2 as a feature extractor: picture and instruction in, the state of one action token out.

The text transformer is driven with embeddings composed out of place (`torch.cat`, `torch.where`): transformers' own
`forward` writes image features into the embeddings in place, which fails when these are leaf variables.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Kosmos2Config, Kosmos2Model


class Kosmos2ActionToken(nn.Module):
    """Reads an action out of Kosmos-2 with a learnt token: `<s> [image latents] words </s> [ACT]`.

    The action token stands directly after each sample's own last word, and padding comes after it; as the text
    transformer is causal, padding can never reach the read-out.
    """

    def __init__(self, config: Kosmos2Config) -> None:
        super().__init__()
        self.kosmos2 = Kosmos2Model(config)
        text: Any = config.text_config
        self.action_token = nn.Parameter(torch.empty(text.embed_dim))
        nn.init.normal_(self.action_token, std=text.init_std)

    @property
    def feature_size(self) -> int:
        """Width of the read-out."""
        return int(self.action_token.shape[0])

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Picture (b, 3, s, s), normalised -> image latents (b, latent_query_num, embed_dim)."""
        states = self.kosmos2.vision_model(pixel_values=pixels)[0]
        states = self.kosmos2.vision_model.model.post_layernorm(states)
        latents, _ = self.kosmos2.image_to_text_projection(nn.functional.normalize(states, dim=-1))
        return latents  # type: ignore[no-any-return]

    def read_action(self, latents: Tensor, input_ids: Tensor, mask: Tensor) -> Tensor:
        """State of the action token, (b, embed_dim), after the final layer norm.

        Args:
            latents: (b, q, embed_dim) from `encode_image`.
            input_ids: int64 (b, t), right-padded, beginning with <s>.
            mask: int64 (b, t); 1 for the text's own tokens, 0 for padding.
        """
        batch, length = input_ids.shape
        words = self.kosmos2.text_model.model.embed_tokens(input_ids)
        # One more column, so that the longest text has room for its action token too. Embeddings go in unscaled:
        # the transformer multiplies the composed sequence by sqrt(embed_dim) itself.
        words = torch.cat([words, words.new_zeros(batch, 1, words.shape[-1])], dim=1)
        columns = torch.arange(length + 1, device=input_ids.device)
        is_action = columns == mask.sum(dim=1, keepdim=True)
        words = torch.where(is_action.unsqueeze(-1), self.action_token.to(words.dtype), words)
        sequence = torch.cat([words[:, :1], latents.to(words.dtype), words[:, 1:]], dim=1)
        states = self.kosmos2.text_model.model(inputs_embeds=sequence, use_cache=False).last_hidden_state
        index = mask.sum(dim=1) + latents.shape[1]
        return states[torch.arange(batch, device=states.device), index]  # type: ignore[no-any-return]
