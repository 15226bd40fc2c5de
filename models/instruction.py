"""From a sentence to what the model takes of it: both tokenizers and the prompts of a policy."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from .configuration import PolicyConfig
from .modeling import EncodedInstruction, VLAModel
from .text import encode


class InstructionEncoder:
    """Applies a policy's prompts and tokenizers to instructions."""

    def __init__(
        self,
        config: PolicyConfig,
        kosmos2_tokenizer: PreTrainedTokenizerBase,
        clip_tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        self.config = config
        self.kosmos2_tokenizer = kosmos2_tokenizer
        self.clip_tokenizer = clip_tokenizer

    def __call__(self, model: VLAModel, instructions: Sequence[str]) -> EncodedInstruction:
        """Encode a batch of instructions.

        Raises:
            ValueError: an instruction is empty or longer than the towers take.
        """
        device = model.device
        for instruction in instructions:
            if not instruction.strip():
                raise ValueError("an instruction must not be empty")
        prompts = [self.config.prompt.replace("{instruction}", text) for text in instructions]
        ids, mask = encode(self.kosmos2_tokenizer, prompts, self.config.kosmos2_text_length)
        similarity = [
            prompt.replace("{instruction}", text) for text in instructions for prompt in self.config.similarity_prompts
        ]
        texts = [*instructions, *similarity]
        clip_ids, clip_mask = encode(self.clip_tokenizer, texts, self.config.clip_text_length)
        embeddings = model.clip.encode_text(clip_ids.to(device), clip_mask.to(device))
        count = len(instructions)
        return EncodedInstruction(
            input_ids=ids.to(device),
            mask=mask.to(device),
            text=embeddings[:count],
            prompts=embeddings[count:].view(count, len(self.config.similarity_prompts), embeddings.shape[-1]),
        )
