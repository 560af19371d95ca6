"""Training: `Trainer`, checkpoints, and the recipes of the command line."""

from .checkpoint import load_checkpoint, save_checkpoint
from .perceptron import Perceptron, fit_delta_rule, fit_perceptron
from .signals import Interrupted
from .trainer import Trainer

__all__ = [
    "Interrupted",
    "Perceptron",
    "Trainer",
    "fit_delta_rule",
    "fit_perceptron",
    "load_checkpoint",
    "save_checkpoint",
]
