"""The receptive field is what can be counted by hand, and asking for it changes nothing."""

import pytest
import torch
from oracles import tiny
from torch import nn

from pixelcnn_edu import PixelCNNpp, receptive_field
from pixelcnn_edu.causal import MaskedConv2d
from pixelcnn_edu.probes import blind_spot


def test_a_masked_3x3_convolution_sees_its_four_neighbours():
    field = receptive_field(MaskedConv2d(1, 4, 3, "A"), 4, 4, image_shape=(1, 8, 8))
    assert {tuple(place) for place in (field > 0).nonzero().tolist()} == {(3, 3), (3, 4), (3, 5), (4, 3)}


def test_the_blind_spot_of_a_deep_masked_stack_is_the_wedge():
    layers = [MaskedConv2d(1, 4, 3, "A")] + [MaskedConv2d(4, 4, 3, "B") for _ in range(20)]
    field = receptive_field(nn.Sequential(*layers), 6, 3, image_shape=(1, 10, 10))
    i, j = torch.meshgrid(torch.arange(10), torch.arange(10), indexing="ij")
    assert torch.equal(blind_spot(field, 6, 3), (i < 6) & (j - 3 > 6 - i))


def test_a_field_that_looks_ahead_has_no_blind_spot():
    field = receptive_field(nn.Conv2d(1, 1, 3, padding=1), 2, 2, image_shape=(1, 5, 5))
    with pytest.raises(ValueError, match="not causal"):
        blind_spot(field, 2, 2)


def test_the_vertical_stream_sees_only_rows_above():
    field = receptive_field(PixelCNNpp(tiny()), 4, 4, stream="vertical")
    assert (field[4:] == 0).all()
    assert (field[:4] > 0).any()


def test_asking_leaves_the_model_as_it_was():
    model = PixelCNNpp(tiny(classes=2)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    receptive_field(model, 3, 3)
    assert model.training
    assert all(tensor.dtype == torch.float32 and torch.equal(before[n], tensor) for n, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_questions_without_an_answer_are_refused():
    model = PixelCNNpp(tiny())
    with pytest.raises(ValueError, match=r"\(8, 0\) lies outside the 8 x 8"):
        receptive_field(model, 8, 0)
    with pytest.raises(ValueError, match="stream"):
        receptive_field(model, 0, 0, stream="sideways")
