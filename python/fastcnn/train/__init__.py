"""Training: `Trainer`, checkpoints, and the recipes of the command line."""

from .checkpoint import load_checkpoint, save_checkpoint
from .diagnosis import dead_units, diagnose_fit
from .perceptron import Perceptron, fit_delta_rule, fit_perceptron
from .signals import Interrupted
from .trainer import Trainer
from .views import average_over_views

__all__ = [
    "Interrupted",
    "Perceptron",
    "Trainer",
    "average_over_views",
    "dead_units",
    "diagnose_fit",
    "fit_delta_rule",
    "fit_perceptron",
    "load_checkpoint",
    "save_checkpoint",
]
