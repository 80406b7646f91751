"""Infrared-like scenes with small targets, made from random numbers alone.

A scene is a background (cloud, sea, ground or sky) whose clutter has the power spectrum 1/f^β of natural
infrared scenes, seen through a sensor (point spread, vignetting, fixed pattern, white noise), with up to four
targets added behind the optics. The truth is exact by construction: a pixel belongs to a target where the
target's own signal, free of noise, is at least half of its peak (the full width at half maximum, in two
dimensions).
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

#: Raise when the same (seed, index) gives another scene than before: results name it.
VERSION = 2

#: Signal-to-clutter ratio of the targets: mean signal over the mask, over the standard deviation of the image
#: without the target in the square of ``CLUTTER_RADIUS`` pixels around it. At 5 a person has to look twice,
#: at 30 it glares.
SCR_RANGE = (5.0, 30.0)
CLUTTER_RADIUS = 12

#: Pixels of a target's mask.
AREA_RANGE = (2, 80)

#: Share of scenes with 0, 1, 2, 3 and 4 targets.
TARGETS_PER_SCENE = (0.06, 0.50, 0.24, 0.12, 0.08)

_PATCH = 33  # side of the window that holds a target; an 80-pixel bar of aspect 4 is 18 long
_GAP = 6  # least distance, in pixels, between two targets' masks
_FAINTEST, _HEADROOM = 10.0, 250.0  # grey levels: below, rounding to 8 bit shows; above, the sensor saturates


@dataclass(frozen=True)
class Target:
    """One target of a scene.

    Attributes:
        x, y: Centroid of its mask, in pixels.
        area: Pixels of its mask.
        scr: Signal-to-clutter ratio, as defined at :data:`SCR_RANGE`.
        peak: Highest signal, in grey levels above the background.
        shape: ``'point'``, ``'ellipse'``, ``'bar'`` or ``'cross'``.
    """

    x: float
    y: float
    area: int
    scr: float
    peak: float
    shape: str


@dataclass(frozen=True)
class Scene:
    """A synthetic infrared image with its truth.

    Attributes:
        image: (H, W) uint8 grey levels.
        mask: (H, W) uint8, 255 on targets, else 0.
        kind: ``'cloud'``, ``'sea'``, ``'ground'`` or ``'sky'``.
        targets: Those in it.
    """

    image: np.ndarray
    mask: np.ndarray
    kind: str
    targets: tuple[Target, ...]


def synth_scene(seed: int, index: int, size: int | tuple[int, int] = 256) -> Scene:
    """Make a scene; the same (seed, index, size) give the same one.

    Args:
        seed: Non-negative.
        index: Non-negative.
        size: Height and width in pixels, or one number for both; at least 48.

    Raises:
        ValueError: The size is too small to hold a target and its surroundings.
    """
    h, w = (size, size) if isinstance(size, int) else size
    if min(h, w) < 48:
        raise ValueError(f'size={size}: a scene needs at least 48 × 48 pixels.')
    rng = np.random.default_rng([seed, index])
    kind = str(rng.choice(tuple(_BACKGROUNDS), p=_SHARES))
    blur = rng.uniform(0.5, 0.9)
    radiance = _BACKGROUNDS[kind](rng, h, w)
    image = _sense(rng, radiance, blur)
    return _add_targets(rng, image, kind, blur)


# Backgrounds: radiance maps (H, W), float32, in grey levels; the sensor model follows.


def _clutter(rng: np.random.Generator, h: int, w: int, beta: float, stretch: float = 1.0) -> np.ndarray:
    """Clutter of spectrum 1/f^beta, of zero mean and unit deviation; ``stretch`` > 1 draws it out along x."""
    fy = np.fft.fftfreq(h).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(w).astype(np.float32)[None] * np.float32(stretch)
    f2 = fy * fy + fx * fx
    f2[0, 0] = np.inf
    white = rng.standard_normal((2, *f2.shape), dtype=np.float32)
    spectrum = (white[0] + 1j * white[1]) * f2 ** np.float32(-beta / 4)
    field = np.fft.irfft2(spectrum, s=(h, w)).astype(np.float32)
    return (field - field.mean()) / field.std()


def _ramp(rng: np.random.Generator, h: int, w: int, strength: float) -> np.ndarray:
    """A smooth gradient from top to bottom, slightly tilted: the sky is warmer near the horizon."""
    y = np.linspace(-0.5, 0.5, h, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, w, dtype=np.float32)[None]
    return strength * (y + rng.uniform(-0.3, 0.3) * x)


def _smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _sky(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    haze = _clutter(rng, h, w, rng.uniform(3.0, 4.0), stretch=rng.uniform(1, 2.5))
    return rng.uniform(35, 130) + _ramp(rng, h, w, rng.uniform(-15, 60)) + rng.uniform(1, 6) * haze


def _cloud(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    shape = _clutter(rng, h, w, rng.uniform(2.8, 3.6), stretch=rng.uniform(1, 1.8))
    texture = _clutter(rng, h, w, rng.uniform(2.0, 2.8))
    low = rng.uniform(-0.9, 0.5)
    # The narrower the step, the harder the cloud's edge, which is what false alarms come from.
    cover = _smoothstep(shape + 0.12 * texture, low, low + rng.uniform(0.25, 1.6))
    sky = rng.uniform(25, 90) + _ramp(rng, h, w, rng.uniform(-10, 35))
    lit = 1 + 0.25 * shape + rng.uniform(0.05, 0.16) * texture
    return sky + rng.uniform(35, 110) * cover * lit


def _sea(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    horizon = rng.uniform(-0.15, 0.45) * h
    tilt = rng.uniform(-0.03, 0.03) * (np.arange(w, dtype=np.float32)[None] - w / 2)
    depth = np.arange(h, dtype=np.float32)[:, None] - np.float32(horizon) - tilt
    near = np.clip(depth / depth.max(), 0, 1)
    waves = _clutter(rng, h, w, rng.uniform(1.6, 2.4), stretch=rng.uniform(3, 8))
    waves = _in_perspective(waves, near)
    level = rng.uniform(45, 110)
    sea = level + rng.uniform(0, 30) * near + (3 + rng.uniform(4, 16) * np.sqrt(near)) * waves
    # Glints: the crests on the sun's path.
    offset = (np.arange(w) - rng.uniform(0.1, 0.9) * w) / (rng.uniform(0.08, 0.3) * w)
    path = np.exp(-(offset**2) / 2).astype(np.float32)[None]
    crests = np.clip(waves - rng.uniform(1.2, 2.0), 0, None) * (rng.random() < 0.6)
    sea = sea + rng.uniform(25, 70) * crests * path * np.sqrt(near)
    sky = _sky(rng, h, w)
    sky += level + rng.uniform(-30, 40) - sky.mean()
    return np.where(depth > 0, sea, sky).astype(np.float32)


def _in_perspective(field: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Sample a wave field so that it shrinks towards the horizon; ``near`` is 0 there, 1 at the bottom."""
    h, w = field.shape
    # The field is periodic, so that reading beyond its border shows no seam.
    y = (1.5 * h * np.sqrt(near)).astype(np.float32)
    x = np.arange(w, dtype=np.float32)[None] - w / 2
    x = (x / (0.35 + 0.65 * near) + w / 2).astype(np.float32)
    return cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _ground(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    relief = _clutter(rng, h, w, rng.uniform(2.2, 3.0), stretch=rng.uniform(0.8, 1.6))
    texture = _clutter(rng, h, w, rng.uniform(1.0, 1.8))
    level, contrast = rng.uniform(60, 130), rng.uniform(8, 26)
    # Fields and woods: plateaus of the relief, each at its own temperature.
    steps = np.digitize(relief, np.sort(rng.uniform(-1.5, 1.5, rng.integers(1, 4)))).astype(np.int64)
    ground = level + contrast * rng.standard_normal(steps.max() + 1).astype(np.float32)[steps] * 0.7
    ground = ground + 0.6 * contrast * relief + rng.uniform(2, 7) * texture
    if rng.random() < 0.45:
        return _under_sky(rng, ground, h, w)
    for _ in range(rng.integers(0, 3)):
        _draw_road(rng, ground, level + rng.uniform(-1, 2) * contrast)
    street = rng.uniform(0, 90)
    for _ in range(rng.integers(0, 9) if rng.random() < 0.5 else 0):
        _draw_building(rng, ground, level + rng.uniform(-2, 2.5) * contrast, street + rng.normal(0, 3))
    return ground.astype(np.float32)


def _draw_road(rng: np.random.Generator, ground: np.ndarray, level: float) -> None:
    h, w = ground.shape
    x = np.linspace(-0.1, 1.1, 12)
    y = rng.uniform(0, 1) + np.cumsum(rng.normal(rng.uniform(-0.06, 0.06), 0.025, 12))
    points = np.stack([x * w, y * h] if rng.random() < 0.5 else [y * w, x * h], axis=1)
    cv2.polylines(ground, [np.round(points).astype(np.int32)], False, float(level), int(rng.integers(1, 5)))


def _draw_building(rng: np.random.Generator, ground: np.ndarray, level: float, angle: float) -> None:
    h, w = ground.shape
    box = (rng.uniform(0, w), rng.uniform(0, h)), tuple(rng.uniform(8, 34, 2)), angle
    corners = np.round(cv2.boxPoints(box)).astype(np.int32)
    cv2.fillConvexPoly(ground, corners, float(level))
    # The sunlit wall.
    cv2.line(
        ground, tuple(corners[0].tolist()), tuple(corners[1].tolist()), float(level + rng.uniform(10, 40)), 2
    )


def _under_sky(rng: np.random.Generator, ground: np.ndarray, h: int, w: int) -> np.ndarray:
    """A ridge, jagged as natural ones are, with the sky above it."""
    steps = rng.standard_normal(w // 2 + 1) + 1j * rng.standard_normal(w // 2 + 1)
    f = np.fft.rfftfreq(w)
    f[0] = np.inf
    ridge = np.fft.irfft(steps * f ** -rng.uniform(1.0, 1.4), n=w)
    ridge = h * (rng.uniform(0.35, 0.75) + rng.uniform(0.02, 0.10) * ridge / ridge.std())
    depth = np.arange(h)[:, None] - ridge[None]
    sky = (_sky if rng.random() < 0.5 else _cloud)(rng, h, w)
    sky += ground.mean() - rng.uniform(-10, 45) - sky.mean()
    return np.where(depth > 0, ground, sky).astype(np.float32)


_BACKGROUNDS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    'cloud': _cloud,
    'sea': _sea,
    'ground': _ground,
    'sky': _sky,
}
_SHARES = (0.35, 0.2, 0.3, 0.15)


def _sense(rng: np.random.Generator, radiance: np.ndarray, blur: float) -> np.ndarray:
    """What an uncooled focal plane makes of a radiance map, in grey levels, not yet rounded."""
    h, w = radiance.shape
    image = cv2.GaussianBlur(radiance, (0, 0), blur)
    y = np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, w, dtype=np.float32)[None]
    image = image * (1 - rng.uniform(0, 0.12) * (x * x + y * y))
    columns = rng.standard_normal((1, w), dtype=np.float32) * rng.uniform(0, 1.2)
    rows = rng.standard_normal((h, 1), dtype=np.float32) * rng.uniform(0, 0.5)
    white = rng.standard_normal((h, w), dtype=np.float32) * rng.uniform(0.6, 3.0)
    image = image + columns + rows + white
    # Automatic gain: every scene fits into the range, and half of the flat ones are stretched, noise and all.
    low, high = np.percentile(image[::4, ::4], (1, 99))
    wanted = rng.uniform(60, 160) if rng.random() < 0.5 else 0.0
    gain = np.clip(wanted / (high - low), 1.0, 3.0) * min(1.0, 190 / (high - low))
    image = (image - low) * gain + np.clip(low, 8, 210 - (high - low) * gain)
    return np.clip(image, 0, 255).astype(np.float32)


