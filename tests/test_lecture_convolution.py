"""The lectures' counted convolution example: 3x32x32 input, ten 5x5 filters, stride 1, padding 2."""

import numpy as np

import fastcnn as fc
from fastcnn import nn
from fastcnn.models.summary import summarize


def example():
    return nn.Conv2d(3, 10, 5, stride=1, padding=2)


def test_example_has_760_parameters():
    layer = example()
    per_filter = layer.weight[0].numel() + layer.bias[0].numel()
    assert per_filter == 76
    assert sum(p.numel() for p in layer.parameters()) == 760


def test_example_has_768000_multiply_adds():
    layer = example()
    output = layer(fc.zeros(1, 3, 32, 32))
    assert output.shape == (1, 10, 32, 32)
    assert output.numel() == 10_240
    assert summarize(nn.Sequential(layer), (3, 32, 32)).macs == 768_000 == 75 * 10_240


def test_each_output_is_a_75_term_dot_product_plus_bias():
    layer = example()
    image = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    output = layer(fc.tensor(image)).detach().numpy()
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    padded = np.pad(image, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for filter_, row, column in [(0, 0, 0), (9, 31, 31), (4, 15, 3)]:
        chunk = padded[0, :, row : row + 5, column : column + 5].astype(np.float64)
        assert chunk.size == 75
        expected = (chunk * weight[filter_]).sum() + bias[filter_]
        np.testing.assert_allclose(output[0, filter_, row, column], expected, rtol=1e-5, atol=1e-6)
