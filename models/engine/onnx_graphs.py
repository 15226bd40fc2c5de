"""The lean parts of a policy as ONNX graphs: structure alone, without the weights.

The graphs are traced on tensors that have a shape and one element of memory, and what they need of the policy's file is
named by recipes. Numbers on both sides of a graph are float32 (and int64), whatever it computes in.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..head import LSTMHead
from ..modeling import VLAModel, plain_dtype
from ..weights import empty_model, stored_tensors
from .history import clip_names
from .lean import LeanClip, LeanConnector, LeanText, LeanVision, pooling_of
from .torch_parts import LeanFusion, LeanHead

if TYPE_CHECKING:
    import onnx_ir

    from ..configuration import PolicyConfig

# Gelu is an operator of its own from 20 on, LayerNormalization from 17 on.
OPSET = 20
# Sizes to trace with where a graph takes any; 0 and 1 would be taken for the only ones.
_ANY = {"words": 7, "length": 11, "reads": 3, "frames": 2}


@dataclass(frozen=True)
class Recipe:
    """How an initialiser comes about: a function of tensors in the policy's file, all as float32."""

    names: tuple[str, ...]
    make: Callable[..., Tensor]


@dataclass(frozen=True)
class Input:
    """An input of a graph; a name among its sizes is one that changes from call to call."""

    name: str
    sizes: tuple[int | str, ...]
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Graph:
    """A part that becomes a file.

    Attributes:
        name: of the file, without ending.
        module: that is traced; it has no weights.
        inputs, outputs: in the order of the module's.
        recipes: of every parameter and buffer of `module`, by their names in it.
    """

    name: str
    module: nn.Module
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    recipes: dict[str, Recipe]


class _Vision(nn.Module):
    def __init__(self, vision: LeanVision, connector: LeanConnector, dtype: torch.dtype) -> None:
        super().__init__()
        self.vision, self.connector, self.dtype = vision, connector, dtype

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        states = self.vision(pixels.to(self.dtype))
        # A sum of squares leaves float16 easily; what the connector normalises itself is then of length 1.
        safe = states if self.dtype == torch.float32 else F.normalize(states.float(), dim=-1).to(self.dtype)
        return self.connector(safe).float(), states[:, 0].float()


class _Text(nn.Module):
    def __init__(self, text: LeanText, dtype: torch.dtype) -> None:
        super().__init__()
        self.text, self.dtype = text, dtype

    def forward(self, latents: Tensor, words: Tensor, source: Tensor, positions: Tensor, read: Tensor) -> Tensor:
        latents, words, positions = latents.to(self.dtype), words.to(self.dtype), positions.to(self.dtype)
        return self.text(latents, words, source, positions, read).float()  # type: ignore[no-any-return]


class _Clip(nn.Module):
    def __init__(self, clip: LeanClip, dtype: torch.dtype) -> None:
        super().__init__()
        self.clip, self.dtype = clip, dtype

    def forward(self, pixels: Tensor, prompts: Tensor | None = None) -> tuple[Tensor, ...]:
        compared = None if prompts is None else prompts.to(self.dtype)
        return tuple(feature.float() for feature in self.clip(pixels.to(self.dtype), compared))


