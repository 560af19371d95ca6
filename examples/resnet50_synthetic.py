"""ResNet-50 on images of noise: how many images a second this machine trains or classifies.

python examples/resnet50_synthetic.py                          # training, batch 8, on the CPU
python examples/resnet50_synthetic.py --inference --batch 1
python examples/resnet50_synthetic.py --device cuda --batch 256 --precision bf16
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import fastcnn as fc
from fastcnn import _C, models, optim
from fastcnn import functional as F


def training_step(model: fc.nn.Module, images: fc.Tensor, labels: fc.Tensor) -> Callable[[], fc.Tensor]:
    """A captured step of SGD; returns the loss."""
    optimizer = optim.SGD(model.train().parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step(x: fc.Tensor, y: fc.Tensor) -> fc.Tensor:
        loss = F.cross_entropy(model(x).float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    captured = fc.capture(step)
    return lambda: captured(images, labels)


def inference(model: fc.nn.Module, images: fc.Tensor) -> Callable[[], fc.Tensor]:
    """Captured logits of the model with batch norms folded into its convolutions."""
    captured = fc.capture(fc.no_grad()(model.eval().fuse().forward))
    return lambda: captured(images)


def main(arguments: Sequence[str] | None = None) -> list[float]:
    """The command line; returns the seconds of every step."""
    parser = argparse.ArgumentParser(description="Images per second of ResNet-50 on random images.")
    parser.add_argument("--model", default="resnet50", help="any of fastcnn.models for images (default resnet50)")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="height and width (default 224)")
    parser.add_argument("--steps", type=int, default=10, help="to measure, after two to record them")
    parser.add_argument("--inference", action="store_true", help="instead of training")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    options = parser.parse_args(arguments)
    kind = fc.bfloat16 if options.precision == "bf16" else fc.float32
    model = models.create_model(options.model).to(options.device).to(kind)
    images = fc.randn(options.batch, 3, options.size, options.size, device=options.device).to(kind)
    labels = fc.randint(0, 1000, (options.batch,), device=options.device)
    step = inference(model, images) if options.inference else training_step(model, images, labels)
    step()
    step()
    seconds = []
    for _ in range(options.steps):
        start = time.perf_counter()
        result = step()
        result.sum().item()  # waits for a GPU
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    if not options.inference:
        print(f"loss {result.item():.4f}")
    kept = fc.cuda.max_memory_allocated() if images.is_cuda else _C.memory_stats()["max_allocated"]
    print(f"{median * 1e3:.1f} ms per step, {options.batch / median:.1f} images/s, memory at most {kept / 1e6:.0f} MB")
    return seconds


if __name__ == "__main__":
    main()
