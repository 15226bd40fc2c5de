"""A file looked into as a whole: containers, other entries, values, findings, JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from inspected import SimpleClipLSTM, checkpoint_of, kosmos2_on_meta, sparse_safetensors, with_head
from rich.progress import Progress
from safetensors.torch import save_file
from torch import nn

from mobile_vla_models.errors import CheckpointError
from mobile_vla_models.inspection import content
from mobile_vla_models.inspection.findings import Finding
from mobile_vla_models.inspection.inspection import Inspection, inspect
from mobile_vla_models.inspection.optimizer import OptimizerState

WORDS = "kosmos_model.text_model.model.embed_tokens.weight"
HEAD = "kosmos_model.text_model.lm_head.weight"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(document: Any, **options: Any) -> Path:
        torch.save(document, tmp_path / "best.pth", **options)
        return tmp_path / "best.pth"

    return write


def look(path: Path, *, values: bool = True) -> Inspection:
    with Progress(disable=True) as progress:
        return inspect(path, progress, values=values)


def texts(inspection: Inspection, level: str) -> list[str]:
    return [f"{finding.where}: {finding.text}" for finding in inspection.findings if finding.level == level]


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_whole_checkpoint(write: Write, new: bool) -> None:
    model = SimpleClipLSTM()
    path = write(checkpoint_of(model), _use_new_zipfile_serialization=new)
    found = look(path)
    assert (found.path, found.files, found.bytes) == (path, (path,), path.stat().st_size)
    assert found.format == ("torch zip" if new else "torch legacy")
    assert (found.state_key, found.calls) == ("model_state_dict", ())
    assert found.others == {
        "epoch": 12,
        "val_mae": 0.2121,
        "args": {
            "class": "argparse.Namespace",
            "attributes": {
                "learning_rate": 1e-4,
                "batch_size": 4,
                "data_dir": "/data/[red]x[/red]",
                "resume": None,
            },
        },
    }
    assert [inspected.part.prefix for inspected in found.parts] == [
        "kosmos_model", "clip_model", "feature_fusion", "rnn", "actions.mlp",
    ]  # fmt: skip
    for inspected in found.parts[:2]:
        assert inspected.difference is not None
        assert inspected.difference.fits
        assert inspected.release is None
    number = sum(parameter.numel() for parameter in model.parameters())
    assert (found.contents.parameters, found.contents.bytes) == (number, {"float32": 4 * number})
    assert found.contents.tensors == len(model.state_dict())
    assert (found.tied, found.copies, found.not_finite, found.findings) == ((), (), {}, ())


def test_the_optimizer_says_what_was_trained(write: Write) -> None:
    model = SimpleClipLSTM()
    (state,) = look(write(checkpoint_of(model))).optimizers
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    tensors = sum(parameter.requires_grad for parameter in model.parameters())
    assert trained == 414 + 3840 + 210
    (group,) = state.groups
    assert (group["lr"], group["betas"], "params" in group) == (1e-4, [0.9, 0.999], False)
    assert state == OptimizerState(
        key="optimizer_state_dict",
        bytes=2 * 4 * trained + 4 * tensors,  # a count of steps beside the moments of each
        moments=("exp_avg", "exp_avg_sq"),
        parameters=trained,
        covered=((0, tensors - 1),),
        listed=tensors,
        groups=state.groups,
        parts=("feature_fusion", "rnn", "actions.mlp"),
    )


def test_an_optimizer_of_all_parameters_covers_those_that_had_gradients(write: Write) -> None:
    model = SimpleClipLSTM()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in (*model.clip_model.parameters(), *model.rnn.parameters()):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    path = write({"state_dict": model.state_dict(), "optimizer_states": [optimizer.state_dict()]})
    (state,) = look(path).optimizers
    kosmos, clip = (len(list(part.parameters())) for part in (model.kosmos_model, model.clip_model))
    rnn = kosmos + clip + 2
    assert (state.key, state.moments) == ("optimizer_states[0]", ("momentum_buffer",))
    assert state.covered == ((kosmos, kosmos + clip - 1), (rnn, rnn + 15))
    assert state.listed == len(list(model.parameters()))
    assert state.parts == ("clip_model", "rnn")


def test_shapes_that_fit_several_parts_name_none(write: Write) -> None:
    models = nn.ModuleDict({"left": nn.LSTM(3, 2), "right": nn.LSTM(3, 2)})
    optimizer = torch.optim.Adam(models["left"].parameters())
    for parameter in models["left"].parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    (state,) = look(write({"state_dict": models.state_dict(), "optimizer": optimizer.state_dict()})).optimizers
    assert (state.listed, state.parts) == (4, None)


def test_an_optimizer_without_a_step_has_no_state(write: Write) -> None:
    model = nn.LSTM(3, 2)
    path = write({"state_dict": model.state_dict(), "optimizer": torch.optim.Adam(model.parameters()).state_dict()})
    (state,) = look(path).optimizers
    assert (state.bytes, state.moments, state.parameters, state.covered, state.listed) == (0, (), 0, (), 4)


def test_values_that_are_not_finite_are_counted_by_name(write: Write) -> None:
    model = SimpleClipLSTM()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["rnn.weight_hh_l2"][3, 3:5] = torch.tensor([float("nan"), float("inf")])
    state["actions.mlp.8.bias"] = torch.tensor([float("-inf"), 0.0]).half()
    path = write({"model_state_dict": state})
    found = look(path)
    assert found.not_finite == {"rnn.weight_hh_l2": 2, "actions.mlp.8.bias": 1}
    assert texts(found, "error") == [
        "rnn.weight_hh_l2: 2 of 400 values are NaN or infinite",
        "actions.mlp.8.bias: 1 of 2 values are NaN or infinite",
    ]
    assert texts(found, "warning") == [": its weights are of several dtypes: float32, float16"]
    unread = look(path, values=False)
    assert (unread.not_finite, unread.copies, texts(unread, "error")) == (None, None, [])


def test_every_byte_is_told_to_the_progress_bar(write: Write) -> None:
    model = SimpleClipLSTM()
    path = write({"model_state_dict": with_head(model.state_dict(), tied=True)})
    with Progress(disable=True) as progress:
        inspect(path, progress)
        (task,) = progress.tasks
    assert task.completed == task.total == sum(4 * parameter.numel() for parameter in model.parameters())


def test_a_language_head_that_is_tied(write: Write) -> None:
    found = look(write({"model_state_dict": with_head(SimpleClipLSTM().state_dict(), tied=True)}))
    assert found.tied == ((WORDS, HEAD),)
    assert found.copies == ()
    assert texts(found, "note") == [
        f"{HEAD}: is left over: language head",
        f"{WORDS}: is tied to {HEAD}: the same bytes",
    ]


def test_a_language_head_that_is_a_copy_and_one_that_was_trained(write: Write) -> None:
    state = with_head(SimpleClipLSTM().state_dict(), tied=False)
    found = look(write({"model_state_dict": state}))
    assert (found.tied, found.copies) == ((), ((WORDS, HEAD),))
    assert f"{WORDS}: holds the same values as {HEAD}" in texts(found, "note")
    state[HEAD][-1, -1] += 1
    assert look(write({"model_state_dict": state})).copies == ()


def test_large_tensors_are_compared_to_their_end(write: Write) -> None:
    first = torch.arange(4096.0).view(64, 64)
    other = first.clone()
    other[-1, -1] = 0
    assert look(write({"a.x": first, "b.x": other, "c.x": first.clone()})).copies == (("a.x", "c.x"),)


def test_large_tensors_are_read_in_parts_to_their_end(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_STEP", 64)
    values = torch.zeros(10, 10)
    values[0, 0] = values[9, 8] = values[9, 9] = float("nan")
    assert look(write({"a.x": values, "b.x": torch.zeros(3), "c.x": values.t()[1:]})).not_finite == {"a.x": 3, "c.x": 2}


def test_constant_tensors_are_no_copies_of_each_other(write: Write) -> None:
    state = {
        "a.x": torch.zeros(20, 20),
        "b.x": torch.zeros(20, 20),
        "c.x": torch.ones(20, 20),
        "d.x": torch.ones(20, 20),
    }
    assert look(write(state)).copies == ()


def test_weights_side_by_side_in_one_storage_are_not_tied(write: Write) -> None:
    flat = torch.arange(12.0)
    found = look(write({"a": flat[:6], "b": flat[6:]}))
    assert (found.tied, found.contents.parameters) == ((), 12)


def test_a_block_that_is_missing_is_named_once(write: Write) -> None:
    state = SimpleClipLSTM().state_dict()
    for name in [name for name in state if ".text_model.model.layers.1." in name]:
        del state[name]
    del state["kosmos_model.image_to_text_projection.dense.bias"]
    del state["kosmos_model.vision_model.model.post_layernorm.weight"]
    found = look(write({"model_state_dict": state}))
    assert texts(found, "error") == [
        "kosmos_model: text_model lacks block 1: 2 of 3 are there",
        "kosmos_model: 2 tensors missing: vision_model.model.post_layernorm.weight (12,); "
        "image_to_text_projection.dense.bias (16,)",
    ]
    assert found.parts[0].difference is not None
    assert len(found.parts[0].difference.missing) == 22


def test_tensors_unknown_or_of_another_shape_are_errors(write: Write) -> None:
    state = {**SimpleClipLSTM().state_dict(), "clip_model.text_model.extra": torch.zeros(2)}
    state["clip_model.text_projection.weight"] = torch.zeros(6, 9)
    assert texts(look(write(state)), "error") == [
        "clip_model: 1 tensor unknown to transformers: text_model.extra (2,)",
        "clip_model: 1 tensor of another shape: text_projection.weight (6, 9), expected (6, 8)",
    ]


def test_a_model_whose_widths_do_not_show_is_a_problem_and_not_compared(write: Write) -> None:
    state = SimpleClipLSTM().state_dict()
    del state[WORDS]
    found = look(write({"model_state_dict": state}))
    assert found.parts[0].difference is None
    assert texts(found, "error") == [
        f"kosmos_model: {WORDS} is missing, which shows text_config.vocab_size",
        f"kosmos_model: {WORDS} is missing, which shows text_config.embed_dim",
    ]


class Caller:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('it ran')",))


def test_a_file_that_would_call_something_is_a_loud_error_and_calls_nothing(write: Write) -> None:
    found = look(write({**checkpoint_of(SimpleClipLSTM()), "hook": Caller()}))
    assert found.calls == ("builtins.exec",)
    assert found.findings[0].level == "error"
    assert "would call builtins.exec" in found.findings[0].text
    assert found.others["hook"] == {"class": "builtins.exec", "arguments": ["raise SystemExit('it ran')"]}


def test_a_full_size_file_cut_to_six_layers_is_told_without_reading_it(tmp_path: Path) -> None:
    cut = {"text_config": {"layers": 6}, "vision_config": {"num_hidden_layers": 6}}
    path = tmp_path / "cut.safetensors"
    sparse_safetensors(path, kosmos2_on_meta("kosmos_model.", **cut))
    found = look(path, values=False)
    (inspected,) = found.parts
    assert found.bytes == path.stat().st_size > 2e9
    assert (found.state_key, found.format) == (None, "safetensors")
    assert inspected.release == "microsoft/kosmos-2-patch14-224"
    assert inspected.difference is not None
    assert inspected.difference.fits
    release = "microsoft/kosmos-2-patch14-224 has 24"
    assert found.findings == (
        Finding("warning", "kosmos_model", f"text_model has 6 layers, {release}"),
        Finding("warning", "kosmos_model", f"vision_model has 6 layers, {release}"),
    )


def test_blocks_missing_in_the_middle_of_a_release_are_errors(tmp_path: Path) -> None:
    entries = kosmos2_on_meta("")
    gone = tuple(f"text_model.model.layers.{number}." for number in range(6, 10))
    sparse_safetensors(tmp_path / "x.safetensors", {n: e for n, e in entries.items() if not n.startswith(gone)})
    found = look(tmp_path / "x.safetensors", values=False)
    assert found.findings == (Finding("error", "", "text_model lacks blocks 6-9: 20 of 24 are there"),)
    assert found.parts[0].release == "microsoft/kosmos-2-patch14-224"


def test_a_safetensors_file_says_its_metadata(tmp_path: Path) -> None:
    save_file({"feature_fusion.weight": torch.ones(2, 3)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = look(tmp_path / "x.safetensors")
    assert (found.metadata, found.others, found.optimizers) == ({"format": "pt"}, {}, ())


def test_it_is_strict_json(write: Write) -> None:
    state = with_head(SimpleClipLSTM().state_dict(), tied=False)
    state["rnn.bias_hh_l0"] = torch.full((40,), float("nan"))
    del state["kosmos_model.text_model.model.layers.0.ffn.fc1.bias"]
    odd = {"val_mae": float("nan"), "losses": [float("inf"), 1.0], 7: b"ab", "dtype": torch.float16, "t": torch.ones(3)}
    found = look(write({**checkpoint_of(SimpleClipLSTM(), state), **odd, "hook": Caller()}))
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["entries"]["val_mae"] == "nan"
    assert document["entries"]["losses"] == ["inf", 1.0]
    assert document["entries"]["dtype"] == "float16"
    assert document["entries"]["t"] == {"tensor": "float32", "shape": [3]}
    assert document["calls"] == ["builtins.exec"]
    assert document["not_finite"] == {"rnn.bias_hh_l0": 40}
    assert document["copies"] == [[WORDS, HEAD]]
    assert [part["kind"] for part in document["parts"]] == ["kosmos2", "clip", "stack", "recurrent", "stack"]
    kosmos, _, fusion, rnn, mlp = document["parts"]
    assert kosmos["widths"]["text_config"]["ffn_dim"] == 24
    assert kosmos["blocks"]["text_model"] == {"present": 3, "layers": 3, "gaps": []}
    assert kosmos["difference"]["missing"] == {"kosmos_model.text_model.model.layers.0.ffn.fc1.bias": [24]}
    assert kosmos["difference"]["left_over"] == {HEAD: "language head"}
    assert fusion["tensors"] == {
        "feature_fusion.weight": {"dtype": "float32", "shape": [18, 22]},
        "feature_fusion.bias": {"dtype": "float32", "shape": [18]},
    }
    assert rnn["sizes"]["hidden_size"] == 10
    assert mlp["layers"][-1] == {"index": 8, "kind": "linear", "inputs": 8, "outputs": 2, "bias": True}
    assert document["optimizers"][0]["parts"] == ["feature_fusion", "rnn", "actions.mlp"]
    assert sum(len(part["tensors"]) for part in document["parts"]) == document["contents"]["tensors"] == len(state)


def test_large_values_beside_the_model_are_cut(write: Write) -> None:
    shared: list[Any] = [0.0] * 64
    for _ in range(5):
        shared = [shared] * 64
    path = write({"state_dict": {"x": torch.ones(2)}, "losses": list(range(200)), "text": "a" * 1000, "deep": shared})
    others = look(path).to_dict()["entries"]
    assert others["losses"] == [*range(64), "and 136 more"]
    assert others["text"] == "a" * 500 + "..."
    assert len(json.dumps(others)) < 20_000


def test_a_file_without_a_state_dict_is_refused(write: Write) -> None:
    with pytest.raises(CheckpointError, match=r"best\.pth holds no state dict"):
        look(write({"epoch": 3}))
