"""The lean step at shapes that repeat: the same answers, compiled or captured once for every bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from lean_cases import LEAN_CASES, changed
from torch import Tensor, nn

from mobile_vla_models.engine.buckets import BUCKET, pad_prompt, pad_read
from mobile_vla_models.engine.captured import Captured, Outputs, Work
from mobile_vla_models.engine.compiled import check_compiler, compiled
from mobile_vla_models.engine.cuda import CudaGraphs, to_device, to_host
from mobile_vla_models.engine.engine import open_engine
from mobile_vla_models.engine.parts import prepare
from mobile_vla_models.engine.static_engine import StaticEngine
from mobile_vla_models.engine.torch_engine import TorchEngine
from mobile_vla_models.errors import PolicyDirectoryError
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.quantization.linear import empty
from mobile_vla_models.quantization.precision import Precision
from mobile_vla_models.quantization.rounding import quantise
from policies import build, document, pictures

SHORT, ALIKE = "stop", "turn left now"
LONG = "drive to the blue cone go to the red box turn left now go to the red ball"
STEPS = 5


class Tape:
    """A device that repeats work as a CUDA graph does: in the same memory, whatever the caller holds by then."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def warm_up(self, work: Work) -> None:
        self.told.append("warm-up")
        work()

    def record(self, work: Work) -> tuple[Callable[[], None], Outputs]:
        self.told.append("record")
        outputs = work()
        # Recording computes nothing: what comes out before a replay is of no frame.
        for output in as_tuple(outputs):
            output.fill_(float("nan"))

        def replay() -> None:
            self.told.append("replay")
            for output, again in zip(as_tuple(outputs), as_tuple(work()), strict=True):
                output.copy_(again)

        return replay, outputs


