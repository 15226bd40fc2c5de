"""The configuration that a published or trained Kosmos-2 brings along, as far as it shapes the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import Kosmos2Config, PretrainedConfig

from ..errors import ConversionError

# What every configuration of transformers 4 held: how to generate text, and labels of classifiers.
_OF_TRANSFORMERS_4 = {
    "attn_implementation", "bad_words_ids", "begin_suppress_tokens", "cross_attention_hidden_size",
    "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id", "forced_eos_token_id",
    "is_decoder", "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups",
    "num_beams", "num_return_sequences", "output_scores", "prefix", "pruned_heads", "remove_invalid_values",
    "repetition_penalty", "return_dict_in_generate", "suppress_tokens", "task_specific_params", "temperature",
    "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript",
    "typical_p", "use_bfloat16",
}  # fmt: skip
# In these configurations without a meaning, unless the network asks for them by name.
_OF_ANY_MODEL = {
    "add_cross_attention", "bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id", "sep_token_id",
    "tie_word_embeddings", "use_cache",
}  # fmt: skip


def kosmos2_configuration(document: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The keys of a Kosmos-2's config.json that shape the network, in the form that transformers takes.

    Args:
        document: content of the file.
        path: of the file, for messages.

    Raises:
        ConversionError: not a Kosmos-2, or a key that is neither its own nor known to mean nothing.
    """
    if document.get("model_type") != "kosmos-2":
        raise ConversionError(f"{path}: model_type is {document.get('model_type')!r}, supported: 'kosmos-2'")
    config = Kosmos2Config()
    kept = _own_keys(document, config, path)
    for name in ("text_config", "vision_config"):
        part = document.get(name)
        if not isinstance(part, dict):
            raise ConversionError(f"{path}: {name} is {part!r}, expected an object")
        kept[name] = _own_keys(part, getattr(config, name), f"{path}: {name}")
    return kept


def _own_keys(document: Mapping[str, Any], config: PretrainedConfig, path: str) -> dict[str, Any]:
    general = PretrainedConfig().to_dict().keys() | _OF_TRANSFORMERS_4
    own = config.to_dict().keys() - general | {"model_type"}
    unknown = document.keys() - own - general - _OF_ANY_MODEL
    if unknown:
        raise ConversionError(f"{path} holds {', '.join(sorted(unknown))}, unknown to transformers' Kosmos-2")
    # Defaults are written out: those of another version of transformers may differ.
    return {key: document.get(key, value) for key, value in config.to_dict().items() if key in own}