# Targets.


def _add_targets(rng: np.random.Generator, image: np.ndarray, kind: str, blur: float) -> Scene:
    h, w = image.shape
    mask = np.zeros((h, w), np.uint8)
    occupied = np.zeros((h, w), np.uint8)
    targets = []
    for _ in range(rng.choice(len(TARGETS_PER_SCENE), p=TARGETS_PER_SCENE)):
        shape, signal = _target_signal(rng, blur)
        body = signal >= 0.5
        ys, xs = np.nonzero(body)
        for _ in range(12):
            # Drawn anew with the place: amid strong clutter only a low ratio leaves the sensor unsaturated.
            scr = float(np.exp(rng.uniform(*np.log(SCR_RANGE))))
            top, left = (
                rng.integers(1 - ys.min(), h - 1 - ys.max()),
                rng.integers(1 - xs.min(), w - 1 - xs.max()),
            )
            if occupied[ys + top, xs + left].any():
                continue
            peak = _peak_for(scr, image, signal, body, top, left)
            if peak is None:
                continue
            window, inside = _overlap(top, left, h, w)
            image[window] += peak * signal[inside]
            mask[ys + top, xs + left] = 255
            spread = np.zeros((h, w), np.uint8)
            spread[ys + top, xs + left] = 1
            occupied |= cv2.dilate(spread, np.ones((2 * _GAP + 1,) * 2, np.uint8))
            targets.append(
                Target(float(xs.mean() + left), float(ys.mean() + top), len(ys), scr, float(peak), shape)
            )
            break
    return Scene(np.rint(np.clip(image, 0, 255)).astype(np.uint8), mask, kind, tuple(targets))


