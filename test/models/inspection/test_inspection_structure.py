"""What is found in a file, from names and shapes alone."""

import dataclasses

import pytest
import torch
from inspected import (
    CLIP,
    KOSMOS2,
    SimpleClipLSTM,
    clip_on_meta,
    entries_of,
    kosmos2_on_meta,
    module_entries,
    with_head,
)
from torch import nn

from mobile_vla_models.errors import CheckpointError
from mobile_vla_models.inspection.layers import RecurrentSizes
from mobile_vla_models.inspection.structure import (
    RecurrentPart,
    StackPart,
    TransformersPart,
    UnknownPart,
    clip_widths,
    contents,
    find_parts,
    kosmos2_widths,
)
from mobile_vla_models.inspection.widths import Blocks

KOSMOS2_WIDTHS = {
    "latent_query_num": 3,
    "text_config": {"vocab_size": 50, "embed_dim": 16, "layers": 3, "ffn_dim": 24},
    "vision_config": {
        "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "patch_size": 4, "image_size": 16,
    },
}  # fmt: skip
CLIP_WIDTHS = {
    "projection_dim": 6,
    "text_config": {
        "vocab_size": 40, "hidden_size": 8, "intermediate_size": 10, "num_hidden_layers": 1,
        "max_position_embeddings": 7, "projection_dim": 6,
    },
    "vision_config": {
        "hidden_size": 12, "intermediate_size": 14, "num_hidden_layers": 2, "patch_size": 2, "image_size": 8,
        "projection_dim": 6,
    },
}  # fmt: skip


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_every_part_of_a_policy_is_found_with_its_numbers() -> None:
    model = SimpleClipLSTM()
    kosmos, clip, fusion, rnn, mlp = find_parts(entries_of(model.state_dict()))
    assert isinstance(kosmos, TransformersPart)
    assert (kosmos.prefix, kosmos.kind, kosmos.widths, kosmos.problems) == (
        "kosmos_model",
        "kosmos2",
        KOSMOS2_WIDTHS,
        (),
    )
    assert kosmos.blocks == {"text_model": Blocks(3, 3, ()), "vision_model": Blocks(2, 2, ())}
    assert isinstance(clip, TransformersPart)
    assert (clip.prefix, clip.kind, clip.widths, clip.problems) == ("clip_model", "clip", CLIP_WIDTHS, ())
    assert clip.blocks == {"text_model": Blocks(1, 1, ()), "vision_model": Blocks(2, 2, ())}
    assert isinstance(fusion, StackPart)
    assert (fusion.prefix, fusion.layers[0].inputs, fusion.layers[0].outputs) == ("feature_fusion", 22, 18)
    assert isinstance(rnn, RecurrentPart)
    assert (rnn.prefix, rnn.sizes) == ("rnn", RecurrentSizes("LSTM", 18, 10, 4, False, 0, True))
    assert isinstance(mlp, StackPart)
    assert mlp.prefix == "actions.mlp"
    assert [(layer.index, layer.kind, layer.inputs, layer.outputs) for layer in mlp.layers] == [
        (0, "linear", 10, 8),
        (1, "layer_norm", 8, 8),
        (4, "linear", 8, 8),
        (5, "layer_norm", 8, 8),
        (8, "linear", 8, 2),
    ]
    modules = (model.kosmos_model, model.clip_model, model.feature_fusion, model.rnn, model.actions)
    for part, module in zip((kosmos, clip, fusion, rnn, mlp), modules, strict=True):
        assert part.contents.parameters == parameters(module)
        assert part.contents.bytes == {"float32": 4 * parameters(module)}
        assert part.contents.tensors == len(module.state_dict())
    assert kosmos2_widths(entries_of(model.state_dict()), "kosmos_model") == kosmos.widths
    assert clip_widths(entries_of(model.state_dict()), "clip_model") == clip.widths


@pytest.mark.parametrize("prefix", ["", "kosmos_model.", "module.policy.backbone."])
def test_a_kosmos2_is_found_below_any_prefix(prefix: str) -> None:
    (part,) = find_parts(kosmos2_on_meta(prefix, **KOSMOS2))
    assert isinstance(part, TransformersPart)
    assert (part.kind, part.prefix, part.widths) == ("kosmos2", prefix.removesuffix("."), KOSMOS2_WIDTHS)


