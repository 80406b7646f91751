"""Frames with the targets that they have, changed in one way at a time."""

from collections.abc import Iterator

import cv2
import numpy as np

from madnet.datasets.scenes import synth_background
from madnet.datasets.transforms.native_scale import GainOffsetJitter
from madnet.evaluation.components import grown
from madnet.probing.case import Case, as_camera, sweep
from madnet.probing.material import LEAST_SIDE, Frame, Material

#: Bad pixels and lines stay this far from targets, whose light they would hide, pixels.
CLEARANCE = 8
#: Grey levels of a hot pixel and of a dead line.
HOT, DEAD = 255, 0
#: The kinds of frame without a target, in the order of their values.
EMPTY = ('targets filled in', 'synthetic', 'noise', 'grey', 'black')
#: Grey level and deviation of a frame of noise alone.
LEVEL, NOISE = 100.0, 4.0


@sweep('Gain', 'gain', (0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 3, 4), unchanged=1, log=True)
def gain(material: Material, value: float) -> Iterator[Case]:
    """The frame's contrast about its own mean is multiplied, as by a camera's automatic gain; clipped."""
    return _settings(material, gain=value)


@sweep('Offset', 'offset, grey levels', (-80, -60, -40, -20, 0, 20, 40, 60, 80), unchanged=0)
def offset(material: Material, value: float) -> Iterator[Case]:
    """Added to every pixel; clipped."""
    return _settings(material, offset=value)


@sweep('Gamma', 'exponent', (0.4, 0.5, 0.7, 1, 1.4, 2, 2.5), unchanged=1, log=True)
def gamma(material: Material, value: float) -> Iterator[Case]:
    """Grey levels, as shares of 255, are raised to this power."""
    return _settings(material, gamma=value)


def _settings(material: Material, **changed: float) -> Iterator[Case]:
    setting = GainOffsetJitter(pivot='mean')
    drawn = {'gain': 1.0, 'offset': 0.0, 'gamma': 1.0, **changed}
    for frame in material.frames:
        grey = setting.apply({'img': frame.grey}, drawn)['img']
        yield Case(as_camera(grey), frame.targets.centroids)


@sweep('Scale', 'sides of the frame, relative', (0.35, 0.5, 0.7, 1, 1.4, 2), unchanged=1, log=True)
def scale(material: Material, value: float) -> Iterator[Case]:
    """The frame is resized: shrunk by areas, where no side falls below {LEAST_SIDE} pixels; enlarged
    linearly."""
    for frame in material.frames:
        size = [round(value * side) for side in frame.grey.shape[::-1]]
        if min(size) < LEAST_SIDE:
            continue
        how = cv2.INTER_AREA if value < 1 else cv2.INTER_LINEAR
        grey = frame.grey if value == 1 else cv2.resize(frame.grey, size, interpolation=how)
        factors = np.array(size) / frame.grey.shape[::-1]
        yield Case(as_camera(grey), (frame.targets.centroids + 0.5) * factors - 0.5)


@sweep('Blur', 'standard deviation, pixels', (0, 0.5, 0.7, 1, 1.4, 2, 3), unchanged=0)
def blur(material: Material, value: float) -> Iterator[Case]:
    """A Gaussian blur over the whole frame."""
    for frame in material.frames:
        grey = frame.grey
        if value:
            grey = cv2.GaussianBlur(grey, (0, 0), value, borderType=cv2.BORDER_REFLECT)
        yield Case(as_camera(grey), frame.targets.centroids)


@sweep('Noise', 'standard deviation, grey levels', (0, 1, 2, 4, 6, 8, 12, 16), unchanged=0)
def noise(material: Material, value: float) -> Iterator[Case]:
    """White noise is added."""
    for number, frame in enumerate(material.frames):
        noise = material.rng(1, number).standard_normal(frame.grey.shape, np.float32)
        yield Case(as_camera(frame.grey + value * noise), frame.targets.centroids)


@sweep('Turn', 'degrees', (0, 10, 20, 45, 70, 90, 180, 270), unchanged=0)
def turn(material: Material, value: float) -> Iterator[Case]:
    """The frame is turned about its centre; corners are mirrored from the frame without its targets."""
    for frame in material.frames:
        yield _turned(frame, value)


