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

#: Pixels that each side of a scene has at least.
SMALLEST = 48

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

#: Side of the window that holds a target; an 80-pixel bar of aspect 4 is 18 long.
PATCH = 33
_SUB = 4  # samples a pixel and axis that a target is drawn with
_GAP = 6  # least distance, in pixels, between two targets' masks
_FAINTEST, _HEADROOM = 10.0, 250.0  # grey levels: below, rounding to 8 bit shows; above, the sensor saturates

#: Share of scenes of each kind.
KINDS = {'cloud': 0.35, 'sea': 0.2, 'ground': 0.3, 'sky': 0.15}

#: Ranges from which scenes are drawn uniformly. "Level" and "contrast" are grey levels; a spectrum's exponent
#: is the β of 1/f^β in power, its stretch how many times longer clutter is along x than along y.
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    'sky': {
        'exponent': (3.0, 4.0),
        'stretch': (1, 2.5),
        'level': (35, 130),
        'warmer horizon': (-15, 60),  # grey levels from top to bottom
        'haze contrast': (1, 6),
    },
    'cloud': {
        'exponent': (2.8, 3.6),
        'stretch': (1, 1.8),
        'texture exponent': (2.0, 2.8),
        'cover begins': (-0.9, 0.5),  # of the shape field, in standard deviations
        'edge': (0.25, 1.6),  # from clear to covered, in standard deviations of that field
        'sky level': (25, 90),
        'warmer horizon': (-10, 35),
        'texture': (0.05, 0.16),  # share of the cloud's brightness
        'brightness': (35, 110),  # grey levels above the sky
    },
    'sea': {
        'horizon': (-0.15, 0.45),  # heights of the image from its top
        'tilt': (-0.03, 0.03),  # of the horizon, pixels down for one to the right
        'exponent': (1.6, 2.4),
        'stretch': (3, 8),
        'level': (45, 110),
        'nearer water': (0, 30),  # grey levels above the level at the bottom
        'wave contrast': (4, 16),
        'sun': (0.1, 0.9),  # widths of the image from its left
        'path width': (0.08, 0.3),  # standard deviation, widths of the image
        'crest': (1.2, 2.0),  # standard deviations of the waves beyond which they glint
        'glint': (25, 70),  # grey levels for each standard deviation beyond
        'sky above sea': (-30, 40),  # grey levels
    },
    'ground': {
        'exponent': (2.2, 3.0),
        'stretch': (0.8, 1.6),
        'texture exponent': (1.0, 1.8),
        'level': (60, 130),
        'contrast': (8, 26),
        'plateau border': (-1.5, 1.5),  # standard deviations of the relief
        'texture contrast': (2, 7),
        'road level': (-1, 2),  # contrasts above the level
        'street': (0, 90),  # degrees along which buildings stand
        'building level': (-2, 2.5),  # contrasts above the level
        'building side': (8, 34),  # pixels
        'sunlit wall': (10, 40),  # grey levels above the roof
        'road start': (0, 1),  # sides of the image
        'road drift': (-0.06, 0.06),  # sides of the image each twelfth of its length
        'ridge exponent': (1.0, 1.4),  # of its amplitude spectrum
        'ridge': (0.35, 0.75),  # heights of the image from its top
        'ridge contrast': (0.02, 0.10),  # standard deviation, heights of the image
        'sky below ground': (-10, 45),  # grey levels
    },
    'sensor': {
        'blur': (0.5, 0.9),  # standard deviation of the point spread, pixels
        'vignetting': (0, 0.12),  # share lost at the middle of a border; in the corners twice as much
        'column noise': (0, 1.2),  # standard deviations, grey levels
        'row noise': (0, 0.5),
        'white noise': (0.6, 3.0),
        'stretched to': (60, 160),  # grey levels from the 1st to the 99th percentile
    },
}
#: Probability that the sea glints, that a ridge cuts the ground off, and that there may be buildings.
GLINTS, RIDGES, BUILT_UP = 0.6, 0.45, 0.5
#: At most; each number from 0 (plateau borders: from 1) is as likely.
MAX_PLATEAU_BORDERS, MAX_ROADS, MAX_BUILDINGS, MAX_ROAD_WIDTH = 3, 2, 8, 4


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
        size: Height and width in pixels, or one number for both; at least :data:`SMALLEST`.

    Raises:
        ValueError: The size is too small to hold a target and its surroundings.
    """
    h, w = (size, size) if isinstance(size, int) else size
    if min(h, w) < SMALLEST:
        raise ValueError(f'size={size}: a scene needs at least {SMALLEST} × {SMALLEST} pixels.')
    rng = np.random.default_rng([seed, index])
    kind, blur, image = synth_background(rng, h, w)
    return _add_targets(rng, image, kind, blur)


def synth_background(
    rng: np.random.Generator, h: int, w: int, noise: float = 1.0, softness: float = 0.0
) -> tuple[str, float, np.ndarray]:
    """A scene without targets.

    Args:
        rng: All draws.
        h, w: Size in pixels.
        noise: Share of the sensor noise of :data:`RANGES`.
        softness: Standard deviation of a blur beside that of the optics, pixels.

    Returns:
        Its kind, the standard deviation of its point spread in pixels, and its image, (h, w) float32 grey
        levels from 0 to 255, not yet rounded.
    """
    kind = str(rng.choice(tuple(KINDS), p=tuple(KINDS.values())))
    blur = _drawer(rng, 'sensor')('blur')
    radiance = _BACKGROUNDS[kind](rng, h, w)
    return kind, blur, _sense(rng, radiance, float(np.hypot(blur, softness)), noise)


def _drawer(rng: np.random.Generator, part: str) -> Callable[[str], float]:
    """Draws a value from a range of :data:`RANGES` by its name."""
    return lambda name: rng.uniform(*RANGES[part][name])


# Backgrounds: radiance maps (H, W), float32, in grey levels; the sensor model follows. The order of the draws
# is part of what a seed means.


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
    draw = _drawer(rng, 'sky')
    haze = _clutter(rng, h, w, draw('exponent'), stretch=draw('stretch'))
    return draw('level') + _ramp(rng, h, w, draw('warmer horizon')) + draw('haze contrast') * haze


def _cloud(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    draw = _drawer(rng, 'cloud')
    shape = _clutter(rng, h, w, draw('exponent'), stretch=draw('stretch'))
    texture = _clutter(rng, h, w, draw('texture exponent'))
    low = draw('cover begins')
    # The narrower the step, the harder the cloud's edge, which is what false alarms come from.
    cover = _smoothstep(shape + 0.12 * texture, low, low + draw('edge'))
    sky = draw('sky level') + _ramp(rng, h, w, draw('warmer horizon'))
    lit = 1 + 0.25 * shape + draw('texture') * texture
    return sky + draw('brightness') * cover * lit


def _sea(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    draw = _drawer(rng, 'sea')
    horizon = draw('horizon') * h
    tilt = draw('tilt') * (np.arange(w, dtype=np.float32)[None] - w / 2)
    depth = np.arange(h, dtype=np.float32)[:, None] - np.float32(horizon) - tilt
    near = np.clip(depth / depth.max(), 0, 1)
    waves = _clutter(rng, h, w, draw('exponent'), stretch=draw('stretch'))
    waves = _in_perspective(waves, near)
    level = draw('level')
    sea = level + draw('nearer water') * near + (3 + draw('wave contrast') * np.sqrt(near)) * waves
    # Glints: the crests on the sun's path.
    offset = (np.arange(w) - draw('sun') * w) / (draw('path width') * w)
    path = np.exp(-(offset**2) / 2).astype(np.float32)[None]
    crests = np.clip(waves - draw('crest'), 0, None) * (rng.random() < GLINTS)
    sea = sea + draw('glint') * crests * path * np.sqrt(near)
    sky = _sky(rng, h, w)
    sky += level + draw('sky above sea') - sky.mean()
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
    draw = _drawer(rng, 'ground')
    relief = _clutter(rng, h, w, draw('exponent'), stretch=draw('stretch'))
    texture = _clutter(rng, h, w, draw('texture exponent'))
    level, contrast = draw('level'), draw('contrast')
    # Fields and woods: plateaus of the relief, each at its own temperature.
    borders = rng.uniform(*RANGES['ground']['plateau border'], rng.integers(1, MAX_PLATEAU_BORDERS + 1))
    steps = np.digitize(relief, np.sort(borders)).astype(np.int64)
    ground = level + contrast * rng.standard_normal(steps.max() + 1).astype(np.float32)[steps] * 0.7
    ground = ground + 0.6 * contrast * relief + draw('texture contrast') * texture
    if rng.random() < RIDGES:
        return _under_sky(rng, ground, h, w)
    for _ in range(rng.integers(0, MAX_ROADS + 1)):
        _draw_road(rng, ground, level + draw('road level') * contrast)
    street = draw('street')
    for _ in range(rng.integers(0, MAX_BUILDINGS + 1) if rng.random() < BUILT_UP else 0):
        _draw_building(rng, ground, level + draw('building level') * contrast, street + rng.normal(0, 3))
    return ground.astype(np.float32)


def _draw_road(rng: np.random.Generator, ground: np.ndarray, level: float) -> None:
    h, w = ground.shape
    draw = _drawer(rng, 'ground')
    x = np.linspace(-0.1, 1.1, 12)
    y = draw('road start') + np.cumsum(rng.normal(draw('road drift'), 0.025, 12))
    points = np.stack([x * w, y * h] if rng.random() < 0.5 else [y * w, x * h], axis=1)
    thickness = int(rng.integers(1, MAX_ROAD_WIDTH + 1))
    cv2.polylines(ground, [np.round(points).astype(np.int32)], False, float(level), thickness)


def _draw_building(rng: np.random.Generator, ground: np.ndarray, level: float, angle: float) -> None:
    h, w = ground.shape
    draw = _drawer(rng, 'ground')
    box = (rng.uniform(0, w), rng.uniform(0, h)), (draw('building side'), draw('building side')), angle
    corners = np.round(cv2.boxPoints(box)).astype(np.int32)
    cv2.fillConvexPoly(ground, corners, float(level))
    wall = float(level + draw('sunlit wall'))
    cv2.line(ground, tuple(corners[0].tolist()), tuple(corners[1].tolist()), wall, 2)


def _under_sky(rng: np.random.Generator, ground: np.ndarray, h: int, w: int) -> np.ndarray:
    """A ridge, jagged as natural ones are, with the sky above it."""
    draw = _drawer(rng, 'ground')
    steps = rng.standard_normal(w // 2 + 1) + 1j * rng.standard_normal(w // 2 + 1)
    f = np.fft.rfftfreq(w)
    f[0] = np.inf
    ridge = np.fft.irfft(steps * f ** -draw('ridge exponent'), n=w)
    ridge = h * (draw('ridge') + draw('ridge contrast') * ridge / ridge.std())
    depth = np.arange(h)[:, None] - ridge[None]
    sky = (_sky if rng.random() < 0.5 else _cloud)(rng, h, w)
    sky += ground.mean() - draw('sky below ground') - sky.mean()
    return np.where(depth > 0, ground, sky).astype(np.float32)


_BACKGROUNDS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    'cloud': _cloud,
    'sea': _sea,
    'ground': _ground,
    'sky': _sky,
}


def _sense(rng: np.random.Generator, radiance: np.ndarray, blur: float, noise: float) -> np.ndarray:
    """What an uncooled focal plane makes of a radiance map, in grey levels, not yet rounded."""
    h, w = radiance.shape
    draw = _drawer(rng, 'sensor')
    image = cv2.GaussianBlur(radiance, (0, 0), blur)
    y = np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, w, dtype=np.float32)[None]
    image = image * (1 - draw('vignetting') * (x * x + y * y))
    columns = rng.standard_normal((1, w), dtype=np.float32) * draw('column noise')
    rows = rng.standard_normal((h, 1), dtype=np.float32) * draw('row noise')
    white = rng.standard_normal((h, w), dtype=np.float32) * draw('white noise')
    if noise != 1:
        columns, rows, white = (part * np.float32(noise) for part in (columns, rows, white))
    image = image + columns + rows + white
    # Automatic gain: every scene fits into the range, and half of the flat ones are stretched, noise and all.
    low, high = np.percentile(image[::4, ::4], (1, 99))
    wanted = draw('stretched to') if rng.random() < 0.5 else 0.0
    gain = np.clip(wanted / (high - low), 1.0, 3.0) * min(1.0, 190 / (high - low))
    image = (image - low) * gain + np.clip(low, 8, 210 - (high - low) * gain)
    return np.clip(image, 0, 255).astype(np.float32)


# Targets.


def _add_targets(rng: np.random.Generator, image: np.ndarray, kind: str, blur: float) -> Scene:
    h, w = image.shape
    mask = np.zeros((h, w), np.uint8)
    occupied: np.ndarray = np.zeros((h, w), np.uint8)
    targets = []
    for _ in range(rng.choice(len(TARGETS_PER_SCENE), p=TARGETS_PER_SCENE)):
        shape, signal = _target_signal(rng, blur)
        body = signal >= 0.5
        ys, xs = np.nonzero(body)
        for _ in range(12):
            # Drawn anew with the place: amid strong clutter only a low ratio leaves the sensor unsaturated.
            scr = float(np.exp(rng.uniform(*np.log(SCR_RANGE))))
            top, left = (rng.integers(1 - v.min(), n - 1 - v.max()) for v, n in ((ys, h), (xs, w)))
            if occupied[ys + top, xs + left].any():
                continue
            peak = _peak_for(scr, image, signal, body, top, left)
            if peak is None:
                continue
            window, inside = patch_window(top, left, h, w)
            image[window] += peak * signal[inside]
            mask[ys + top, xs + left] = 255
            spread = np.zeros((h, w), np.uint8)
            spread[ys + top, xs + left] = 1
            occupied = cv2.bitwise_or(occupied, cv2.dilate(spread, np.ones((2 * _GAP + 1,) * 2, np.uint8)))
            targets.append(
                Target(float(xs.mean() + left), float(ys.mean() + top), len(ys), scr, float(peak), shape)
            )
            break
    return Scene(np.rint(np.clip(image, 0, 255)).astype(np.uint8), mask, kind, tuple(targets))


def patch_window(top: int, left: int, h: int, w: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the patch lies in the image, and which part of the patch that is."""
    y0, y1, x0, x1 = max(top, 0), min(top + PATCH, h), max(left, 0), min(left + PATCH, w)
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def clutter_around(image: np.ndarray, y: int, x: int) -> float:
    """Standard deviation in the square of :data:`CLUTTER_RADIUS` pixels around a pixel of an image (H, W)."""
    rows = slice(max(y - CLUTTER_RADIUS, 0), y + CLUTTER_RADIUS + 1)
    return float(image[rows, max(x - CLUTTER_RADIUS, 0) : x + CLUTTER_RADIUS + 1].std())


