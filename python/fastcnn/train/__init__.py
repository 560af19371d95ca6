"""Training: `Trainer`, checkpoints, and the recipes of the command line."""

from .checkpoint import load_checkpoint, save_checkpoint
from .signals import Interrupted
from .trainer import Trainer

__all__ = ["Interrupted", "Trainer", "load_checkpoint", "save_checkpoint"]
