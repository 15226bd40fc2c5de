"""Stacks and recurrent networks by the shapes of their tensors."""

import pytest
from inspected import module_entries
from torch import nn

from mobile_vla_models.errors import CheckpointError
from mobile_vla_models.inspection.layers import LSTMSizes, RecurrentSizes, StackLayer, numbering_gaps, recurrent_sizes
from mobile_vla_models.inspection.structure import read_lstm, read_stack


def test_a_sequential_is_read_layer_by_layer_with_its_gaps() -> None:
    stack = nn.Sequential(
        nn.Linear(6, 5),
        nn.LayerNorm(5),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(5, 4, bias=False),
        nn.Tanh(),
        nn.Linear(4, 2),
    )
    layers = read_stack(
        {**module_entries(stack, "actions.mlp"), **module_entries(nn.Linear(3, 3), "other")}, "actions.mlp"
    )
    assert layers == (
        StackLayer(0, "linear", 6, 5, True),
        StackLayer(1, "layer_norm", 5, 5, True),
        StackLayer(4, "linear", 5, 4, False),
        StackLayer(6, "linear", 4, 2, True),
    )
    assert numbering_gaps(layer.index for layer in layers) == ((2, 3), (5, 5))


def test_layers_are_in_the_order_of_numbers_and_not_of_words() -> None:
    entries = module_entries(nn.Sequential(*(nn.Linear(width, width + 1) for width in range(1, 13))), "mlp")
    backwards = dict(sorted(entries.items()))
    assert [layer.inputs for layer in read_stack(backwards, "mlp")] == list(range(1, 13))


def test_a_linear_by_itself_is_one_layer() -> None:
    assert read_stack(module_entries(nn.Linear(22, 18), "feature_fusion"), "feature_fusion") == (
        StackLayer(0, "linear", 22, 18, True),
    )


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (
            nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(4, 2)),
            r"head\.2\.weight takes 4 .* head\.0\.weight .* gives 5",
        ),
        (nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(4)), r"head\.1\.weight takes 4 inputs, but head\.0\.weight"),
        (nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)), r"head\.1\.running_mean is no tensor of a Linear"),
        (
            nn.Sequential(nn.Linear(6, 5), nn.PReLU(5)),
            r"head\.1\.weight has shape \(5,\) and no bias, expected a Linear",
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 5)), r"head\.0\.weight has shape \(4, 3, 5, 5\), expected a Linear"),
        (nn.Sequential(nn.Sequential(nn.Linear(2, 2))), r"head\.0\.0\.weight is no tensor of a Linear"),
        (nn.ReLU(), r"no tensor is named head\.\*"),
    ],
)
def test_what_is_no_such_stack_is_refused_by_name(stack: nn.Module, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        read_stack(module_entries(stack, "head"), "head")


def test_a_bias_of_another_width_or_without_a_weight_is_refused() -> None:
    entries = module_entries(nn.Linear(6, 5), "head")
    with pytest.raises(CheckpointError, match=r"head\.bias has shape \(4,\), expected \(5,\)"):
        read_stack({**entries, "head.bias": module_entries(nn.Linear(6, 4), "head")["head.bias"]}, "head")
    del entries["head.weight"]
    with pytest.raises(CheckpointError, match=r"head\.weight is missing"):
        read_stack(entries, "head")


def test_a_module_that_is_both_a_linear_and_a_sequential_is_refused() -> None:
    entries = {**module_entries(nn.Linear(6, 5), "head"), **module_entries(nn.Linear(6, 5), "head.0")}
    with pytest.raises(CheckpointError, match="one or the other"):
        read_stack(entries, "head")


def test_an_lstm_is_read() -> None:
    entries = module_entries(nn.LSTM(18, 10, num_layers=4), "rnn")
    assert read_lstm(entries, "rnn") == LSTMSizes(18, 10, 4)
    assert recurrent_sizes(entries, "rnn") == RecurrentSizes("LSTM", 18, 10, 4, False, 0, True)


@pytest.mark.parametrize(
    ("network", "sizes", "said"),
    [
        (
            nn.LSTM(18, 10, 2, bidirectional=True),
            RecurrentSizes("LSTM", 18, 10, 2, True, 0, True),
            r"rnn\.weight_ih_l0_reverse is of a bidirectional LSTM",
        ),
        (
            nn.LSTM(18, 10, 2, proj_size=7),
            RecurrentSizes("LSTM", 18, 10, 2, False, 7, True),
            r"rnn\.weight_hr_l0 projects the LSTM's output to 7",
        ),
        (
            nn.LSTM(18, 10, 2, bias=False),
            RecurrentSizes("LSTM", 18, 10, 2, False, 0, False),
            r"rnn\.bias_ih_l0 is missing",
        ),
        (
            nn.GRU(18, 10, 2),
            RecurrentSizes("GRU", 18, 10, 2, False, 0, True),
            r"rnn\.weight_ih_l0 has the rows of a plain GRU",
        ),
        (
            nn.RNN(18, 10),
            RecurrentSizes("RNN", 18, 10, 1, False, 0, True),
            r"rnn\.weight_ih_l0 has the rows of a plain RNN",
        ),
    ],
)
def test_another_recurrent_network_is_told_and_refused(network: nn.Module, sizes: RecurrentSizes, said: str) -> None:
    entries = module_entries(network, "rnn")
    assert recurrent_sizes(entries, "rnn") == sizes
    with pytest.raises(CheckpointError, match=said):
        read_lstm(entries, "rnn")


def test_a_layer_of_an_lstm_that_is_missing_or_of_another_shape_is_refused() -> None:
    entries = module_entries(nn.LSTM(18, 10, num_layers=4), "rnn")
    other = module_entries(nn.LSTM(18, 9), "rnn")["rnn.weight_hh_l0"]
    with pytest.raises(CheckpointError, match=r"rnn\.weight_hh_l2 has shape \(36, 9\), expected \(40, 10\)"):
        read_lstm({**entries, "rnn.weight_hh_l2": other}, "rnn")
    without = {name: entry for name, entry in entries.items() if not name.endswith("_l1")}
    with pytest.raises(CheckpointError, match=r"rnn\.weight_ih_l1 is missing, but there are layers after it"):
        read_lstm(without, "rnn")
    with pytest.raises(CheckpointError, match=r"rnn\.scale is no tensor of an LSTM"):
        read_lstm({**entries, "rnn.scale": other}, "rnn")
