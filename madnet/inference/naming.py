"""What a detector may be called, known before PyTorch is imported."""

import os
from pathlib import Path

from madnet.classical.detectors import DETECTORS
from madnet.config_files import config_names
from madnet.errors import UserError, nearest
from madnet.records import list_pretrained, list_registered


def detector_names() -> list[str]:
    """Of all known weights, training-free detectors and configs."""
    return [*list_registered(), *DETECTORS, *config_names()]


def check_name(model: str, checkpoint: str | os.PathLike | None) -> None:
    """Raise a UserError where nothing can go by this name."""
    if (
        model not in detector_names()
        and checkpoint is None
        and not Path(model).suffix
        and not Path(model).exists()
    ):
        raise UserError(f'{model}: no detector of this name. {known_detectors(model)}')


def known_detectors(name: str) -> str:
    """What there is, for a message; the nearest names among them."""
    shipped = list_pretrained()
    return (
        f'Shipped: {", ".join(shipped) or "none with this version"}. '
        f'Without training: tophat, pstnn and {len(DETECTORS) - 2} more (madnet predict --list). '
        'Or give a config file and its checkpoint.' + nearest(name, [*list_registered(), *DETECTORS])
    )
