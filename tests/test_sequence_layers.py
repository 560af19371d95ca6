"""Recurrent layers, embeddings and attention against torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn

LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bias": False}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {}),
    ("GRU", {"num_layers": 2}),
    ("GRU", {"bidirectional": True}),
]


def same_weights(ours: nn.Module, theirs: Any, torch: Any) -> None:
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})


def check_gradients(ours: nn.Module, theirs: Any) -> None:
    for (name, mine), peer in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None
        np.testing.assert_allclose(mine.grad.numpy(), peer.grad.numpy(), rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("name", "options"), LAYERS)
def test_recurrent_layers_equal_torch(name: str, options: dict[str, Any], torch: Any, rng: Any) -> None:
    """A22: gradients flow through all time steps."""
    ours, theirs = getattr(nn, name)(4, 5, **options), getattr(torch.nn, name)(4, 5, **options)
    assert repr(ours) == repr(theirs)
    same_weights(ours, theirs, torch)
    shape = (3, 6, 4) if options.get("batch_first") else (6, 3, 4)
    x = rng.standard_normal(shape).astype(np.float32)
    slots = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    states = [rng.standard_normal((slots, 3, 5)).astype(np.float32) for _ in range(2 if name == "LSTM" else 1)]
    for given in (None, states):
        a, b = fc.tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_(True)
        start = None if given is None else tuple(fc.tensor(s) for s in given)
        peer_start = None if given is None else tuple(torch.from_numpy(s) for s in given)
        if given is not None and name != "LSTM":
            start, peer_start = start[0], peer_start[0]
        y, last = ours(a, start)
        z, peer_last = theirs(b, peer_start)
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-4, atol=1e-5)
        pairs = zip(last, peer_last, strict=True) if name == "LSTM" else ((last, peer_last),)
        for mine, peer in pairs:
            np.testing.assert_allclose(mine.detach().numpy(), peer.detach().numpy(), rtol=1e-4, atol=1e-5)
    g = rng.standard_normal(z.shape).astype(np.float32)
    y.backward(fc.tensor(g))
    z.backward(torch.from_numpy(g))
    assert a.grad is not None
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-3, atol=1e-5)
    check_gradients(ours, theirs)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells_equal_torch(name: str, torch: Any, rng: Any) -> None:
    ours, theirs = getattr(nn, name)(4, 5), getattr(torch.nn, name)(4, 5)
    same_weights(ours, theirs, torch)
    x, h, c = (rng.standard_normal((3, n)).astype(np.float32) for n in (4, 5, 5))
    state: Any = (fc.tensor(h), fc.tensor(c)) if name == "LSTMCell" else fc.tensor(h)
    peer: Any = (torch.from_numpy(h), torch.from_numpy(c)) if name == "LSTMCell" else torch.from_numpy(h)
    for given, other in ((state, peer), (None, None)):
        y, z = ours(fc.tensor(x), given), theirs(torch.from_numpy(x), other)
        for mine, expected in zip(y, z, strict=True) if name == "LSTMCell" else ((y, z),):
            np.testing.assert_allclose(mine.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-6)
    single = ours(fc.tensor(x[0]))
    assert (single[0] if name == "LSTMCell" else single).shape == (5,)


def test_recurrent_gradients_equal_central_differences() -> None:
    """A22."""
    fc.manual_seed(0)
    cell = nn.LSTM(2, 3, dtype=fc.float64)
    x = fc.randn(4, 2, 2, dtype=fc.float64, requires_grad=True)
    assert fc.gradcheck(lambda t: cell(t)[0], (x,))


def test_sequence_without_batch_and_misuse() -> None:
    layer = nn.GRU(4, 5)
    output, h = layer(fc.zeros(6, 4))
    assert output.shape == (6, 5)
    assert h.shape == (1, 5)
    for call, words in (
        (lambda: layer(fc.zeros(6, 3, 3)), "GRU: input"),
        (lambda: layer(fc.zeros(6, 3, 4), fc.zeros(2, 3, 5)), r"\(1, 3, 5\)"),
        (lambda: layer(fc.zeros(0, 3, 4)), "time step"),
        (lambda: nn.RNN(4, 5, nonlinearity="sin"), "'sin'"),
        (lambda: nn.RNNCell(4, 5, nonlinearity="sin"), "'sin'"),
        (lambda: nn.LSTM(4, 0), "hidden_size 0"),
        (lambda: nn.GRUCell(4, 5)(fc.zeros(2, 3)), r"\(N, 4\)"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_dropout_between_layers_in_training_only() -> None:
    fc.manual_seed(0)
    layer, x = nn.LSTM(4, 5, num_layers=2, dropout=0.5), fc.randn(6, 3, 4)
    assert (layer(x)[0].detach().numpy() != layer(x)[0].detach().numpy()).any()
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].detach().numpy(), layer(x)[0].detach().numpy())


def test_embedding_starts_normal_and_leaves_the_padding_row_alone(torch: Any) -> None:
    fc.manual_seed(0)
    layer = nn.Embedding(500, 20, padding_idx=-1)
    table = layer.weight.detach().numpy()
    assert abs(table[:-1].std() - 1) < 0.05
    assert not table[-1].any()
    assert repr(layer) == repr(torch.nn.Embedding(500, 20, padding_idx=-1))
    layer(fc.tensor([[1, 499], [1, 3]])).sum().backward()
    assert layer.weight.grad is not None
    rows = layer.weight.grad.numpy().sum(1) / 20
    assert (rows[1], rows[3], rows[499], rows[0]) == (2.0, 1.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="padding_idx is 3"):
        nn.Embedding(3, 2, padding_idx=3)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("mask", ["none", "bool", "float", "padding", "both"])
def test_multihead_attention_equals_torch(batch_first: bool, mask: str, torch: Any, rng: Any) -> None:
    ours = nn.MultiheadAttention(8, 2, batch_first=batch_first)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=batch_first)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    nn.init.normal_(ours.in_proj_bias)
    same_weights(ours, theirs, torch)
    order = (0, 1, 2) if batch_first else (1, 0, 2)
    q = np.ascontiguousarray(rng.standard_normal((3, 4, 8)).transpose(order)).astype(np.float32)
    k = np.ascontiguousarray(rng.standard_normal((3, 5, 8)).transpose(order)).astype(np.float32)
    v = np.ascontiguousarray(rng.standard_normal((3, 5, 8)).transpose(order)).astype(np.float32)
    options: dict[str, np.ndarray] = {}
    if mask in ("bool", "both"):
        options["attn_mask"] = np.triu(np.ones((4, 5), bool), 2)
    if mask == "float":
        options["attn_mask"] = rng.standard_normal((6, 4, 5)).astype(np.float32)
    if mask in ("padding", "both"):
        options["key_padding_mask"] = np.arange(5)[None] >= np.array([[3], [5], [2]])
    a, b = fc.tensor(q, requires_grad=True), torch.from_numpy(q).requires_grad_(True)
    y, w = ours(a, fc.tensor(k), fc.tensor(v), **{n: fc.tensor(m) for n, m in options.items()})
    z, u = theirs(b, torch.from_numpy(k), torch.from_numpy(v), **{n: torch.from_numpy(m) for n, m in options.items()})
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(w.detach().numpy(), u.detach().numpy(), rtol=1e-4, atol=1e-6)
    g = rng.standard_normal(z.shape).astype(np.float32)
    y.backward(fc.tensor(g))
    z.backward(torch.from_numpy(g))
    assert a.grad is not None
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-3, atol=1e-5)
    check_gradients(ours, theirs)


def test_attention_variants() -> None:
    """U1: causal, without weights, weights of every head, one sequence."""
    fc.manual_seed(0)
    layer, x = nn.MultiheadAttention(8, 2, bias=False, batch_first=True), fc.randn(2, 5, 8)
    causal = layer(x, x, x, is_causal=True)[1].detach().numpy()
    assert not np.triu(causal, 1).any()
    output, none = layer(x, x, x, need_weights=False)
    assert none is None
    assert layer(x, x, x, average_attn_weights=False)[1].shape == (2, 2, 5, 5)
    single, weights = layer(x[0], x[0], x[0])
    np.testing.assert_allclose(single.detach().numpy(), output.detach().numpy()[0], atol=1e-5)
    assert weights.shape == (5, 5)
    for call, words in (
        (lambda: nn.MultiheadAttention(8, 3), "num_heads is 3"),
        (lambda: layer(fc.zeros(2, 5, 7), x, x), "the last of 8"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_attention_dropout_averages_out() -> None:
    fc.manual_seed(0)
    q = fc.randn(4, 8)
    expected = F.scaled_dot_product_attention(q, q, q).numpy()
    average = np.mean([F.scaled_dot_product_attention(q, q, q, dropout_p=0.3).numpy() for _ in range(600)], axis=0)
    np.testing.assert_allclose(average, expected, atol=0.15)
