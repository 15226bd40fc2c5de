"""From a sentence to what the model takes of it: the tokenizers and prompts of a policy."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from .configuration import PolicyConfig
from .modeling import EncodedInstruction, VLAModel
from .prompt import EncodedPrompt, check_instruction, check_special_tokens, encode_prompts, parse_prompt
from .sentence import normalize_instruction
from .text import encode


class InstructionEncoder:
    """Applies a policy's prompts and tokenizers to instructions.

    Args:
        config: of the policy.
        tokenizer: of the backbone.
        clip_tokenizer: of CLIP; None for a policy that has no features of CLIP's words.

    Raises:
        ValueError: CLIP's words without a tokenizer, or the other way round; a special token of the prompt that the
            tokenizer does not know.
    """

    def __init__(
        self,
        config: PolicyConfig,
        tokenizer: PreTrainedTokenizerBase,
        clip_tokenizer: PreTrainedTokenizerBase | None,
    ) -> None:
        if config.clip_reads != (clip_tokenizer is not None):
            raise ValueError("a policy needs a tokenizer for CLIP if, and only if, its features are of CLIP's words")
        self.config = config
        self.tokenizer = tokenizer
        self.clip_tokenizer = clip_tokenizer
        self._parts = parse_prompt(config.prompt, config.cameras, bool(config.state), config.has_action_slot)
        check_special_tokens(self._parts, tokenizer)

    def __call__(self, model: VLAModel, instructions: Sequence[str]) -> EncodedInstruction:
        """Encode a batch of instructions.

        Raises:
            ValueError: an instruction is empty, holds a special token, or is longer than the towers take.
        """
        instructions = [normalize_instruction(instruction) for instruction in instructions]
        prompt = self.prompts(instructions)
        if int(prompt.ids.max()) >= model.backbone.vocabulary_size:
            raise ValueError(
                f"the tokenizer says id {int(prompt.ids.max())}, "
                f"the backbone knows {model.backbone.vocabulary_size} ids"
            )
        prompt = prompt.to(model.device)
        if self.clip_tokenizer is None or self.config.clip is None or model.clip is None:
            return EncodedInstruction(prompt, {}, None)
        for instruction in instructions:
            check_instruction(instruction, self.clip_tokenizer)
        compared = [
            text.replace("{instruction}", instruction)
            for instruction in instructions
            for text in self.config.clip.prompts
        ]
        ids, mask = encode(self.clip_tokenizer, [*instructions, *compared], model.clip.text_length)
        encoding = model.clip.encode_text(ids.to(model.device), mask.to(model.device))
        count = len(instructions)
        features = {name: value[:count] for name, value in encoding.features("clip_text").items()}
        prompts = encoding.unit[count:].view(count, len(self.config.clip.prompts), model.clip.embedding_size)
        return EncodedInstruction(prompt, features, prompts)

    def prompts(self, instructions: Sequence[str]) -> EncodedPrompt:
        """The backbone's prompts alone, on the CPU.

        Raises:
            ValueError: an instruction is empty or holds a special token.
        """
        normalized = [normalize_instruction(instruction) for instruction in instructions]
        return encode_prompts(self._parts, normalized, self.tokenizer)