@pytest.mark.parametrize("prefix", ["", "clip_model.", "module.policy.clip."])
def test_a_clip_is_found_below_any_prefix(prefix: str) -> None:
    (part,) = find_parts(clip_on_meta(prefix, **CLIP))
    assert isinstance(part, TransformersPart)
    assert (part.kind, part.prefix, part.widths) == ("clip", prefix.removesuffix("."), CLIP_WIDTHS)


def test_two_kosmos2_are_two() -> None:
    entries = {**kosmos2_on_meta("old.", **KOSMOS2), **kosmos2_on_meta("new.", **KOSMOS2)}
    assert [part.prefix for part in find_parts(entries)] == ["old", "new"]


def test_released_sizes_are_counted_exactly() -> None:
    entries = {**kosmos2_on_meta("kosmos_model."), **clip_on_meta("clip_model.")}
    fusion, rnn = nn.Linear(2560, 2048, device="meta"), nn.LSTM(2048, 1024, 4, device="meta")
    mlp = nn.Sequential(
        nn.Linear(1024, 512, device="meta"), nn.LayerNorm(512, device="meta"), nn.ReLU(), nn.Dropout(),
        nn.Linear(512, 512, device="meta"), nn.LayerNorm(512, device="meta"), nn.ReLU(), nn.Dropout(),
        nn.Linear(512, 2, device="meta"),
    )  # fmt: skip
    modules = {"feature_fusion": fusion, "rnn": rnn, "actions.mlp": mlp}
    state = {f"{key}.{name}": tensor for key, module in modules.items() for name, tensor in module.state_dict().items()}
    end = sum(entry.nbytes for entry in entries.values())
    for name, entry in entries_of(state).items():
        entries[name] = dataclasses.replace(entry, offset=end + entry.offset, storage=end + entry.offset)
    parts = find_parts(entries)
    assert [part.prefix for part in parts] == ["kosmos_model", "clip_model", *modules]
    assert [part.contents.parameters for part in parts[:2]] == [1_664_485_376, 151_277_313]
    assert sum(part.contents.parameters for part in parts) == 1_859_579_651


def test_a_tied_head_counts_once_and_a_copied_one_twice() -> None:
    state = SimpleClipLSTM().state_dict()
    once = contents(entries_of(with_head(state, tied=True)), with_head(state, tied=True))
    twice = contents(entries_of(with_head(state, tied=False)), with_head(state, tied=False))
    assert once.tensors == twice.tensors == len(state) + 1
    assert twice.parameters == once.parameters + 50 * 16


def test_whole_numbers_are_no_parameters_and_dtypes_are_told_apart() -> None:
    state = {
        "a.x": torch.zeros(3, dtype=torch.int64),
        "a.y": torch.zeros(5, dtype=torch.bfloat16),
        "b": torch.zeros(()),
    }
    first, second = find_parts(entries_of(state))
    assert (first.prefix, first.contents.parameters, first.contents.bytes) == ("a", 5, {"int64": 24, "bfloat16": 10})
    assert (second.prefix, second.contents.parameters) == ("b", 1)


def test_blocks_that_are_missing_are_gaps_and_still_count_as_layers() -> None:
    config = {**KOSMOS2, "text_config": {**KOSMOS2["text_config"], "layers": 24}}
    entries = kosmos2_on_meta("k.", **config)
    gone = [
        name for name in entries if name.startswith(tuple(f"k.text_model.model.layers.{n}." for n in (0, 6, 7, 8, 9)))
    ]
    (part,) = find_parts({name: entry for name, entry in entries.items() if name not in gone})
    assert isinstance(part, TransformersPart)
    assert part.blocks["text_model"] == Blocks(19, 24, ((0, 0), (6, 9)))
    assert part.widths["text_config"] == {**KOSMOS2_WIDTHS["text_config"], "layers": 24}
    assert part.problems == ()