def _overlap(top: int, left: int, h: int, w: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the patch lies in the image, and which part of the patch that is."""
    y0, y1, x0, x1 = max(top, 0), min(top + _PATCH, h), max(left, 0), min(left + _PATCH, w)
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def _peak_for(
    scr: float, image: np.ndarray, signal: np.ndarray, body: np.ndarray, top: int, left: int
) -> float | None:
    """Peak signal for an SCR at a place, in grey levels; None where rounding or saturation would spoil it."""
    cy, cx = top + _PATCH // 2, left + _PATCH // 2
    around = image[
        max(cy - CLUTTER_RADIUS, 0) : cy + CLUTTER_RADIUS + 1,
        max(cx - CLUTTER_RADIUS, 0) : cx + CLUTTER_RADIUS + 1,
    ]
    peak = scr * float(around.std()) / float(signal[body].mean())
    ys, xs = np.nonzero(body)
    brightest = float(image[ys + top, xs + left].max())
    return peak if peak >= _FAINTEST and brightest + peak <= _HEADROOM else None


def _target_signal(rng: np.random.Generator, blur: float) -> tuple[str, np.ndarray]:
    """A shape's name and its signal behind the optics, (_PATCH, _PATCH), of peak 1 and an allowed area."""
    area = float(np.exp(rng.normal(np.log(16), 0.85)))
    area = float(np.clip(area, AREA_RANGE[0], AREA_RANGE[1] * 0.9))
    shape = 'point'
    # A target as small as the point spread shows no shape.
    if area >= 9:
        shape = str(rng.choice(('point', 'ellipse', 'bar', 'cross'), p=(0.4, 0.25, 0.2, 0.15)))
    aspect = rng.uniform(1.0, 1.4) if shape == 'point' else rng.uniform(1.2, 3.5)
    angle = rng.uniform(0, np.pi)
    centre = _PATCH / 2 + rng.uniform(-0.5, 0.5, 2)
    for _ in range(12):
        signal = _render(shape, area, aspect, angle, centre, blur)
        pixels = int((signal >= 0.5).sum())
        if AREA_RANGE[0] <= pixels <= AREA_RANGE[1]:
            return shape, signal
        area *= 1.25 if pixels < AREA_RANGE[0] else 0.8
    raise AssertionError('a target between the area limits always exists')


def _render(
    shape: str, area: float, aspect: float, angle: float, centre: np.ndarray, blur: float, sub: int = 4
) -> np.ndarray:
    """Signal of a shape of ``area`` pixels or so, drawn ``sub`` times finer, blurred, summed over pixels."""
    grid = (np.arange(_PATCH * sub, dtype=np.float32) + 0.5) / sub
    y, x = grid[:, None] - np.float32(centre[0]), grid[None] - np.float32(centre[1])
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if shape == 'point':
        # At half of its peak a Gaussian covers 2 π ln 2 · σ_along · σ_across.
        sigma = max(np.sqrt(area / (2 * np.pi * np.log(2))), 0.6)
        a, b = sigma * np.sqrt(aspect), sigma / np.sqrt(aspect)
        fine = np.exp(-((along / a) ** 2 + (across / b) ** 2) / 2)
        return _normalised(_binned(fine, sub))
    if shape == 'ellipse':
        half = np.sqrt(area / np.pi)
        fine = (along / (half * np.sqrt(aspect))) ** 2 + (across * np.sqrt(aspect) / half) ** 2 <= 1
    elif shape == 'bar':
        half = np.sqrt(area / 4)
        fine = (np.abs(along) <= half * np.sqrt(aspect)) & (np.abs(across) <= half / np.sqrt(aspect))
    else:
        # An aircraft: a fuselage, and wings across it a little before its middle.
        half = np.sqrt(area * aspect / (4 * 1.7))
        wide = half / aspect
        body = (np.abs(along) <= half) & (np.abs(across) <= wide)
        fine = body | ((np.abs(along - 0.2 * half) <= 0.8 * wide) & (np.abs(across) <= 0.8 * half + wide))
    return _normalised(_binned(cv2.GaussianBlur(fine.astype(np.float32), (0, 0), blur * sub), sub))


def _binned(fine: np.ndarray, sub: int) -> np.ndarray:
    return fine.reshape(_PATCH, sub, _PATCH, sub).mean(axis=(1, 3))


def _normalised(signal: np.ndarray) -> np.ndarray:
    return (signal / signal.max()).astype(np.float32)
