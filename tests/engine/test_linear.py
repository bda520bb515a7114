"""Packed weights give the plain layer's products, and follow the weights when these change."""

import pytest
import torch

from practicum.engine.local.policy import PackedLinear, pack_linear_layers

needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="the processor has no bfloat16 arithmetic"
)


def layers(dtype: torch.dtype = torch.bfloat16, bias: bool = True) -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(96, 160, bias=bias), torch.nn.Linear(160, 32, bias=bias)).to(dtype)


@needs_bfloat16
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 64, 300])
def test_a_packed_layer_computes_what_the_plain_one_does(rows: int, bias: bool) -> None:
    plain, packed = layers(bias=bias), layers(bias=bias)
    assert pack_linear_layers(packed) == 2
    x = torch.randn(1, rows, 96, dtype=torch.bfloat16)
    with torch.no_grad():
        torch.testing.assert_close(packed(x), plain(x), rtol=0.02, atol=0.02)


@needs_bfloat16
def test_it_follows_weights_changed_in_place_and_weights_put_in_their_place() -> None:
    model = layers()
    pack_linear_layers(model)
    first = model[0]
    x = torch.randn(5, 96, dtype=torch.bfloat16)
    with torch.no_grad():
        before = first(x)
        first.weight.mul_(2)
        torch.testing.assert_close(first(x) - first.bias, 2 * (before - first.bias), rtol=0.05, atol=0.05)
        first.weight.data = torch.zeros_like(first.weight)
        torch.testing.assert_close(first(x), first.bias.expand(5, -1))


@needs_bfloat16
def test_the_same_product_is_the_same_bit_for_bit() -> None:
    model, again = layers(), layers()
    pack_linear_layers(model)
    pack_linear_layers(again)
    x = torch.randn(33, 96, dtype=torch.bfloat16)
    with torch.no_grad():
        assert torch.equal(model(x), again(x))


@needs_bfloat16
def test_gradients_flow_through_the_plain_weights() -> None:
    model, plain = layers(), layers()
    pack_linear_layers(model)
    x = torch.randn(9, 96, dtype=torch.bfloat16)
    model(x).square().sum().backward()
    plain(x).square().sum().backward()
    assert isinstance(model[0], PackedLinear)
    assert torch.equal(model[0].weight.grad, plain[0].weight.grad)


def test_other_number_formats_stay_as_they_are() -> None:
    model = layers(torch.float32)
    assert pack_linear_layers(model) == 0
    assert type(model[0]) is torch.nn.Linear
