"""What cannot be converted is refused with one message that names it, and leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hybrids import PLAIN, Hybrids, Recipe, layout, refused, runs, tree
from torch import Tensor

from mobile_vla_models.checkpoint import safetensors_writer
from mobile_vla_models.convert import conversion
from mobile_vla_models.convert.hybrid_layout import FULL_SIZE, WORDS, HybridLayout
from mobile_vla_models.convert.hybrid_source import read_hybrid
from mobile_vla_models.data.frames import Run
from mobile_vla_models.errors import (
    CheckpointError,
    ConversionError,
    DataError,
    MemoryShortageError,
    MobileVLAError,
    PolicyDirectoryError,
    PrecisionError,
)
from mobile_vla_models.memory.available import Available
from mobile_vla_models.policy import VLAPolicy

FUSION = "feature_fusion.weight"


@pytest.fixture(scope="session")
def hybrids(tmp_path_factory: pytest.TempPathFactory) -> Hybrids:
    return Hybrids(tmp_path_factory.mktemp("hybrids"))


@pytest.fixture(scope="session")
def plain(hybrids: Hybrids, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy directory."""
    out = tmp_path_factory.mktemp("plain") / "policy"
    hybrids.convert(hybrids.checkpoint(), out)
    return out


def attempt(hybrids: Hybrids, path: Path, kind: type[MobileVLAError], message: str, **options: Any) -> str:
    """Convert to a folder that is not there, and expect it to stay so."""
    folder = path.parent / "out"
    folder.mkdir(exist_ok=True)
    before = tree(folder)
    with pytest.raises(kind, match=message) as caught:
        hybrids.convert(path, folder / "policy", **options)
    assert tree(folder) == before
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 1500
    return said


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "model.pth"),
        (lambda content: b"", "model.pth.*(empty|0 bytes|zero)"),
        (lambda content: b"PNG\r\n" + bytes(1000), "model.pth"),
        (lambda content: b'{"epoch": 3}', "model.pth"),
    ],
    ids=["truncated", "zero length", "binary", "text"],
)
def test_a_file_that_is_no_whole_checkpoint(
    hybrids: Hybrids, tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(damage(hybrids.checkpoint().read_bytes()))
    attempt(hybrids, path, CheckpointError, message)


def test_a_file_that_is_not_there(hybrids: Hybrids, tmp_path: Path) -> None:
    attempt(hybrids, tmp_path / "model.pth", CheckpointError, "model.pth")


def test_a_checkpoint_of_something_else(hybrids: Hybrids, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model_state_dict": torch.nn.Linear(4, 4).state_dict()}, path)
    attempt(hybrids, path, CheckpointError, r"has no kosmos_model\.\*, clip_model\.\*, .*it has bias, weight")


@pytest.mark.parametrize(("dtype", "parts"), [("fp32", {}), ("int8", {}), ("int4", {"clip": "int8"})])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_number_that_is_not_finite_is_named(
    hybrids: Hybrids, tmp_path: Path, dtype: str, parts: dict[str, str], value: float
) -> None:
    name = "kosmos_model.text_model.model.layers.1.ffn.fc2.weight"
    weight = hybrids.tensor(name)
    weight[3, 7] = value
    path = hybrids.changed(tmp_path / "model.pth", {name: weight})
    attempt(
        hybrids, path, MobileVLAError, r"text_model\.model\.layers\.1\.ffn\.fc2\.weight", precision=dtype, parts=parts
    )


def test_fewer_blocks_than_the_configuration_says(hybrids: Hybrids, tmp_path: Path) -> None:
    document = json.loads(hybrids.kosmos_config.read_text())
    document["text_config"]["layers"] = 4
    config = tmp_path / "four.json"
    config.write_text(json.dumps(document))
    settings = hybrids.settings(kosmos_config=config)
    path = shutil.copy(hybrids.checkpoint(), tmp_path / "model.pth")
    message = r"text_config\.layers is 2 in the file, 4 in .*four\.json.*layers were cut away"
    attempt(hybrids, Path(path), ConversionError, message, settings=settings)


def with_layers(made: HybridLayout, count: int) -> HybridLayout:
    return replace(made, kosmos={**made.kosmos, "text_config": {**made.kosmos["text_config"], "layers": count}})


def without_data(path: Path, made: HybridLayout) -> Path:
    """A safetensors file of a layout's names and shapes, its numbers a hole in the file."""
    header: dict[str, Any] = {}
    offset = 0
    for name, tensor in made.module().state_dict().items():
        end = offset + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)
    return path


def test_released_widths_with_six_of_24_blocks(tmp_path: Path) -> None:
    path = without_data(tmp_path / "six.safetensors", with_layers(FULL_SIZE, 6))
    with pytest.raises(ConversionError) as caught:
        read_hybrid(path, None, None)
    said = str(caught.value)
    assert "text_config.layers is 6 in the file, 24 in microsoft/kosmos-2-patch14-224" in said
    assert "computes something else" in said
    assert "--kosmos-config" in said


def test_released_widths_with_all_blocks(tmp_path: Path) -> None:
    found = read_hybrid(without_data(tmp_path / "all.safetensors", FULL_SIZE), None, None)
    # What is missing here is the default of its class: 24.
    assert found.kosmos["text_config"].get("layers", 24) == 24
    assert (found.lstm.input_size, found.lstm.hidden_size, found.lstm.num_layers) == (2048, 1024, 4)
    assert not found.dropped


def test_widths_of_no_released_model_want_a_configuration(hybrids: Hybrids, tmp_path: Path) -> None:
    path = Path(shutil.copy(hybrids.checkpoint(), tmp_path / "model.pth"))
    settings = hybrids.settings(kosmos_config=None)
    attempt(hybrids, path, ConversionError, "widths of no released kosmos2.*--kosmos-config", settings=settings)
    settings = hybrids.settings(clip_config=None)
    attempt(hybrids, path, ConversionError, "widths of no released clip.*--clip-config", settings=settings)


@pytest.mark.parametrize("swapped", ["kosmos_config", "clip_config"])
def test_the_other_models_configuration(hybrids: Hybrids, tmp_path: Path, swapped: str) -> None:
    other = hybrids.clip_config if swapped == "kosmos_config" else hybrids.kosmos_config
    path = Path(shutil.copy(hybrids.checkpoint(), tmp_path / "model.pth"))
    attempt(hybrids, path, ConversionError, "model_type is .*, expected", settings=hybrids.settings(**{swapped: other}))


def test_a_block_is_missing_in_the_middle(hybrids: Hybrids, tmp_path: Path) -> None:
    """The first of two: their number, by the highest, is right."""
    start = "kosmos_model.vision_model.model.encoder.layers.0."
    gone = {name: None for name in layout().module().state_dict() if name.startswith(start)}
    assert gone
    path = hybrids.changed(tmp_path / "model.pth", gone)
    attempt(hybrids, path, ConversionError, rf"missing {start.replace('.', '[.]')}")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"rnn.bias_hh_l2": None}, CheckpointError, "rnn.bias_hh_l2 is missing"),
        ({"rnn.weight_hh_l3": torch.zeros(256, 32)}, CheckpointError, "rnn.weight_hh_l3 has shape"),
        ({FUSION: torch.zeros(96, 160)}, CheckpointError, "feature_fusion"),
        (
            {FUSION: torch.zeros(96, 160), "feature_fusion.bias": torch.zeros(96)},
            CheckpointError,
            "feature_fusion gives 96, rnn takes 128",
        ),
        ({"feature_fusion.bias": None}, ConversionError, "feature_fusion.0 has no bias"),
        ({"actions.mlp.8.weight": None, "actions.mlp.8.bias": None}, ConversionError, "actions.mlp.5 is the last"),
        ({"value_head.weight": torch.zeros(2, 2)}, CheckpointError, "no policy has a place for: value_head.weight"),
        ({"clip_model.visual_projection.weight": None}, CheckpointError, "visual_projection"),
        ({"clip_model.extra": torch.zeros(3)}, ConversionError, "extra .3,. is unknown"),
    ],
)
def test_tensors_that_do_not_fit_each_other(
    hybrids: Hybrids, tmp_path: Path, change: dict[str, Tensor | None], kind: type[MobileVLAError], message: str
) -> None:
    attempt(hybrids, hybrids.changed(tmp_path / "model.pth", change), kind, message)


