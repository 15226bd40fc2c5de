"""Small models of the layout that checkpoints have, and their tensors as entries without data."""

import json
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, Kosmos2Config, Kosmos2ForConditionalGeneration, Kosmos2Model

from mobile_vla_models.checkpoint.entry import TensorEntry

KOSMOS2 = {
    "latent_query_num": 3,
    "text_config": {"vocab_size": 50, "embed_dim": 16, "layers": 3, "ffn_dim": 24, "attention_heads": 2},
    "vision_config": {
        "hidden_size": 12,
        "intermediate_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 4,
        "image_size": 16,
    },
}
CLIP = {
    "projection_dim": 6,
    "text_config": {
        "vocab_size": 40,
        "hidden_size": 8,
        "intermediate_size": 10,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 7,
        "projection_dim": 6,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
    "vision_config": {
        "hidden_size": 12,
        "intermediate_size": 14,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 2,
        "image_size": 8,
        "projection_dim": 6,
    },
}


class Actions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(10, 8), nn.LayerNorm(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU(),
            nn.Dropout(), nn.Linear(8, 2),
        )  # fmt: skip


class SimpleClipLSTM(nn.Module):
    """The layout of a policy of Kosmos-2, CLIP, fusion, LSTM and MLP; frozen are the first two."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.kosmos_model = Kosmos2Model(Kosmos2Config(**KOSMOS2))
            self.clip_model = CLIPModel(CLIPConfig(**CLIP))
            self.feature_fusion = nn.Linear(22, 18)
            self.rnn = nn.LSTM(18, 10, num_layers=4, batch_first=True)
            self.actions = Actions()
        for model in (self.kosmos_model, self.clip_model):
            model.requires_grad_(False)


def with_head(state: Mapping[str, Tensor], *, tied: bool) -> dict[str, Tensor]:
    """The state dict with a language head, sharing the words' memory or a copy of it."""
    words = state["kosmos_model.text_model.model.embed_tokens.weight"]
    return {**state, "kosmos_model.text_model.lm_head.weight": words if tied else words.clone()}


def adam_of(model: SimpleClipLSTM) -> torch.optim.Optimizer:
    """An optimiser of what trains, after a step."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-4)
    for parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


def checkpoint_of(model: SimpleClipLSTM, state: Mapping[str, Tensor] | None = None) -> dict[str, object]:
    """What the training of such a policy saves."""
    return {
        "epoch": 12,
        "model_state_dict": model.state_dict() if state is None else dict(state),
        "optimizer_state_dict": adam_of(model).state_dict(),
        "val_mae": 0.2121,
        "args": Namespace(learning_rate=1e-4, batch_size=4, data_dir="/data/[red]x[/red]", resume=None),
    }


def sparse_safetensors(path: Path, entries: Mapping[str, TensorEntry]) -> None:
    """A safetensors file of zeros that takes no room on the disk, whatever its size."""
    header, end = {}, 0
    for name, entry in entries.items():
        header[name] = {"dtype": "F32", "shape": entry.shape, "data_offsets": [end, end + entry.nbytes]}
        end += entry.nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def entries_of(state: Mapping[str, Tensor]) -> dict[str, TensorEntry]:
    """Entries of tensors, one after another in a file that there is none of; tied tensors stay tied."""
    offsets: dict[int, int] = {}
    entries, end = {}, 0
    for name, tensor in state.items():
        where = id(tensor) if tensor.device.type == "meta" else tensor.untyped_storage().data_ptr()
        if where not in offsets:
            offsets[where] = end
            end += tensor.numel() * tensor.element_size()
        offset = offsets[where]
        shape, stride = tuple(tensor.shape), tensor.stride()
        entries[name] = TensorEntry(tensor.dtype, shape, stride, Path("weights.pth"), offset, offset)
    return entries


def kosmos2_on_meta(prefix: str = "", head: bool = False, **config: object) -> dict[str, TensorEntry]:
    """Entries of a Kosmos-2 of any size."""
    with torch.device("meta"):
        model = (Kosmos2ForConditionalGeneration if head else Kosmos2Model)(Kosmos2Config(**config))
    return entries_of({prefix + name: tensor for name, tensor in model.state_dict(keep_vars=True).items()})


def clip_on_meta(prefix: str = "", **config: object) -> dict[str, TensorEntry]:
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig(**config))
    return entries_of({prefix + name: tensor for name, tensor in model.state_dict(keep_vars=True).items()})


def module_entries(module: nn.Module, prefix: str) -> dict[str, TensorEntry]:
    return entries_of({f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()})