class Graphs:
    """A backend of torch.compile that runs what it is given, and counts it."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.count += 1
        return graph.forward

    def wrap(self, module: nn.Module) -> nn.Module:
        wrapped: nn.Module = torch.compile(module, backend=self, dynamic=False, fullgraph=True)  # type: ignore[assignment]
        return wrapped


@pytest.fixture(autouse=True)
def forget_what_was_compiled() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("name", LEAN_CASES)
def test_padded_and_captured_a_run_is_the_same(name: str) -> None:
    policy = build(LEAN_CASES[name])
    captured = StaticEngine(policy.model, "torch-cuda-graphs", partial(Captured, recorder=Tape()))
    for sentence in (SHORT, LONG, SHORT):
        for one, other in zip(
            run(TorchEngine(policy.model), policy, sentence), run(captured, policy, sentence), strict=True
        ):
            torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def test_lean_modules_are_compiled_whole_once_for_every_bucket() -> None:
    policy, graphs = build(LEAN_CASES["max of words"]), Graphs()
    engine = StaticEngine(policy.model, "torch-compile", graphs.wrap)
    assert lengths(policy, SHORT) == lengths(policy, ALIKE) != lengths(policy, LONG)
    counts = []
    for sentence in (SHORT, ALIKE, LONG, SHORT):
        found = run(engine, policy, sentence)
        counts.append(graphs.count)
        for one, other in zip(run(TorchEngine(policy.model), policy, sentence), found, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
    # Of a longer prompt the decoder is new, and nothing else.
    assert counts == [4, 4, 5, 5]


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.W8A8, Precision.INT4])
def test_quantised_layers_are_compiled_whole(precision: Precision) -> None:
    linear, graphs = nn.Linear(64, 8, bias=False), Graphs()
    layer = empty(precision, linear)
    for name, buffer in quantise(linear.weight, precision).items():
        setattr(layer, name, buffer)
    with torch.inference_mode():
        inputs = torch.randn(1, 5, 64)
        torch.testing.assert_close(graphs.wrap(layer)(inputs), layer(inputs))
    assert graphs.count == 1


def test_what_was_compiled_in_one_thread_runs_in_others() -> None:
    """A node loads its policy in one thread and steps it in another."""
    before, graphs = torch.get_num_threads(), Graphs()
    # Not what threads begin with.
    torch.set_num_threads(before + 1)
    try:
        module = graphs.wrap(nn.Linear(4, 4))

        @torch.inference_mode()
        def call() -> None:
            module(torch.ones(1, 4))

        call()
        worker = Thread(target=call)
        worker.start()
        worker.join()
    finally:
        torch.set_num_threads(before)
    assert graphs.count == 1


def test_a_prompt_is_padded_at_its_end() -> None:
    policy = build(changed())
    with torch.inference_mode():
        prepared = prepare(policy.model, policy.encoder(policy.model, [LONG]))
        padded = pad_prompt(prepared)
        again = pad_prompt(padded)
    before = len(prepared.source)
    assert before % BUCKET
    assert len(padded.source) == len(padded.positions) == -(-before // BUCKET) * BUCKET
    latents = torch.randn(1, 3, prepared.words.shape[2])
    for one, other in ((prepared, padded), (padded, again)):
        bank, wider = (torch.cat([each.words, latents], dim=1) for each in (one, other))
        length = len(one.source)
        torch.testing.assert_close(wider[:, other.source[:length]], bank[:, one.source], rtol=0.0, atol=0.0)
        assert torch.equal(other.positions[:length], one.positions)
        assert torch.equal(other.read, one.read)
    assert len(again.source) == len(padded.source)


@pytest.mark.parametrize(("count", "padded"), [(1, BUCKET), (BUCKET, BUCKET), (BUCKET + 1, 2 * BUCKET)])
def test_places_to_read_are_padded_to_buckets(count: int, padded: int) -> None:
    read = torch.arange(count)
    assert len(pad_read(read)) == padded
    assert torch.equal(pad_read(read)[:count], read)


def test_a_shape_is_warmed_up_recorded_and_then_replayed() -> None:
    tape = Tape()
    seen: list[tuple[int, int]] = []

    class Doubled(nn.Module):
        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            seen.append((one.data_ptr(), other.data_ptr()))
            return 2.0 * one + other

    module = Captured(Doubled(), tape)
    first = module(torch.ones(2), torch.zeros(2))
    assert tape.told == ["warm-up", "record", "replay"]
    second = module(torch.full((2,), 3.0), torch.ones(2))
    assert tape.told == ["warm-up", "record", "replay", "replay"]
    # Inputs lie where they lay, and an answer is not written over by the next one.
    assert len(set(seen)) == 1
    assert first.tolist() == [2.0, 2.0]
    assert second.tolist() == [7.0, 7.0]
    module(torch.ones(3), torch.ones(3))
    assert tape.told[4:] == ["warm-up", "record", "replay"]
    module(torch.ones(2), torch.ones(2))
    assert tape.told[7:] == ["replay"]


def test_cuda_graphs_are_warmed_up_and_recorded_on_a_stream_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    class Stream:
        def __init__(self, name: Any) -> None:
            self.name, self.device = str(name), name

        def wait_stream(self, other: Stream) -> None:
            told.append(f"{self.name} waits for {other.name}")

    class Graph:
        def replay(self) -> None:
            told.append("replay")

    @contextmanager
    def on(what: Any, **how: Any) -> Iterator[None]:
        told.append(("begin", what.name) if isinstance(what, Stream) else ("record", how["pool"], how["stream"].name))
        yield
        told.append("end")

    def work() -> Tensor:
        told.append("work")
        return torch.zeros(1)

    for name, fake in {
        "Stream": lambda device: Stream("side"),
        "current_stream": lambda device: Stream("current"),
        "graph_pool_handle": lambda: "pool",
        "stream": on,
        "graph": on,
        "CUDAGraph": Graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    graphs = CudaGraphs(torch.device("cuda"))
    graphs.warm_up(work)
    warm_up, told[:] = list(told), []
    assert warm_up == [
        "side waits for current",
        ("begin", "side"),
        "work",
        "work",
        "work",
        "end",
        "current waits for side",
    ]
    replay, _ = graphs.record(work)
    assert told == [("record", "pool", "side"), "work", "end"]
    replay()
    assert told[3:] == ["replay"]


def test_recordings_are_kept_until_weights_are_replaced() -> None:
    policy, tape = build(changed()), Tape()
    engine = StaticEngine(policy.model, "torch-cuda-graphs", partial(Captured, recorder=tape))
    run(engine, policy, SHORT)
    assert tape.told.count("record") == 4
    with torch.no_grad():
        policy.model.backbone.model.image_to_text_projection.latent_query.mul_(-2.0)
        policy.model.backbone.vision_tower.model.post_layernorm.weight.mul_(0.5)
    check(engine, policy, SHORT)
    assert tape.told.count("record") == 4
    layer = policy.model.backbone.model.text_model.model.layers[0].ffn.fc1
    layer.weight = nn.Parameter(-layer.weight.detach())
    check(engine, policy, SHORT)
    assert tape.told.count("record") == 8


def test_warming_up_takes_the_lengths_that_will_come_and_leaves_no_history() -> None:
    policy, tape = build(changed()), Tape()
    policy.engine = StaticEngine(policy.model, "torch-cuda-graphs", partial(Captured, recorder=tape))
    frame = pictures(policy.config, 1, 1)[0, 0, 0]
    first = policy.step(frame, SHORT).continuous
    policy.step(frame, SHORT)
    policy.warm_up([SHORT, LONG])
    records = tape.told.count("record")
    assert records == 5
    np.testing.assert_array_equal(policy.step(frame, ALIKE).continuous.shape, first.shape)
    policy.reset()
    policy.step(frame, LONG)
    policy.reset()
    np.testing.assert_array_equal(policy.step(frame, SHORT).continuous, first)
    assert tape.told.count("record") == records


def test_policies_with_states_and_more_cameras_warm_up() -> None:
    state = [{"name": "speed", "unit": "m/s", "mean": 0.2, "std": 0.5}]
    prompt = "<s>{hand}{front}An image {state}{instruction}</s>{action}"
    policy = build(document("kosmos2", "lstm", "post", cameras=["front", "hand"], state=state, prompt=prompt))
    policy.warm_up([SHORT, LONG])
    with pytest.raises(ValueError, match="must not be empty"):
        policy.warm_up([" "])


def test_engines_refuse_what_they_cannot_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lean = build(changed()).model
    with pytest.raises(PolicyDirectoryError, match="torch-cuda-graphs needs the policy on a CUDA device, it is on cpu"):
        open_engine("torch-cuda-graphs", tmp_path, lean)
    with pytest.raises(PolicyDirectoryError, match="expected one of torch, torch-compile, torch-cuda-graphs, onnx"):
        open_engine("tensorflow", tmp_path, lean)
    other = build(document("llava", "lstm", "post")).model
    with pytest.raises(PolicyDirectoryError, match=r"torch-compile runs lean steps.*backbone is llava"):
        StaticEngine(other, "torch-compile", compiled)


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(config.cpp, "cxx", (None, "no-such-compiler"))
    monkeypatch.setattr(config, "fx_graph_cache", False)
    with pytest.raises(PolicyDirectoryError, match=r"torch-compile needs a C\+\+ compiler.*no-such-compiler"):
        check_compiler(torch.device("cpu"))


def test_copies_to_cuda_go_by_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, Any]] = []

    def pin(tensor: Tensor) -> Tensor:
        told.append(("pin", tensor.tolist()))
        return tensor.clone()

    def move(tensor: Tensor, device: torch.device, non_blocking: bool) -> Tensor:
        told.append((str(device), non_blocking))
        return tensor

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(Tensor, "to", move)
    assert to_device(np.array([1, 2], np.uint8), torch.device("cuda")).tolist() == [1, 2]
    assert told == [("pin", [1, 2]), ("cuda", True)]


def test_on_the_cpu_copies_are_plain() -> None:
    array = np.array([1.0, 2.0], np.float32)
    tensor = to_device(array, torch.device("cpu"))
    found = to_host(tensor, 2.0 * tensor)
    assert [each.tolist() for each in found] == [[1.0, 2.0], [2.0, 4.0]]


def check(engine: Any, policy: VLAPolicy, sentence: str) -> None:
    # A fresh engine has nothing that could be of other weights.
    expected, found = (run(each, policy, sentence) for each in (TorchEngine(policy.model), engine))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def lengths(policy: VLAPolicy, sentence: str) -> int:
    with torch.inference_mode():
        return len(pad_prompt(prepare(policy.model, policy.encoder(policy.model, [sentence]))).source)


@torch.inference_mode()
def run(engine: Any, policy: VLAPolicy, sentence: str) -> list[Tensor]:
    history = engine.begin(policy.encoder(policy.model, [sentence]))
    frames = torch.from_numpy(np.ascontiguousarray(pictures(policy.config, 1, STEPS)[0]))
    answers: list[Tensor] = []
    for frame in frames:
        answers += history.step(frame, None)
    return answers


def as_tuple(outputs: Outputs) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else outputs
