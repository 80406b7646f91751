"""A detector through all sweeps: what it found at each value."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from madnet.evaluation.components import Components
from madnet.evaluation.matching import Match, match_components
from madnet.inference.prediction import Prediction
from madnet.probing.case import Case, Sweep
from madnet.probing.material import Material
from madnet.progress import progress_bar
from madnet.records import ProbePoint, ProbeSweep

#: Sides of the crops of a strip, pixels of the frame, and how much they are enlarged.
CROP, ZOOM = 48, 2
#: BGR colours of a crop's frame: the target was found; it was not, or there is a false alarm; neither.
FOUND, WRONG, NEUTRAL = (130, 190, 60), (60, 80, 220), (150, 150, 150)
_BORDER = 3
#: Crops of a strip at most.
MOST_CROPS = 6
#: What is counted of every frame.
_COUNTED = ('frames', 'pixels', 'targets', 'found', 'false_components', 'false_pixels')


@dataclass(frozen=True)
class Swept:
    """A sweep's numbers, and its first frame at each value as one picture (H, W, 3), BGR."""

    record: ProbeSweep
    strip: np.ndarray


def run_sweeps(
    detect: Callable[[np.ndarray], Prediction], sweeps: Sequence[Sweep], material: Material
) -> list[Swept]:
    """Show a detector every frame at every value.

    Args:
        detect: Image (H, W) → prediction.
        sweeps: What is changed.
        material: The frames.
    """
    steps = [(sweep, value) for sweep in sweeps for value in sweep.values]
    points: dict[str, list[ProbePoint]] = {sweep.key: [] for sweep in sweeps}
    crops: dict[str, list] = {sweep.key: [] for sweep in sweeps}
    for sweep, value in progress_bar(steps, what='probe', unit='step'):
        total, shown = Counter(dict.fromkeys(_COUNTED, 0)), None
        for case in sweep.cases(material, value):
            counts, match = _judged(case, detect(case.image).components)
            total.update(counts)
            if shown is None or (not len(shown[0].centres) and len(case.centres)):
                shown = case, match
        if shown is None:  # no frame is fit for this value
            continue
        label = sweep.labels[int(value)] if sweep.labels else None
        points[sweep.key].append(ProbePoint(value=value, label=label, **total))
        crops[sweep.key].append(_crop(*shown))
    return [
        Swept(_record(sweep, points[sweep.key]), _strip(crops[sweep.key]))
        for sweep in sweeps
        if points[sweep.key]
    ]


def _judged(case: Case, found: Components) -> tuple[dict[str, int], Match]:
    """What a detector made of one case, by the rule of protocol ``native``: what a
    :class:`~madnet.records.ProbePoint` adds up, and which targets were found."""
    none = np.zeros((len(case.centres), 4), np.int64)
    truth = Components(np.zeros((0, 0), np.int32), np.zeros(len(none), np.int64), case.centres, none)
    match = match_components(truth, found)
    counts = {
        'frames': 1,
        'pixels': case.image.size,
        'targets': len(case.centres),
        'found': len(match.pairs),
        'false_components': len(match.false),
        'false_pixels': int(found.areas[match.false].sum()),
    }
    if case.in_pairs and len(case.centres):
        hit = np.ones(len(case.centres), bool)
        hit[match.missed] = False
        both = hit[::2] & hit[1::2]
        counts |= {'pairs': len(both), 'pairs_found': int(both.sum())}
    if len(case.defects):
        alarmed = _touched(case.defects, found.boxes[match.false])
        counts |= {'defects': len(alarmed), 'defects_alarmed': int(alarmed.sum())}
    return counts, match


def _touched(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(k,) bool: whether a box shares a pixel with one of the others, or lies beside one."""
    x0, y0, x1, y1 = boxes.T[..., None]
    u0, v0, u1, v1 = others.T
    return ((x0 <= u1) & (u0 <= x1) & (y0 <= v1) & (v0 <= y1)).any(1)


def _record(sweep: Sweep, points: list[ProbePoint]) -> ProbeSweep:
    half = crossing([p.value for p in points], [p.pd for p in points], sweep.log)
    about = (sweep.key, sweep.title, sweep.axis, sweep.about)
    return ProbeSweep(*about, points, sweep.unchanged, sweep.log, half)


def crossing(values: Sequence[float], shares: Sequence[float | None], log: bool = False) -> float | None:
    """Where shares rise through a half for the first time, by a straight line; None where they do not.

    Args:
        values: Rising.
        shares: Of the same number; None where unknown.
        log: Whether the line is straight over the logarithm of the values.
    """
    known = [(v, s) for v, s in zip(values, shares, strict=True) if s is not None]
    for (v0, s0), (v1, s1) in pairwise(known):
        if s0 < 0.5 <= s1:
            t = (0.5 - s0) / (s1 - s0)
            return float(v0 * (v1 / v0) ** t if log else v0 + t * (v1 - v0))
    return None


def _crop(case: Case, match: Match) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The surroundings of a case's first target, or the whole frame where it has none, (h, w) uint8; and the
    colour that says what was found."""
    image = case.image if case.image.dtype == np.uint8 else np.rint(case.image / 257).astype(np.uint8)
    if not len(case.centres):
        return image, WRONG if len(match.false) else NEUTRAL
    shown = [0, 1] if case.in_pairs else [0]
    x, y = case.centres[shown].mean(0).round().astype(int)
    padded = np.pad(image, CROP // 2)  # black beyond the frame
    missed = set(shown) & set(match.missed.tolist())
    return padded[y : y + CROP, x : x + CROP], WRONG if missed else FOUND


def _strip(crops: Sequence[np.ndarray], most: int = MOST_CROPS) -> np.ndarray:
    """Crops side by side, evenly chosen where they are many, made bright by one factor for all."""
    chosen = [crops[k] for k in shown_values(len(crops), most)]
    white = max(float(np.percentile(crop, 99.9)) for crop, _ in chosen)
    framed = []
    for crop, colour in chosen:
        bright = np.rint(np.minimum(crop * (255 / max(white, 1)), 255)).astype(np.uint8)
        picture = cv2.cvtColor(
            cv2.resize(bright, (CROP * ZOOM,) * 2, interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR
        )
        framed.append(cv2.copyMakeBorder(picture, *(_BORDER,) * 4, cv2.BORDER_CONSTANT, value=colour))
    return np.hstack(framed)


def shown_values(count: int, most: int = MOST_CROPS) -> list[int]:
    """The indices of the values whose crops are shown, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
