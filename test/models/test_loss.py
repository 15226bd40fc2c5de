import pytest
import torch
from torch import Tensor

from mobile_vla_models.loss import LossKind, action_loss, token_loss


def zeros(dimensions: int, chunk: int = 2) -> Tensor:
    return torch.zeros(1, 1, chunk, dimensions)


def mask(*entries: float) -> Tensor:
    return torch.tensor(entries).view(1, 1, -1)


@pytest.mark.parametrize(("kind", "expected"), [("huber", 1.5), ("l1", 2.0), ("l2", 4.0)])
def test_continuous_losses(kind: LossKind, expected: float) -> None:
    continuous, _ = action_loss(zeros(3), zeros(1), zeros(3) + 2.0, zeros(1), None, kind)
    assert continuous.item() == pytest.approx(expected)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'hubber'"):
        action_loss(zeros(3), zeros(1), zeros(3), zeros(1), None, "hubber")  # type: ignore[arg-type]


def test_only_entries_of_the_mask_count() -> None:
    label = zeros(3)
    label[:, :, 1] = 1.0
    binary = torch.tensor([[[[0.0], [50.0]]]])
    continuous_loss, binary_loss = action_loss(zeros(3), binary, label, zeros(1), mask(True, False), "huber")
    assert continuous_loss.item() == 0.0
    assert binary_loss.item() == pytest.approx(0.6931472)


def test_labels_that_do_not_count_may_hold_anything() -> None:
    continuous, binary = zeros(3).requires_grad_(), zeros(1).requires_grad_()
    continuous_label, binary_label = zeros(3) + 1.0, zeros(1)
    continuous_label[:, :, 1], binary_label[:, :, 1] = float("nan"), -1.0
    losses = action_loss(continuous, binary, continuous_label, binary_label, mask(True, False), "huber")
    torch.stack(losses).sum().backward()
    for tensor in (continuous, binary):
        assert tensor.grad is not None
        assert bool(tensor.grad[:, :, 0].any())
        assert not bool(tensor.grad[:, :, 1].any())


@pytest.mark.parametrize("counted", [None, mask(True, False)])
def test_without_a_binary_group_its_loss_is_zero(counted: Tensor | None) -> None:
    continuous = zeros(7).requires_grad_()
    continuous_loss, binary_loss = action_loss(continuous, zeros(0), zeros(7) + 1.0, zeros(0), counted, "l2")
    assert binary_loss.item() == 0.0
    (continuous_loss + binary_loss).backward()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64, torch.bfloat16])
def test_binary_labels_of_any_dtype(dtype: torch.dtype) -> None:
    labels = torch.tensor([[[[1], [0]]]]).to(dtype)
    _, loss = action_loss(zeros(2), torch.tensor([[[[3.0], [-3.0]]]]), zeros(2), labels, None, "huber")
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.04858735)


@pytest.mark.parametrize("value", [-1.0, 1.5, float("nan")])
def test_a_binary_label_outside_zero_to_one_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"binary label {value}"):
        action_loss(zeros(2), zeros(1), zeros(2), zeros(1) + value, None, "huber")


@pytest.mark.parametrize("entries", [(False, False), (0, 0)])
def test_a_mask_that_counts_nothing_is_refused(entries: tuple[int, int]) -> None:
    """The peer's mean over no entries is NaN, and so are its weights from then on."""
    with pytest.raises(ValueError, match="no entry counts"):
        action_loss(zeros(2), zeros(1), zeros(2), zeros(1), mask(*entries), "huber")


def test_an_empty_batch_is_refused() -> None:
    empty = torch.zeros(0, 1, 2, 2)
    with pytest.raises(ValueError, match="no entry counts"):
        action_loss(empty, empty, empty, empty, None, "huber")


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.uint8])
def test_a_mask_of_zeros_and_ones_is_a_mask(dtype: torch.dtype) -> None:
    label = zeros(2)
    label[:, :, 1] = 1.0
    loss, _ = action_loss(zeros(2), zeros(1), label, zeros(1), mask(1, 0).to(dtype), "l1")
    assert loss.item() == 0.0


def test_other_mask_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mask value 0\.5"):
        action_loss(zeros(2), zeros(1), zeros(2), zeros(1), mask(1.0, 0.5), "huber")


def test_shapes_that_differ_are_named() -> None:
    with pytest.raises(ValueError, match=r"continuous label has shape \(1, 1, 2, 3\), expected \(1, 1, 2, 2\)"):
        action_loss(zeros(2), zeros(1), zeros(3), zeros(1), None, "huber")
    with pytest.raises(ValueError, match=r"binary label has shape \(1, 1, 2\), expected \(1, 1, 2, 1\)"):
        action_loss(zeros(2), zeros(1), zeros(2), zeros(1)[..., 0], None, "huber")
    with pytest.raises(ValueError, match=r"mask has shape \(1, 1, 3\), expected \(1, 1, 2\)"):
        action_loss(zeros(2), zeros(1), zeros(2), zeros(1), mask(1, 1, 1), "huber")
    with pytest.raises(ValueError, match=r"binary logits have shape \(1, 1, 3, 1\), expected \(1, 1, 2, m\)"):
        action_loss(zeros(2), zeros(1, chunk=3), zeros(2), zeros(1, chunk=3), None, "huber")


def test_token_loss_is_the_mean_over_tokens() -> None:
    logits = torch.tensor([[0.0, 0.0], [100.0, 0.0]], requires_grad=True)
    loss = token_loss(logits, torch.tensor([1, 0]))
    assert loss.item() == pytest.approx(0.6931472 / 2)
    loss.backward()


def test_token_loss_refuses_no_token() -> None:
    with pytest.raises(ValueError, match="no token to predict"):
        token_loss(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("token", [-100, -1, 5])
def test_token_loss_refuses_ids_outside_the_vocabulary(token: int) -> None:
    """Among them -100, which torch leaves out without a word."""
    with pytest.raises(ValueError, match=rf"id {token}, expected one in \[0, 5\)"):
        token_loss(torch.zeros(2, 5), torch.tensor([1, token]))


def test_token_loss_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(3,\), expected \(2,\)"):
        token_loss(torch.zeros(2, 5), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"logits have shape \(1, 2, 5\), expected \(n, v\)"):
        token_loss(torch.zeros(1, 2, 5), torch.zeros(1, dtype=torch.int64))
