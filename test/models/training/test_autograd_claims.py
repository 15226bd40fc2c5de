"""Claims about lost gradients that go round (docs/gradients.md): one test each, named by what PyTorch does."""

import pytest
import torch
from torch import Tensor, nn

NO_GRADIENT = "element 0 of tensors does not require grad and does not have a grad_fn"


def frozen(module: nn.Module) -> nn.Module:
    return module.requires_grad_(False)


@pytest.fixture
def projector() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 4)


@pytest.fixture
def pictures() -> Tensor:
    return torch.randn(2, 4)


def reaches(loss: Tensor, module: nn.Module) -> bool:
    loss.backward()
    return all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def test_claim_holds_not__cat_with_a_constant_cuts_the_gradient_of_the_others(
    projector: nn.Linear, pictures: Tensor
) -> None:
    padding = torch.zeros(3, 4, requires_grad=False)
    joined = torch.cat([padding, projector(pictures)])
    assert joined.requires_grad
    assert joined.grad_fn is not None
    assert reaches(joined.square().sum(), projector)


def test_claim_holds_not__leaving_requires_grad_out_makes_padding_another_thing(
    projector: nn.Linear, pictures: Tensor
) -> None:
    said, unsaid = torch.zeros(3, 4, requires_grad=False), torch.zeros(3, 4)
    assert said.requires_grad == unsaid.requires_grad == False  # noqa: E712
    gradients = []
    for padding in (said, unsaid):
        projector.zero_grad()
        torch.cat([padding, projector(pictures)]).square().sum().backward()
        gradients.append(projector.weight.grad)
    assert torch.equal(*gradients)  # type: ignore[misc]


def test_claim_holds_not__an_output_requires_a_gradient_only_if_all_inputs_do(pictures: Tensor) -> None:
    weight = torch.ones(4, requires_grad=True)
    assert (pictures * weight).requires_grad
    assert torch.cat([pictures[0], weight]).requires_grad
    assert not (pictures + pictures).requires_grad


def test_claim_holds_not__no_grad_around_a_frozen_encoder_stops_a_projector_after_it(
    projector: nn.Linear, pictures: Tensor
) -> None:
    encoder = frozen(nn.Linear(4, 4))
    with torch.no_grad():
        features = encoder(pictures)
    assert reaches(projector(features).square().sum(), projector)


def test_claim_holds__no_grad_cuts_off_what_lies_before_it_or_in_it(projector: nn.Linear, pictures: Tensor) -> None:
    decoder = nn.Linear(4, 4)
    with torch.no_grad():
        features = projector(pictures)
    decoder(features).square().sum().backward()
    assert projector.weight.grad is None
    assert decoder.weight.grad is not None


def test_claim_holds__freezing_by_requires_grad_lets_gradients_through(projector: nn.Linear, pictures: Tensor) -> None:
    decoder = frozen(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)))
    assert reaches(decoder(projector(pictures)).square().sum(), projector)
    assert all(parameter.grad is None for parameter in decoder.parameters())


def test_claim_holds_not__eval_on_a_frozen_model_cuts_gradients(projector: nn.Linear, pictures: Tensor) -> None:
    decoder = frozen(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.LayerNorm(4), nn.Linear(4, 4))).eval()
    assert reaches(decoder(projector(pictures))[:, 0].square().sum(), projector)


def test_claim_holds_not__train_mode_is_needed_for_gradients(projector: nn.Linear, pictures: Tensor) -> None:
    assert reaches(projector.eval()(pictures).square().sum(), projector)


def test_claim_holds_not__a_frozen_embedding_has_a_grad_fn() -> None:
    words = frozen(nn.Embedding(8, 4))(torch.tensor([1, 2]))
    assert words.grad_fn is None
    assert not words.requires_grad
    assert words.is_leaf


def test_claim_holds_not__a_frozen_encoder_of_constant_inputs_has_a_grad_fn(pictures: Tensor) -> None:
    features = frozen(nn.Sequential(nn.Linear(4, 4), nn.GELU()))(pictures)
    assert features.grad_fn is None


def test_claim_holds__element_0_arises_when_nothing_before_the_loss_trains(pictures: Tensor) -> None:
    loss = frozen(nn.Linear(4, 4))(pictures).square().sum()
    with pytest.raises(RuntimeError, match=NO_GRADIENT):
        loss.backward()


def test_what_the_error_says_arises_only_if_the_whole_path_is_cut(projector: nn.Linear, pictures: Tensor) -> None:
    """So constant padding cannot be its cause: something else came between projector and loss."""
    padding = torch.zeros(3, 4, requires_grad=False)
    with torch.no_grad():
        cut = projector(pictures)
    with pytest.raises(RuntimeError, match=NO_GRADIENT):
        torch.cat([padding, cut]).square().sum().backward()
    torch.cat([padding, projector(pictures)]).square().sum().backward()


def test_claim_holds_not__constants_in_the_middle_take_part_in_the_backward_pass(
    projector: nn.Linear, pictures: Tensor
) -> None:
    padding = torch.zeros(3, 4)
    torch.cat([padding, projector(pictures)]).square().sum().backward()
    assert padding.grad is None


def test_claim_holds__what_an_operation_gives_inherits_from_its_inputs(projector: nn.Linear, pictures: Tensor) -> None:
    states = projector(pictures)
    assert states.requires_grad
    assert not states.is_leaf
    with pytest.raises(RuntimeError, match="only change requires_grad flags of leaf"):
        states.requires_grad = False


def test_requires_grad_set_on_a_result_is_how_a_leaf_is_made_that_no_in_place_write_may_touch() -> None:
    """What transformers' enable_input_require_grads does to the output of a frozen embedding."""
    words = frozen(nn.Embedding(8, 4))(torch.tensor([1, 2])).requires_grad_(True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        words[0] = torch.ones(4)
    words.clone()[0] = torch.ones(4)
