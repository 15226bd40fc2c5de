"""The prompts of RoboVLMs as templates, and the action tokens that it takes from a tokenizer.

The texts are those of its evaluation (`CustomModel.preprocess` in eval/calvin/model_wrapper.py), which for CALVIN are
those of training too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from ..errors import ConversionError
from ..prompt import ACTION, INSTRUCTION, encode_prompts, parse_prompt
from ..text import read_tokenizer

_SAMPLE = "push the red block"
# ActionTokenizer leaves this many ids free between its bins and the vocabulary's end, for no reason that it gives.
_FREE_IDS = 10


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a local directory.

    Raises:
        ConversionError: there is no such directory, or no tokenizer in it.
    """
    if not Path(path).is_dir():
        raise ConversionError(
            f"tokenizer.pretrained_model_name_or_path is {path!r}, which is no directory here ({Path.cwd()}): "
            "download the model that was fine-tuned, or write into the configuration where it lies"
        )
    return read_tokenizer(path, ConversionError, hub=False)


def continuous_prompt(tokenizer: PreTrainedTokenizerBase, cameras: Sequence[str], *, action_tokens: bool) -> str:
    """The template of continuous actions: `<s>`, pictures, words, action tokens (if any are read), `</s>`.

    Args:
        tokenizer: of the backbone.
        cameras: in the order of their places.
        action_tokens: whether the prompt has a place for them.

    Raises:
        ConversionError: the tokenizer would not give RoboVLMs' tokens for it.
    """
    bos, eos = _ends(tokenizer)
    words = f"<grounding>An image of a robot {{{INSTRUCTION}}}"
    action = f"{{{ACTION}}}" if action_tokens else ""
    template = f"{bos}{_places(cameras)}{words}{action}{eos}"
    _check(tokenizer, template, cameras, words, has_action=action_tokens)
    return template


def discrete_prompt(tokenizer: PreTrainedTokenizerBase, cameras: Sequence[str], chunk: int) -> str:
    """The template of spoken actions.

    As the peer says it, it asks for one step more than the chunk has, and ends the sequence before the answer, which
    then ends with another `</s>`. RoboVLMs puts pictures behind the first token whatever that is; it is `<s>` here.

    Args:
        tokenizer: of the backbone.
        cameras: in the order of their places.
        chunk: steps that are spoken.

    Raises:
        ConversionError: the tokenizer would not give RoboVLMs' tokens for it.
    """
    bos, eos = _ends(tokenizer)
    question = f"What {chunk + 1} step actions should the robot take to {{{INSTRUCTION}}}?"
    words = f"Input: {question}\nOutput: \n{eos}"
    template = f"{bos}{_places(cameras)}{words}{{{ACTION}}}{eos}"
    _check(tokenizer, template, cameras, words, has_action=True)
    return template


def end_of_actions(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id just past the last action id: the vocabulary without added tokens, less special tokens, less ten.

    Special tokens count once for each role, however many roles one of them has.
    """
    named = sum(1 for token in tokenizer.special_tokens_map.values() if not isinstance(token, list))
    return int(tokenizer.vocab_size) - named - len(tokenizer.extra_special_tokens) - _FREE_IDS


def _ends(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    bos, eos = tokenizer.bos_token, tokenizer.eos_token
    if not isinstance(bos, str) or not isinstance(eos, str):
        raise ConversionError(f"the tokenizer has bos_token {bos!r} and eos_token {eos!r}, expected both")
    return bos, eos


def _places(cameras: Sequence[str]) -> str:
    return "".join(f"{{{name}}}" for name in cameras)


def _check(
    tokenizer: PreTrainedTokenizerBase, template: str, cameras: Sequence[str], words: str, *, has_action: bool
) -> None:
    """Compare with the ids of the whole text, to which the tokenizer adds `<s>` and `</s>` itself."""
    wanted = list(tokenizer(words.replace(f"{{{INSTRUCTION}}}", _SAMPLE))["input_ids"])
    parts = parse_prompt(template, cameras, has_state=False, has_action=has_action)
    found = encode_prompts(parts, [_SAMPLE], tokenizer).ids[0].tolist()
    if found != wanted:
        raise ConversionError(
            f"the tokenizer makes ids {found} of the prompt {template!r} in pieces, and {wanted} of it in one: "
            "it is not a Kosmos-2's"
        )