def _peak_for(
    scr: float, image: np.ndarray, signal: np.ndarray, body: np.ndarray, top: int, left: int
) -> float | None:
    """Peak signal for an SCR at a place, in grey levels; None where rounding or saturation would spoil it."""
    deviation = clutter_around(image, top + PATCH // 2, left + PATCH // 2)
    peak = scr * deviation / float(signal[body].mean())
    ys, xs = np.nonzero(body)
    brightest = float(image[ys + top, xs + left].max())
    return peak if peak >= _FAINTEST and brightest + peak <= _HEADROOM else None


def _target_signal(rng: np.random.Generator, blur: float) -> tuple[str, np.ndarray]:
    """A shape's name and its signal behind the optics, (PATCH, PATCH), of peak 1 and an allowed area."""
    area = float(np.clip(np.exp(rng.normal(np.log(16), 0.85)), AREA_RANGE[0], AREA_RANGE[1] * 0.9))
    shape = 'point'
    # A target as small as the point spread shows no shape.
    if area >= 9:
        shape = str(rng.choice(('point', 'ellipse', 'bar', 'cross'), p=(0.4, 0.25, 0.2, 0.15)))
    aspect = rng.uniform(1.0, 1.4) if shape == 'point' else rng.uniform(1.2, 3.5)
    angle = rng.uniform(0, np.pi)
    centre = PATCH / 2 + rng.uniform(-0.5, 0.5, 2)
    for _ in range(12):
        signal = render_target(shape, area, aspect, angle, centre, blur)
        pixels = int((signal >= 0.5).sum())
        if AREA_RANGE[0] <= pixels <= AREA_RANGE[1]:
            return shape, signal
        area *= 1.25 if pixels < AREA_RANGE[0] else 0.8
    raise AssertionError('a target between the area limits always exists')


def render_target(
    shape: str, area: float, aspect: float, angle: float, centre: np.ndarray, blur: float
) -> np.ndarray:
    """Signal of a shape of ``area`` pixels or so, drawn four times finer, blurred, summed over pixels.

    Args:
        shape: ``'point'`` (a Gaussian that covers the area at half of its peak; ``blur`` plays no part),
            ``'ellipse'``, ``'bar'`` or ``'cross'``.
        area: Pixels.
        aspect: Length over width.
        angle: Radians.
        centre: (y, x) in pixels; (0, 0) is the patch's corner.
        blur: Standard deviation of the point spread, pixels.

    Returns:
        (PATCH, PATCH) float32 of peak 1.
    """
    grid = (np.arange(PATCH * _SUB, dtype=np.float32) + 0.5) / _SUB
    y, x = grid[:, None] - np.float32(centre[0]), grid[None] - np.float32(centre[1])
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if shape == 'point':
        # At half of its peak a Gaussian covers 2 π ln 2 · σ_along · σ_across.
        sigma = max(np.sqrt(area / (2 * np.pi * np.log(2))), 0.6)
        a, b = sigma * np.sqrt(aspect), sigma / np.sqrt(aspect)
        return _binned(np.exp(-((along / a) ** 2 + (across / b) ** 2) / 2))
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
    return _binned(cv2.GaussianBlur(fine.astype(np.float32), (0, 0), blur * _SUB))


def _binned(fine: np.ndarray) -> np.ndarray:
    """Means over the samples of each pixel, brought to a peak of 1."""
    signal = fine.reshape(PATCH, _SUB, PATCH, _SUB).mean(axis=(1, 3))
    return (signal / signal.max()).astype(np.float32)