class _Plain(nn.Module):
    """Fusion or head."""

    def __init__(self, part: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.part, self.dtype = part, dtype

    def forward(self, given: Tensor) -> tuple[Tensor, ...]:
        found = self.part(given.to(self.dtype))
        # A group of no actions is no output.
        return tuple(each.float() for each in (found if isinstance(found, tuple) else (found,)) if each.numel())


class _Lstm(nn.Module):
    """An LSTM of ONNX's operators, in the place of torch's, which would be traced for one length only."""

    def __init__(self, rnn: nn.LSTM, dtype: torch.dtype) -> None:
        super().__init__()
        self.layers, self.width = rnn.num_layers, rnn.hidden_size
        for layer in range(self.layers):
            inputs = rnn.input_size if layer == 0 else self.width
            for name, shape in (("w", (inputs,)), ("r", (self.width,)), ("b", ())):
                rows = (8 if name == "b" else 4) * self.width
                self.register_buffer(f"{name}{layer}", _hollow((1, rows, *shape), dtype))

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        """(b, l, in) -> (b, l, hidden), as far as it is used of `nn.LSTM`'s."""
        states = features.transpose(0, 1)
        for layer in range(self.layers):
            states = torch.onnx.ops.symbolic(
                "LSTM",
                (states, *(getattr(self, f"{name}{layer}") for name in "wrb")),
                {"hidden_size": self.width},
                dtype=states.dtype,
                shape=(states.shape[0], 1, states.shape[1], self.width),
                version=14,
            ).squeeze(1)
        return states.transpose(0, 1), None


def lean_graphs(config: PolicyConfig) -> list[Graph]:
    """The graphs of a policy, in the precision that `config` says: those of its parts that its actions depend on."""
    model = empty_model(config)
    _empty(model)
    dtype, head = model.dtype, model.head
    if head is None:
        raise TypeError("a policy that speaks its actions has no head to export")
    exact = plain_dtype(head)
    names = {id(tensor): name for name, tensor in stored_tensors(model).items()}
    made: dict[int, Recipe] = {}
    if isinstance(head, LSTMHead):
        head._modules["rnn"] = _with_recipes(head.rnn, exact, names, made)
    graphs = []

    def add(name: str, module: nn.Module, inputs: Sequence[Input], outputs: Sequence[str]) -> None:
        recipes = {
            key: made[id(tensor)] if id(tensor) in made else Recipe((names[id(tensor)],), _same)
            # Under all their names: which of them the exporter takes is its own affair.
            for key, tensor in (
                *module.named_parameters(remove_duplicate=False),
                *module.named_buffers(remove_duplicate=False),
            )
            if id(tensor) in made or id(tensor) in names
        }
        graphs.append(Graph(name, module.eval(), tuple(inputs), tuple(outputs), recipes))

    width, cameras, size = model.backbone.hidden_size, len(config.cameras), config.image.size
    if model.shows_backbone:
        kosmos = model.backbone.model
        connector = LeanConnector(kosmos.image_to_text_projection)
        made |= _connector_recipes(connector, names)
        vision = _Vision(LeanVision(kosmos.vision_model.model), connector, dtype)
        add("vision", vision, [Input("pixels", (cameras, 3, size, size))], ["latents", "pooled"])
    if model.runs_decoder and config.readout is not None:
        pooling = pooling_of(config)
        latents = cameras * int(model.backbone.model.config.latent_query_num)
        inputs = [
            Input("latents", (1, latents, width)),
            Input("words", (1, "words", width)),
            Input("source", ("length",), torch.int64),
            Input("positions", ("length", width)),
            Input("read", (config.readout.tokens if pooling is None else "reads",), torch.int64),
        ]
        add("text", _Text(LeanText(model.backbone.model.text_model.model, pooling), dtype), inputs, ["feature"])
    if model.clip is not None and model.clip.sees and config.clip is not None:
        inputs = [Input("pixels", (1, 3, size, size))]
        if "clip_similarity" in config.features:
            inputs.append(Input("prompts", (1, len(config.clip.prompts), model.clip.embedding_size)))
        add("clip", _Clip(LeanClip(model.clip, clip_names(config)), dtype), inputs, clip_names(config))
    features = sum(model.feature_sizes[name] for name in config.features)
    if config.fusion is not None:
        add("fusion", _Plain(LeanFusion(model), exact), [Input("features", (1, features))], ["fused"])
        features = config.fusion.hidden_size
    length: int | str = "frames" if config.window > 1 else 1
    outputs = ["continuous", "binary"] if config.action.binary else ["continuous"]
    add("head", _Plain(LeanHead(model), exact), [Input("window", (1, length, features))], outputs)
    return graphs


def trace(graph: Graph) -> onnx_ir.Model:
    """A graph as the exporter gives it; where weights belong, it has tensors of zeros."""
    examples, changing = [], []
    for given in graph.inputs:
        shape = [_ANY[size] if isinstance(size, str) else size for size in given.sizes]
        examples.append(torch.zeros(shape, dtype=given.dtype))
        axes = [axis for axis, size in enumerate(given.sizes) if isinstance(size, str)]
        changing.append(dict.fromkeys(axes, torch.export.Dim.DYNAMIC))
    # It would say for every graph that torchvision is not there, whose operators nothing here has.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # torch's own deprecations, and that weights without a gradient have none.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.module,
            tuple(examples),
            dynamo=True,
            opset_version=OPSET,
            input_names=[given.name for given in graph.inputs],
            output_names=list(graph.outputs),
            dynamic_shapes=tuple(changing),
            # The optimiser computes with weights; they come later.
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise TypeError("torch.onnx.export gave no program")
    return program.model


def _hollow(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor of one element of memory."""
    return torch.zeros(1, dtype=dtype).expand(*shape) if len(shape) else torch.zeros((), dtype=dtype)


def _empty(model: VLAModel) -> None:
    """Put hollow tensors in the place of all on the meta device; tied ones stay tied."""
    done: dict[int, Tensor] = {}
    for module in model.modules():
        for key, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if tensor.device.type == "meta":
                hollow = _hollow(tensor.shape, tensor.dtype)
                whole = nn.Parameter(hollow, requires_grad=False) if isinstance(tensor, nn.Parameter) else hollow
                setattr(module, key, done.setdefault(id(tensor), whole))
    model.eval()


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _kept(latents: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(latents.unsqueeze(0), weight, bias)


def _gates(*tensors: Tensor) -> Tensor:
    """From torch's gates i, f, g, o to ONNX's i, o, f, g; of a weight, or of both biases."""
    ordered = []
    for tensor in tensors:
        first, forget, cell, out = tensor.chunk(4)
        ordered += [first, out, forget, cell]
    return torch.cat(ordered).unsqueeze(0)


def _connector_recipes(connector: LeanConnector, names: dict[int, str]) -> dict[int, Recipe]:
    attention = connector.attention
    recipes = {}
    for kept, layer in (
        (connector.query, attention.q_proj),
        (connector.key, attention.k_proj),
        (connector.value, attention.v_proj),
    ):
        sources = (connector.latents, layer.weight, layer.bias)
        recipes[id(kept)] = Recipe(tuple(names[id(source)] for source in sources), _kept)
    return recipes


def _with_recipes(rnn: nn.LSTM, dtype: torch.dtype, names: dict[int, str], made: dict[int, Recipe]) -> _Lstm:
    replacement = _Lstm(rnn, dtype)
    for layer in range(rnn.num_layers):
        for key, sources in (("w", ["weight_ih"]), ("r", ["weight_hh"]), ("b", ["bias_ih", "bias_hh"])):
            tensors = [getattr(rnn, f"{source}_l{layer}") for source in sources]
            found = tuple(names[id(tensor)] for tensor in tensors)
            made[id(getattr(replacement, f"{key}{layer}"))] = Recipe(found, _gates)
    return replacement
