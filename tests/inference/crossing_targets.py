"""Synthetic sequences: a scene seen by a camera that drifts, with small targets that cross each other."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from madnet.datasets.scenes import PATCH, patch_window, render_target, synth_background

#: Standard deviation of what changes from frame to frame, grey levels.
NOISE = (1.0, 3.0)
#: Pixels a frame: of the targets, and of the camera.
SPEED, DRIFT = (0.5, 3.0), 0.3
#: Peaks of targets, grey levels above what is behind them; their pixels.
PEAK, AREA = (35.0, 90.0), (4.0, 14.0)


@dataclass(frozen=True)
class SequenceFrame:
    """A frame of a sequence.

    Attributes:
        image: (H, W) uint8.
        mask: (H, W) uint8, 255 where a target's signal is at least half of its peak.
        positions: Number of a target → (x, y) in pixels, of those inside the frame.
    """

    image: np.ndarray
    mask: np.ndarray
    positions: dict[int, tuple[float, float]]


def synth_sequence(
    seed: int, index: int, length: int = 200, size: int = 256, targets: int = 4
) -> Iterator[SequenceFrame]:
    """The frames of a sequence; the same (seed, index, length, size, targets) give the same ones.

    Targets move in straight lines and come in pairs that meet in the middle half of the frame at the same
    time, somewhere in the middle half of the sequence.

    Args:
        seed, index: Non-negative.
        length: Frames.
        size: Height and width in pixels.
        targets: How many.
    """
    rng = np.random.default_rng([seed, index, 7])
    border = int(DRIFT * length) + 2
    _, blur, background = synth_background(rng, size + border, size + border, noise=0.3)
    direction, noise = rng.uniform(0, np.pi / 2), rng.uniform(*NOISE)
    paths = list(_paths(rng, length, size, targets))
    looks = [
        (np.exp(rng.uniform(*np.log(AREA))), rng.uniform(1, 1.4), rng.uniform(0, np.pi), rng.uniform(*PEAK))
        for _ in paths
    ]
    for n in range(length):
        drift = -DRIFT * n * np.array([[np.cos(direction)], [np.sin(direction)]])
        shift = np.hstack([np.eye(2), drift]).astype(np.float32)
        image: np.ndarray = cv2.warpAffine(background, shift, (size, size), flags=cv2.INTER_LINEAR)
        mask = np.zeros((size, size), np.uint8)
        positions = {}
        for number, ((x, y), (area, aspect, angle, peak)) in enumerate(
            zip((start + velocity * n for start, velocity in paths), looks, strict=True), 1
        ):
            if not (2 <= x < size - 3 and 2 <= y < size - 3):
                continue
            top, left = round(y) - PATCH // 2, round(x) - PATCH // 2
            # the centre of pixel (0, 0) is 0, its corner that of the patch
            signal = render_target('point', area, aspect, angle, np.array([y - top, x - left]) + 0.5, blur)
            window, inside = patch_window(top, left, size, size)
            image[window] += peak * signal[inside]
            mask[window][signal[inside] >= 0.5] = 255
            positions[number] = float(x), float(y)
        image = image + noise * rng.standard_normal(image.shape, dtype=np.float32)
        yield SequenceFrame(np.rint(np.clip(image, 0, 255)).astype(np.uint8), mask, positions)


def _paths(
    rng: np.random.Generator, length: int, size: int, targets: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where each target is at first, (x, y) in pixels, and how far it moves in a frame."""
    for number in range(targets):
        if number % 2 == 0:
            where, when = rng.uniform(0.25, 0.75, 2) * size, rng.uniform(0.25, 0.75) * length
            angle = rng.uniform(0, 2 * np.pi)
        else:
            angle += rng.uniform(0.2, 0.8) * np.pi
        velocity = rng.uniform(*SPEED) * np.array([np.cos(angle), np.sin(angle)])
        yield where - velocity * when, velocity