def test_an_activation_in_one_of_two_places(hybrids: Hybrids, tmp_path: Path) -> None:
    """Linear, something, layer norm, something, linear: which is the activation?"""
    moved: dict[str, Tensor | None] = {}
    for key in ("weight", "bias"):
        moved[f"actions.mlp.1.{key}"] = None
        moved[f"actions.mlp.2.{key}"] = hybrids.tensor(f"actions.mlp.1.{key}")
    path = hybrids.changed(tmp_path / "model.pth", moved)
    attempt(hybrids, path, ConversionError, r"gaps on both sides of actions\.mlp\.2: which is the activation")


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_change_nothing(hybrids: Hybrids, plain: Path, tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "model.pth"
    state = torch.load(hybrids.checkpoint(), weights_only=False)["model_state_dict"]
    torch.save({"state_dict": {f"{prefix}{name}": tensor for name, tensor in state.items()}}, path)
    hybrids.convert(path, tmp_path / "policy")
    assert (tmp_path / "policy" / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()


class Canary:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_code_in_the_file_is_not_run(hybrids: Hybrids, tmp_path: Path) -> None:
    path, canary = tmp_path / "model.pth", tmp_path / "canary"
    state = torch.load(hybrids.checkpoint(), weights_only=False)["model_state_dict"]
    torch.save({"model_state_dict": state, "args": Canary(canary)}, path)
    attempt(hybrids, path, CheckpointError, "would call .*mkdir.*Nothing was called")
    assert not canary.exists()
    # It would have, had it been loaded.
    pickle.loads(pickle.dumps(Canary(canary)))  # noqa: S301
    assert canary.exists()


@pytest.mark.parametrize(
    ("name", "parts"),
    [("clip_model.vision_model.post_layernorm.weight", {}), (WORDS, {}), (FUSION, {"text": "int8", "clip": "int8"})],
)
def test_too_large_for_float16(hybrids: Hybrids, tmp_path: Path, name: str, parts: dict[str, str]) -> None:
    weight = hybrids.tensor(name)
    weight.view(-1)[5] = -1e6
    path = hybrids.changed(tmp_path / "model.pth", {name: weight})
    said = attempt(
        hybrids,
        path,
        ConversionError,
        r"holds 1e\+06, more than torch.float16 can: take bf16 or fp32",
        precision="fp16",
        parts=parts,
    )
    assert name.split(".", 1)[1].split(".")[-1] in said.split()[0]


@pytest.fixture(scope="session")
def rough(hybrids: Hybrids, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that 8 bits do badly to: in each row of a layer one weight that nothing feeds dwarfs the others."""
    name = "clip_model.visual_projection.weight"
    weight = hybrids.tensor(name)
    weight[:, 0] += 300.0
    norm = "clip_model.vision_model.post_layernorm."
    scale, shift = hybrids.tensor(f"{norm}weight"), hybrids.tensor(f"{norm}bias")
    scale[0] = shift[0] = 0.0
    path = tmp_path_factory.mktemp("rough") / "model.pth"
    return hybrids.changed(path, {name: weight, f"{norm}weight": scale, f"{norm}bias": shift})


def test_actions_off_by_more_than_the_bound(hybrids: Hybrids, rough: Path) -> None:
    attempt(
        hybrids,
        rough,
        PrecisionError,
        r"moves by up to .* of its range; at most 0\.1% is accepted \(--max-action-error, --force\)",
        precision="int8",
        bound=0.001,
    )


def test_forced_it_is_written_and_says_so(hybrids: Hybrids, rough: Path, tmp_path: Path) -> None:
    receipt = hybrids.convert(rough, tmp_path / "policy", precision="int8", bound=0.001, force=True)
    assert receipt.forced
    assert receipt.worst > receipt.bound == 0.001
    assert json.loads((tmp_path / "policy" / "receipt.json").read_text())["forced"] is True
    assert "Beyond the bound, and forced." in (tmp_path / "policy" / "README.md").read_text()
    VLAPolicy.from_pretrained(tmp_path / "policy")


def test_within_the_bound_force_is_no_note(hybrids: Hybrids, tmp_path: Path) -> None:
    receipt = hybrids.convert(hybrids.checkpoint(), tmp_path / "policy", bound=0.0, force=True)
    assert not receipt.forced
    assert "forced" not in (tmp_path / "policy" / "README.md").read_text()


@pytest.mark.parametrize("force", [False, True])
def test_outputs_that_are_not_finite_are_refused_in_any_case(hybrids: Hybrids, tmp_path: Path, force: bool) -> None:
    """Every weight fits float16, what comes of them does not."""
    path = hybrids.changed(tmp_path / "model.pth", {FUSION: 1e4 * hybrids.tensor(FUSION).sign()})
    message = "% of what the policy gives in this precision is not finite: it cannot drive"
    attempt(hybrids, path, PrecisionError, message, precision="fp16", bound=1e9, force=force)


def test_a_precision_that_a_layer_cannot_have(hybrids: Hybrids, tmp_path: Path) -> None:
    path = Path(shutil.copy(hybrids.checkpoint(), tmp_path / "model.pth"))
    attempt(hybrids, path, PrecisionError, "int4 needs a number of inputs.*got 48", precision="int4")


def test_int4_wants_frames_to_calibrate_on(hybrids: Hybrids, tmp_path: Path) -> None:
    path = Path(shutil.copy(hybrids.checkpoint(), tmp_path / "model.pth"))
    options: dict[str, Any] = {"precision": "int4", "parts": {"clip": "int8"}, "over": runs(1, 1)}
    attempt(hybrids, path, PrecisionError, "give at least two", **options)


def test_a_disk_that_is_too_full(hybrids: Hybrids, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(shutil.copy(hybrids.checkpoint(), tmp_path / "model.pth"))
    usage = SimpleNamespace(total=10**9, used=10**9 - 5000, free=5000)
    monkeypatch.setattr("mobile_vla_models.memory.disk.shutil", SimpleNamespace(disk_usage=lambda place: usage))
    attempt(hybrids, path, ConversionError, r"needs .* of disk, 5\.0 kB are free")


def test_a_disk_that_fills_up_meanwhile(hybrids: Hybrids, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(safetensors_writer.os, "pwrite", pwrite)
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError, match="No space left"):
        hybrids.convert(hybrids.checkpoint(), tmp_path / "out" / "policy")
    assert tree(tmp_path / "out") == {}


def test_too_little_memory(hybrids: Hybrids, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = Available(100 * 10**6, 16 * 10**9, "MemAvailable")
    monkeypatch.setattr(conversion, "available_memory", lambda device: free)
    path = Path(shutil.copy(hybrids.checkpoint(), tmp_path / "model.pth"))
    message = r"needs 600\.0 MB of memory, 100\.0 MB are free of 16\.00 GB \(MemAvailable\)"
    attempt(hybrids, path, MemoryShortageError, message)
    options: dict[str, Any] = {"precision": "int4", "parts": {"clip": "int8"}}
    attempt(hybrids, path, MemoryShortageError, r"needs 1\.20 GB of memory", **options)


@pytest.mark.parametrize("there", [False, True])
def test_an_interruption_while_it_is_written(
    hybrids: Hybrids, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """Also where a policy is to be replaced: it stays, byte for byte."""
    out = tmp_path / "out" / "policy"
    out.parent.mkdir()
    if there:
        shutil.copytree(plain, out)
    before, writes = tree(out.parent), []
    write = safetensors_writer.SafetensorsWriter.write

    def interrupted(self: Any, name: str, piece: Tensor, first: int = 0) -> None:
        writes.append(name)
        if len(writes) == 20:
            assert len(list(out.parent.iterdir())) == 1 + there
            raise KeyboardInterrupt
        write(self, name, piece, first)

    monkeypatch.setattr(safetensors_writer.SafetensorsWriter, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hybrids.convert(hybrids.checkpoint(), out)
    assert len(writes) == 20
    assert tree(out.parent) == before


def test_a_policy_that_is_there_stays_until_the_new_one_is_whole(
    hybrids: Hybrids, plain: Path, rough: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "policy"
    shutil.copytree(plain, out)
    with refused(out.parent, PrecisionError, "of its range"):
        hybrids.convert(rough, out, precision="int8", bound=1e-4)
    hybrids.convert(rough, out, precision="int8")
    assert sorted(path.name for path in out.parent.iterdir()) == ["policy"]
    assert (out / "model.safetensors").stat().st_size < (plain / "model.safetensors").stat().st_size
    VLAPolicy.from_pretrained(out)


@pytest.mark.parametrize("content", [None, "thesis.tex", "config.json"])
def test_another_folder_stays_as_it_is(hybrids: Hybrids, tmp_path: Path, content: str | None) -> None:
    out = tmp_path / "out" / "folder"
    out.mkdir(parents=True)
    if content is not None:
        (out / content).write_text("mine")
    with refused(out.parent, PolicyDirectoryError, "exists and is not a policy directory; it is left as it is"):
        hybrids.convert(hybrids.checkpoint(), out)


@pytest.mark.parametrize(
    ("instruction", "message"), [("go </s> there", "special token '</s>'"), ("  ", "must not be empty")]
)
def test_a_sentence_that_the_policy_does_not_take(
    hybrids: Hybrids, tmp_path: Path, instruction: str, message: str
) -> None:
    path = Path(shutil.copy(hybrids.checkpoint(), tmp_path / "model.pth"))
    attempt(hybrids, path, DataError, message, over=[Run(instruction, runs(1, 2)[0].frames)])
    # With int4, one of the sentences is to calibrate on.
    over = [runs(1, 2)[0], Run(instruction, runs(1, 2)[0].frames)]
    attempt(hybrids, path, DataError, message, over=over, precision="int4", parts={"clip": "int8"})


def test_a_sentence_that_is_too_long_for_clip(hybrids: Hybrids, tmp_path: Path) -> None:
    recipe = Recipe(("backbone", "clip_text"), (), PLAIN.read_out)
    path = Path(shutil.copy(hybrids.checkpoint(), tmp_path / "model.pth"))
    over = [Run("go to the red box and then " * 10, runs(1, 2)[0].frames)]
    attempt(hybrids, path, DataError, "longer than the 32 allowed", settings=hybrids.settings(recipe), over=over)


def test_words_of_clip_want_their_tokenizer(hybrids: Hybrids, tmp_path: Path) -> None:
    recipe = Recipe(("backbone", "clip_text"), (), PLAIN.read_out)
    path = Path(shutil.copy(hybrids.checkpoint(), tmp_path / "model.pth"))
    settings = hybrids.settings(recipe, clip_tokenizer=None)
    attempt(hybrids, path, ConversionError, "--clip-tokenizer", settings=settings)