def _turned(frame: Frame, degrees: float) -> Case:
    height, width = frame.grey.shape
    middle = (width - 1) / 2, (height - 1) / 2
    size = (height, width) if degrees % 180 == 90 else (width, height)
    turn: np.ndarray = cv2.getRotationMatrix2D(middle, degrees, 1)
    turn[:, 2] += (np.array(size) - (width, height)) / 2
    # corners are filled by mirroring the frame without its targets, whose mirror images would be targets too
    empty = cv2.warpAffine(frame.empty, turn, size, borderMode=cv2.BORDER_REFLECT_101)
    signal = cv2.warpAffine(frame.grey - frame.empty, turn, size)
    centres = frame.targets.centroids @ turn[:, :2].T + turn[:, 2]
    inside = ((centres > -0.5) & (centres < np.array(size) - 0.5)).all(1)
    return Case(as_camera(empty + signal), centres[inside])


@sweep('Bits', 'bits a pixel', (3, 4, 5, 6, 7, 8, 16), unchanged=8)
def bits(material: Material, value: float) -> Iterator[Case]:
    """Grey levels are rounded to this many bits; 16: the same frame as a file of 16 bits."""
    for frame in material.frames:
        if value > 8:
            image = np.rint(frame.grey * 257).astype(np.uint16)
        else:
            steps = 2**value - 1
            image = as_camera(np.rint(frame.grey / 255 * steps) * (255 / steps))
        yield Case(image, frame.targets.centroids)


@sweep('Hot pixels', 'hot pixels in a frame', (0, 1, 3, 10, 30, 100), unchanged=0)
def hot_pixels(material: Material, value: float) -> Iterator[Case]:
    """Single pixels at {HOT}, {CLEARANCE} pixels and more from a target."""
    for number, frame in enumerate(material.frames):
        rows, columns = np.nonzero(~grown(frame.targets.labels, CLEARANCE))
        chosen = material.rng(2, number).permutation(len(rows))[: int(value)]
        rows, columns = rows[chosen], columns[chosen]
        image = as_camera(frame.grey)
        image[rows, columns] = HOT
        boxes = np.stack([columns, rows, columns + 1, rows + 1], 1)
        yield Case(image, frame.targets.centroids, defects=boxes)


@sweep('Dead lines', 'dead lines in a frame', (0, 1, 2, 4, 8), unchanged=0)
def dead_lines(material: Material, value: float) -> Iterator[Case]:
    """Whole rows and columns at {DEAD}, {CLEARANCE} pixels and more from a target."""
    for number, frame in enumerate(material.frames):
        rng = material.rng(3, number)
        image, boxes = as_camera(frame.grey), []
        height, width = image.shape
        taken = frame.targets.labels > 0
        for line in range(int(value)):
            across = line % 2 == 0
            busy = np.convolve(taken.any(1 if across else 0), np.ones(2 * CLEARANCE + 1), 'same') > 0
            free = np.flatnonzero(~busy)
            if len(free):
                at = int(rng.choice(free))
                boxes.append((0, at, width, at + 1) if across else (at, 0, at + 1, height))
        for x0, y0, x1, y1 in boxes:
            image[y0:y1, x0:x1] = DEAD
        yield Case(image, frame.targets.centroids, defects=np.array(boxes, np.int64).reshape(-1, 4))


@sweep('Empty frames', 'kind of frame', tuple(range(len(EMPTY))), labels=EMPTY)
def empty(material: Material, value: float) -> Iterator[Case]:
    """Frames without any target: every detection is a false alarm."""
    for number, frame in enumerate(material.frames):
        grey = _without_targets(EMPTY[int(value)], frame, material.rng(4, number))
        yield Case(as_camera(grey), np.zeros((0, 2)))


def _without_targets(kind: str, frame: Frame, rng: np.random.Generator) -> np.ndarray:
    shape = frame.grey.shape
    if kind == 'targets filled in':
        return frame.empty
    if kind == 'synthetic':
        height, width = shape
        return synth_background(rng, height, width, noise=0.25, softness=1.0)[2]
    if kind == 'noise':
        return LEVEL + NOISE * rng.standard_normal(shape, np.float32)
    return np.full(shape, LEVEL if kind == 'grey' else 0, np.float32)


CHANGES = (gain, offset, gamma, scale, blur, noise, turn, bits, hot_pixels, dead_lines, empty)