@pytest.mark.parametrize(
    ("gone", "key"),
    [
        ("text_model.model.embed_tokens.weight", "text_config.vocab_size"),
        ("vision_model.model.embeddings.position_embedding.weight", "vision_config.image_size"),
        ("image_to_text_projection.latent_query", "latent_query_num"),
    ],
)
def test_a_width_that_no_tensor_shows_is_said_and_the_strict_reading_refuses(gone: str, key: str) -> None:
    entries = kosmos2_on_meta("k.", **KOSMOS2)
    del entries[f"k.{gone}"]
    (part,) = find_parts(entries)
    assert any(f"k.{gone} is missing" in problem and key in problem for problem in part.problems)
    with pytest.raises(CheckpointError, match=f"k is no whole Kosmos-2: .*{key}"):
        kosmos2_widths(entries, "k")


def test_a_kosmos2_without_one_of_its_towers_is_still_one() -> None:
    entries = {name: e for name, e in kosmos2_on_meta("k.", **KOSMOS2).items() if "text_model" not in name}
    (part,) = find_parts(entries)
    assert isinstance(part, TransformersPart)
    assert part.blocks["text_model"] == Blocks(0, 0, ())
    assert "k.text_model.model.layers.N.* is missing, which shows text_config.layers" in part.problems


def test_positions_that_are_no_square_show_no_image_size() -> None:
    entries = clip_on_meta("c.", **CLIP)
    name = "c.vision_model.embeddings.position_embedding.weight"
    entries[name] = dataclasses.replace(entries[name], shape=(16, 12))
    with pytest.raises(
        CheckpointError, match=r"position_embedding\.weight has shape \(16, 12\), expected a class token"
    ):
        clip_widths(entries, "c")


def test_an_absurd_block_number_is_refused_and_not_counted_to() -> None:
    entries = clip_on_meta("c.", **CLIP)
    entries["c.text_model.encoder.layers.99999999999.mlp.fc1.weight"] = entries["c.text_projection.weight"]
    with pytest.raises(CheckpointError, match="99999999999 is numbered beyond any CLIP"):
        clip_widths(entries, "c")


def test_other_models_are_unknown_parts_by_what_their_names_begin_with() -> None:
    transformer = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False)
    entries = {
        **module_entries(transformer, "encoder"),
        **module_entries(nn.Embedding(5, 3), "words"),
        **module_entries(nn.LSTM(3, 2), "rnn"),
        **module_entries(nn.LayerNorm(2), "rnn.norm"),
    }
    parts = find_parts(entries)
    assert [(type(part), part.prefix) for part in parts] == [
        (UnknownPart, "encoder"), (UnknownPart, "words"), (RecurrentPart, "rnn"), (UnknownPart, "rnn.norm"),
    ]  # fmt: skip
    assert sum(len(part.names) for part in parts) == len(entries)


def test_stacks_within_numbered_blocks_are_no_parts_of_their_own() -> None:
    mlp = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    entries = {**module_entries(mlp, "decoder.blocks.0.mlp"), **module_entries(nn.Linear(4, 4), "decoder.blocks.1.mlp")}
    assert [(type(part), part.prefix) for part in find_parts(entries)] == [(UnknownPart, "decoder")]


def test_a_siglip_is_no_clip() -> None:
    entries = {name: e for name, e in clip_on_meta("s.", **CLIP).items() if "projection" not in name}
    assert [type(part) for part in find_parts(entries)] == [UnknownPart]


def test_a_stack_of_a_known_name_that_cannot_be_read_is_a_problem() -> None:
    (part,) = find_parts(module_entries(nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 2)), "actions.mlp"))
    assert isinstance(part, StackPart)
    assert part.layers == ()
    assert "actions.mlp.1.weight takes 4 inputs" in part.problems[0]


def test_the_state_dict_of_a_module_itself_has_no_prefix() -> None:
    lstm, stack = nn.LSTM(3, 2), nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    (first,) = find_parts(entries_of(lstm.state_dict()))
    (second,) = find_parts(entries_of(stack.state_dict()))
    assert isinstance(first, RecurrentPart)
    assert first.prefix == ""
    assert isinstance(second, StackPart)
    assert (second.prefix, [layer.index for layer in second.layers]) == ("", [0, 2])


def test_no_tensors_are_no_parts() -> None:
    assert find_parts({}) == ()
