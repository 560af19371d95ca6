"""Learning-rate schedules: call `scheduler.step()` after `optimizer.step()`, usually once per epoch."""

from .base import LRScheduler
from .combined import ChainedScheduler, SequentialLR
from .cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from .cyclic import CyclicLR, OneCycleLR
from .decay import ExponentialLR, HyperbolicLR, LambdaLR, MultiplicativeLR, MultiStepLR, StepLR
from .momentum import LambdaMomentum, momentum_warmup
from .plateau import ReduceLROnPlateau
from .ramp import ConstantLR, LinearLR, PolynomialLR

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "HyperbolicLR",
    "LRScheduler",
    "LambdaLR",
    "LambdaMomentum",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "momentum_warmup",
]
