"""Group Q of the lectures: what they say about classification networks, beyond the counts that tests/models proves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import models, nn, optim
from fastcnn.models.nin import mlpconv

ROOT = Path(__file__).parents[1]


def described(name: str, **options: Any) -> models.ModelSummary:
    with nn.init.skip():
        return models.summarize(models.create_model(name, **options), models.model_entry(name).input_shape)


def test_volume_is_not_preserved() -> None:
    """Q6: the numbers of values after every stage of LeNet-5, which the lecture calls equal."""
    layers = {layer.path: int(np.prod(layer.output_shape)) for layer in described("lenet5").layers}
    assert [layers[path] for path in ("conv1", "pool1", "conv2", "pool2")] == [15_680, 3_920, 9_800, 2_450]


def test_rbf_output_layer() -> None:
    """Q5: y_i = sum over j of (x_j - w_ij)^2, with gradients by x and by w."""
    fc.manual_seed(0)
    layer = nn.RBF(4, 3).double()
    x, w = fc.randn(5, 4, dtype=fc.float64), layer.weight.detach()
    expected = ((x.numpy()[:, None] - w.numpy()) ** 2).sum(2)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12)
    cotangent = fc.randn(5, 3, dtype=fc.float64)
    leaf = x.requires_grad_(True)
    (layer(leaf) * cotangent).sum().backward()
    difference = x.detach().numpy()[:, None] - w.numpy()
    np.testing.assert_allclose(leaf.grad.numpy(), (2 * cotangent.numpy()[:, :, None] * difference).sum(1), rtol=1e-9)
    if layer.weight.requires_grad:
        by_weight = (-2 * cotangent.numpy()[:, :, None] * difference).sum(0)
        np.testing.assert_allclose(layer.weight.grad.numpy(), by_weight, rtol=1e-9)
    worst = fc.grad_check_sparse(lambda v: (layer(v) * cotangent).sum(), x.detach(), leaf.grad, 20, 1e-5)
    assert worst.max() < 1e-7


def test_alexnet_has_its_three_features() -> None:
    """Q7, Q8: 5 + 3 layers with ReLU and dropout; trained on augmented images, here its crops and mirror images."""
    from fastcnn.data import ten_crop

    summary = described("alexnet_2012")
    kinds = [layer.kind for layer in summary.layers]
    assert (kinds.count("Conv2d"), kinds.count("Linear"), summary.depth) == (5, 3, 8)
    assert kinds.count("ReLU") == 7
    assert kinds.count("Dropout") == 2
    images = fc.rand(2, 3, 40, 40)
    views = ten_crop(images, 35)  # 256 and 227 in the paper
    assert len({view.numpy().tobytes() for view in views}) == 10
    assert all(view.shape == (2, 3, 35, 35) for view in views)


def test_published_errors_are_recorded() -> None:
    """Q9, Q10, Q12: in docs/models.md."""
    document = ROOT / "docs" / "models.md"
    if not document.is_file():
        pytest.skip("the documentation is not beside the tests")
    text = document.read_text()
    for number in ("16.4 %", "18.2 %", "18.1 %", "26.2 %"):
        assert number in text


def test_two_small_filters_see_as_far_as_a_large_one_with_fewer_weights() -> None:
    """Q11: 3 x 3 twice is 5 x 5 once, 18 C^2 against 25 C^2."""
    c = 7
    twice = [nn.Conv2d(c, c, 3, bias=False), nn.ReLU(), nn.Conv2d(c, c, 3, bias=False)]
    once = nn.Conv2d(c, c, 5, bias=False)
    assert models.receptive_field(twice).size == models.receptive_field(once).size == (5, 5)
    assert sum(p.numel() for layer in twice for p in layer.parameters()) == 18 * c * c
    assert once.weight.numel() == 25 * c * c
    kernels = {layer.weight.shape[2:] for layer in models.vgg19(hidden=1).modules() if isinstance(layer, nn.Conv2d)}
    assert kernels == {(3, 3)}
    assert described("vgg19").depth == 19


@pytest.mark.parametrize(
    ("name", "blocks", "widths"),
    [
        ("resnet18", (2, 2, 2, 2), (64, 128, 256, 512)),
        ("resnet34", (3, 4, 6, 3), (64, 128, 256, 512)),
        ("resnet50", (3, 4, 6, 3), (256, 512, 1024, 2048)),
        ("resnet101", (3, 4, 23, 3), (256, 512, 1024, 2048)),
        ("resnet152", (3, 8, 36, 3), (256, 512, 1024, 2048)),
    ],
)
def test_stages_of_resnet(name: str, blocks: tuple[int, ...], widths: tuple[int, ...]) -> None:
    """Q12: 3 x 224^2 -> 64 x 112^2 -> stages of 56, 28, 14 and 7 pixels -> 1000 classes."""
    with nn.init.skip():
        model = models.create_model(name).eval()
    empty = fc.zeros(0, 3, 224, 224)
    assert model.conv1(empty).shape == (0, 64, 112, 112)
    shapes = [stage.shape[1:] for stage in model.features(empty)]
    assert shapes == [(width, size, size) for width, size in zip(widths, (56, 28, 14, 7), strict=True)]
    assert tuple(len(getattr(model, f"layer{i}")) for i in (1, 2, 3, 4)) == blocks
    assert model(empty).shape == (0, 1000)


def test_status_quo_depths() -> None:
    """Q22: AlexNet 8, VGG 19, ResNet 152 layers."""
    assert [described(name).depth for name in ("alexnet", "vgg19", "resnet152")] == [8, 19, 152]


def test_thousand_layers_build() -> None:
    """Q15: 1202 layers with 19,421,274 parameters."""
    summary = described("resnet1202")
    assert (summary.depth, summary.parameters) == (1202, 19_421_274)


def test_dense_blocks_and_inception_modules_concatenate() -> None:
    """Q16, Q17: all earlier maps side by side; parallel filters side by side."""
    from fastcnn.models.densenet import DenseBlock

    block = DenseBlock(3, 8, 4).eval()
    x = fc.randn(2, 8, 5, 5)
    y = block(x).detach().numpy()
    assert y.shape == (2, 8 + 3 * 4, 5, 5)
    np.testing.assert_array_equal(y[:, :8], x.numpy())
    np.testing.assert_array_equal(y[:, 8:12], next(block.children())(x).detach().numpy())
    with nn.init.skip():
        inception = models.googlenet().eval().inception3a
    branches = [branch(fc.zeros(0, 192, 28, 28)).shape[1] for branch in inception.children()]
    assert branches == [64, 128, 32, 32]
    assert inception(fc.zeros(0, 192, 28, 28)).shape == (0, 256, 28, 28)


def test_mlpconv_is_a_perceptron_that_slides_over_the_pixels() -> None:
    """Q21: the 1 x 1 convolutions are linear layers on the channels of every pixel."""
    fc.manual_seed(0)
    block, x = mlpconv(3, (5, 4, 6), 3, padding=1), fc.randn(2, 3, 7, 6)
    first = F.relu(block[0](x)).permute(0, 2, 3, 1).reshape(84, 5)
    second = F.relu(F.linear(first, block[2].weight.reshape(4, 5), block[2].bias))
    third = F.relu(F.linear(second, block[4].weight.reshape(6, 4), block[4].bias))
    expected = third.reshape(2, 7, 6, 6).permute(0, 3, 1, 2)
    np.testing.assert_allclose(block(x).detach().numpy(), expected.detach().numpy(), atol=1e-5)


def test_compound_scaling_chooses_the_published_networks() -> None:
    """Q19: depth 1.2^phi, width 1.1^phi, resolution 1.15^phi, about twice the cost per step; B1 to B7 round them."""
    for phi in (1, 2, 3):
        scaling = models.compound_scaling(phi)
        assert scaling.flops == pytest.approx(1.2**phi * 1.1 ** (2 * phi) * 1.15 ** (2 * phi))
        assert 1.8**phi < scaling.flops < 2.1**phi
        resolution = models.model_entry(f"efficientnet_b{phi}").input_shape[1]
        assert abs(224 * scaling.resolution / resolution - 1) < 0.15
    macs = [described(f"efficientnet_b{i}").macs for i in range(8)]
    assert macs == sorted(macs)


@pytest.mark.slow
def test_mlp_reads_digits() -> None:
    """Q23: at least 97 % of MNIST's test digits after three epochs, where the files are."""
    folder = Path(os.environ.get("FASTCNN_DATA") or ROOT.parent / "shared" / "data", "mnist")
    if not folder.is_dir():
        pytest.skip("the MNIST files are not here (set FASTCNN_DATA to the folder above mnist/)")
    from fastcnn.data import load_mnist
    from fastcnn.train import Trainer

    fc.manual_seed(0)
    train, test = load_mnist(folder)
    model = models.create_model("mlp")
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 3 * 938)
    trainer = Trainer(model, optimizer, scheduler=schedule, schedule_every="step")
    trainer.fit(train, epochs=3, batch_size=64, progress=False)
    assert trainer.evaluate(test)["accuracy"] >= 0.97


@pytest.mark.parametrize(
    "name", ["alexnet", "densenet40", "efficientnet_b0", "googlenet", "lenet5", "lenet5_1998", "mlp", "nin_cifar",
             "mobilenet_v3_small", "perceptron", "resnet18", "resnet20", "squeezenet1_1", "vgg11_bn"],
)  # fmt: skip
def test_every_family_loads_its_weights_from_a_file(name: str, tmp_path: Path) -> None:
    """create_model(name, num_classes=, in_channels=, weights=): the file of one model makes the same model again."""
    entry = models.model_entry(name)
    options: dict[str, Any] = {"num_classes": 5}
    options |= {"in_channels": 2} if entry.accepts("in_channels") and name != "lenet5_1998" else {}
    options |= {"hidden": 16} if name in ("alexnet", "vgg11_bn") else {}
    fc.manual_seed(1)
    model = models.create_model(name, **options)
    fc.save(model, tmp_path / "weights.safetensors")
    again = models.create_model(name, weights=tmp_path / "weights.safetensors", **options)
    expected = model.state_dict()
    assert list(again.state_dict()) == list(expected)
    for key, value in again.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), expected[key].numpy())
