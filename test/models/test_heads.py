"""What every head promises, and what each adds."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from mobile_vla_models.head.fc import FCHead
from mobile_vla_models.head.gpt import GPTHead
from mobile_vla_models.head.lstm import LSTMHead
from mobile_vla_models.head.mlp import ActionHead
from mobile_vla_models.layers import Layer
from mobile_vla_models.loss import action_loss

WINDOW, CHUNK = 4, 3
MLP: tuple[Layer, ...] = (16, "relu", 12, "relu")
BuildHead = Callable[..., ActionHead]


def lstm(in_features: int = 6, continuous: int = 2, binary: int = 1) -> LSTMHead:
    return LSTMHead(in_features, 8, 2, 0.0, MLP, "tanh", CHUNK, continuous, binary)


def gpt(in_features: int = 6, continuous: int = 2, binary: int = 1) -> GPTHead:
    return GPTHead(in_features, 8, 2, 2, 0.0, WINDOW, MLP, "tanh", CHUNK, continuous, binary)


def fc(in_features: int = 6, continuous: int = 2, binary: int = 1) -> FCHead:
    return FCHead(in_features, 8, MLP, "tanh", CHUNK, continuous, binary)


@pytest.fixture(params=[lstm, gpt, fc])
def build(request: pytest.FixtureRequest) -> BuildHead:
    torch.manual_seed(0)
    found: BuildHead = request.param
    return found


@pytest.mark.parametrize(("continuous", "binary"), [(2, 1), (3, 0), (6, 1), (7, 0), (2, 3)])
def test_any_number_of_dimensions_is_predicted_and_trained(build: BuildHead, continuous: int, binary: int) -> None:
    head = build(continuous=continuous, binary=binary)
    values, logits = head(torch.randn(5, WINDOW, 6))
    assert values.shape == (5, WINDOW, CHUNK, continuous)
    assert logits.shape == (5, WINDOW, CHUNK, binary)
    assert float(values.detach().abs().max()) <= 1.0

    # The peer's constant 6 + 1 leaves further dimensions without a gradient.
    losses = action_loss(values, logits, torch.ones_like(values), torch.ones_like(logits), None, "huber")
    torch.stack(losses).sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    last = head.continuous.mlp[-1]
    assert isinstance(last, nn.Linear)
    assert last.weight.grad is not None
    assert bool((last.weight.grad.abs().sum(dim=1) > 0).all())


@pytest.mark.parametrize("in_features", [6, 8])
def test_inputs_may_be_as_wide_as_the_hidden_size_or_not(build: BuildHead, in_features: int) -> None:
    values, _ = build(in_features=in_features)(torch.randn(2, WINDOW, in_features))
    assert values.shape == (2, WINDOW, CHUNK, 2)


def test_a_frame_depends_on_none_after_it(build: BuildHead) -> None:
    head = build().eval()
    features = torch.randn(2, WINDOW, 6)
    changed = features.clone()
    changed[:, -1] += 1.0
    for before, after in zip(head(features), head(changed), strict=True):
        torch.testing.assert_close(before[:, :-1], after[:, :-1])
        assert not torch.allclose(before[:, -1], after[:, -1])


def test_training_on_single_frames_batch_after_batch(build: BuildHead) -> None:
    """No autograd graph outlives a call (in the peer's LSTM and GPT heads, history does: the second step raises)."""
    head = build().train()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    for _ in range(3):
        values, logits = head(torch.randn(2, 1, 6))
        losses = action_loss(values, logits, torch.zeros_like(values), torch.zeros_like(logits), None, "huber")
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()


def test_no_call_leaves_a_trace(build: BuildHead) -> None:
    """A batch of another size, or of training, changes nothing for the next call."""
    head = build().eval()
    features = torch.randn(1, 2, 6)
    first = head(features)
    head(torch.randn(3, 1, 6))
    head(torch.randn(2, WINDOW, 6))
    for before, after in zip(first, head(features), strict=True):
        assert torch.equal(before, after)


def test_output_keys_lie_directly_under_the_head(build: BuildHead) -> None:
    keys = set(build().state_dict())
    for group in ("continuous", "binary"):
        assert {f"{group}.mlp.{layer}.{part}" for layer in (0, 2, 4) for part in ("weight", "bias")} <= keys
    assert not any(key.startswith("binary.") for key in build(binary=0).state_dict())


def test_no_continuous_dimension_is_refused(build: BuildHead) -> None:
    with pytest.raises(ValueError, match="0 continuous dimensions"):
        build(continuous=0)


def test_lstm_dropout_needs_a_second_layer() -> None:
    with pytest.raises(ValueError, match=r"dropout 0\.1 acts between layers"):
        LSTMHead(6, 8, 1, 0.1, MLP, "tanh", CHUNK, 2, 1)
    assert LSTMHead(6, 8, 2, 0.1, MLP, "tanh", CHUNK, 2, 1).rnn.dropout == 0.1


def test_lstm_and_gpt_use_the_history() -> None:
    features = torch.randn(1, WINDOW, 6)
    for head in (lstm().eval(), gpt().eval()):
        assert not torch.allclose(head(features)[0][:, -1], head(features[:, -1:])[0][:, -1])


def test_fc_looks_at_each_frame_by_itself() -> None:
    head = fc().eval()
    features = torch.randn(2, WINDOW, 6)
    alone = torch.cat([head(features[:, [frame]])[0] for frame in range(WINDOW)], dim=1)
    torch.testing.assert_close(head(features)[0], alone)


def test_fc_keys() -> None:
    shapes = {name: tuple(value.shape) for name, value in fc().state_dict().items() if name.startswith("mlp.")}
    assert shapes == {"mlp.0.weight": (3, 6), "mlp.0.bias": (3,), "mlp.2.weight": (8, 3), "mlp.2.bias": (8,)}


def test_gpt_refuses_more_frames_than_its_window() -> None:
    with pytest.raises(ValueError, match=f"{WINDOW + 1} frames, but its window is {WINDOW}"):
        gpt()(torch.randn(1, WINDOW + 1, 6))


def test_gpt_refuses_a_hidden_size_that_its_heads_do_not_divide() -> None:
    with pytest.raises(ValueError, match="hidden size 8 is no multiple of the 3"):
        GPTHead(6, 8, 2, 3, 0.0, WINDOW, MLP, "tanh", CHUNK, 2, 1)


def test_gpt_holds_no_token_embedding() -> None:
    keys = set(gpt().state_dict())
    assert "gpt.wpe.weight" in keys
    assert not any("wte" in key for key in keys)
    assert not any(key.startswith("fc.") for key in gpt(in_features=8).state_dict())


def test_gpt_drops_out_in_training_only() -> None:
    head = GPTHead(6, 8, 2, 2, 0.5, WINDOW, MLP, "tanh", CHUNK, 2, 1)
    features = torch.randn(1, WINDOW, 6)
    assert not torch.equal(head.train()(features)[0], head(features)[0])
    assert torch.equal(head.eval()(features)[0], head(features)[0])
