"""Configs of detectors that have no weights."""

from mmengine.config import Config
from mmseg.registry import MODELS


def is_training_free(cfg: Config) -> bool:
    """Whether a config's model has no weights to load and nothing to train: its class says so itself, by an
    attribute ``training_free``."""
    kind = (cfg.get('model') or {}).get('type')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return getattr(kind, 'training_free', False)
