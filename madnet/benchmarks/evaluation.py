"""How fast evaluation is, beside a loop over thresholds and beside the package ``pyirstdmetrics``."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from madnet.datasets import SIRSTDataset
from madnet.datasets.sources import find_sources
from madnet.errors import in_brief
from madnet.evaluation import Evaluator
from madnet.evaluation.arrays import sigmoid
from madnet.evaluation.curves import PD_FA_THRESHOLDS
from madnet.evaluation.rules import half
from madnet.records import text_table

Pair = tuple[np.ndarray, np.ndarray]


def load_pairs(data: str, count: int, size: int) -> list[Pair]:
    """Logits and masks of real images, of two kinds in turn: a network-like one and a cluttered one.

    The network-like map is the mask, blurred and shifted by what a top-hat sees; the cluttered one is the
    top-hat itself, scaled to its maximum.

    Args:
        data: Name of a data set, or its folder.
        count: Pairs; images repeat where there are fewer.
        size: Both are resized to size × size.

    Raises:
        UserError: No such data set.
    """
    dataset = SIRSTDataset(
        **find_sources([data])[0].arguments, split='all', pipeline=[{'type': 'LoadSIRSTImage', 'channels': 1}]
    )
    pairs: list[Pair] = []
    for k in range(min(count, len(dataset))):
        mask = cv2.resize(dataset.read_fitted(k)[1], (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
        image = cv2.resize(dataset[k]['img'], (size, size), interpolation=cv2.INTER_AREA)
        smooth = cv2.GaussianBlur(image, (3, 3), 0)
        tophat = cv2.morphologyEx(smooth, cv2.MORPH_TOPHAT, np.ones((9, 9), np.uint8)).astype(np.float32)
        tophat /= max(tophat.max(), 1)
        if k % 2:
            prob = tophat.clip(1e-6, 1 - 1e-6)
            logits = np.log(prob / (1 - prob))
        else:
            logits = 12 * cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1) + 4 * tophat - 7
        pairs.append((logits, mask))
    return [pairs[k % len(pairs)] for k in range(count)]


def per_threshold(
    pairs: Iterable[Pair], thresholds: Iterable[float] = PD_FA_THRESHOLDS
) -> dict[str, list[float]]:
    """The published kind of evaluation: at every threshold, take the sigmoid, binarise, sum, label prediction
    and mask, list the regions of both and match them in Python.

    Returns:
        ``tpr, fpr, iou, Pd, Fa``, one value per threshold.
    """
    thresholds = list(thresholds)
    tp, fp, fn, tn, matched, targets, false, pixels = np.zeros((8, len(thresholds)))
    for logits, mask in pairs:
        for k, threshold in enumerate(thresholds):
            pred, truth = (sigmoid(logits) > threshold).astype(np.float32), half(mask).astype(np.float32)
            tp[k] += (pred * truth).sum()
            fp[k] += (pred * (1 - truth)).sum()
            fn[k] += ((1 - pred) * truth).sum()
            tn[k] += ((1 - pred) * (1 - truth)).sum()
            wanted, found = _regions(truth), _regions(pred)
            targets[k] += len(wanted)
            for target in wanted:
                for region in found:
                    if np.linalg.norm(region.mean(0) - target.mean(0)) < 3:
                        matched[k] += 1
                        found = [r for r in found if r is not region]
                        break
            false[k] += sum(len(region) for region in found)
            pixels[k] += mask.size
    with np.errstate(invalid='ignore'):  # NaN without a target
        rates = {'tpr': tp / (tp + fn), 'fpr': fp / (fp + tn), 'iou': tp / (tp + fp + fn)}
        rates |= {'Pd': matched / targets, 'Fa': false / pixels}
    return {name: values.tolist() for name, values in rates.items()}


def _regions(binary: np.ndarray) -> list[np.ndarray]:
    """(n, 2) row and column of the pixels of every component."""
    labels, count = ndimage.label(binary, np.ones((3, 3)))
    return [
        np.argwhere(labels[window] == k + 1) + [side.start for side in window]
        for k, window in enumerate(ndimage.find_objects(labels, count))
    ]


def ours(pairs: Iterable[Pair], curves: bool = True) -> dict[str, float]:
    """All numbers of ``native``, with or without curves."""
    evaluator = Evaluator('native', curves=curves)
    for k, (logits, mask) in enumerate(pairs):
        evaluator.update(logits, mask, str(k), from_logits=True)
    return evaluator.compute()['native']


def theirs(pairs: Iterable[Pair]) -> dict[str, float] | None:
    """IoU, nIoU, F1, Pd, Fa, hIoU and its errors by ``pyirstdmetrics``; None if it is absent."""
    try:
        import py_irstd_metrics as other
    except ImportError:
        return None
    pixel = other.CMMetrics()
    kind = {'with_dynamic': False, 'with_binary': True}
    pixel.add_handler('IoU', other.IoUHandler(**kind, sample_based=False))
    pixel.add_handler('nIoU', other.IoUHandler(**kind, sample_based=True))
    pixel.add_handler('F1', other.FmeasureHandler(**kind, sample_based=False, beta=1))
    judges = [
        pixel,
        other.ProbabilityDetectionAndFalseAlarmRate(),
        other.MatchingBasedMetrics(),
        other.HierarchicalIoUBasedErrorAnalysis(),
    ]
    for logits, mask in pairs:
        prob, truth = sigmoid(logits), half(mask)
        for judge in judges:
            judge.update(prob, truth)
    numbers = {name: float(value['binary']) for name, value in pixel.get().items()}
    detected = judges[1].get()
    numbers['Pd'] = float(detected['probability_detection'].item())
    numbers['Fa'] = float(detected['false_alarm'].item())
    return numbers | {'hIoU': float(judges[2].get()['hiou'].item())}


def benchmark(
    data: str = 'IRSTD-1K', images: int = 500, size: int = 512, slow_images: int = 20, threads: int = 1
) -> dict:
    """Measure and print.

    Args:
        data: A data set, see :func:`load_pairs`.
        images: Pairs that our own evaluation runs over.
        size: Their side in pixels.
        slow_images: The slow ones run over this many of them; times are compared per image.
        threads: Of OpenCV.

    Returns:
        ``ms_per_image``: milliseconds of processor time per image, by what was measured; ``speed_up_over``:
        the ratios; ``IoU``.
    """
    cv2.setNumThreads(threads)
    pairs = load_pairs(data, images, size)
    few = pairs[:slow_images]
    ours(few)  # warms up caches and the allocator
    numbers, full = _timed(ours, pairs)
    _, shared = _timed(lambda p: ours(p, curves=False), pairs)
    _, loop = _timed(per_threshold, few)
    why_not, package_time = 'is not installed (pip install --no-deps pyirstdmetrics)', 0.0
    try:
        package, package_time = _timed(theirs, few)
    except Exception as e:  # 1.0.2 does on images of few pixels without a target
        package, why_not = None, f'is left out, for it fails on these pairs: {in_brief(e)}'
    times = {'native': full, 'loop over thresholds': loop, 'native without curves': shared}
    ratios = {'loop over thresholds': loop / full}
    if package is None:
        print(f'pyirstdmetrics {why_not}')
    else:
        times['pyirstdmetrics'], ratios['pyirstdmetrics'] = package_time, package_time / shared
    print(f'{len(pairs)} pairs of {size} × {size}; milliseconds of processor time per image')
    rows = [
        [name, f'{ms:.2f}', f'{ratios[name]:.1f} ×' if name in ratios else ''] for name, ms in times.items()
    ]
    print(text_table(rows))
    return {
        'images': len(pairs),
        'size': size,
        'thresholds_of_the_loop': len(PD_FA_THRESHOLDS),
        'opencv_threads': threads,
        'ms_per_image': times,
        'speed_up_over': ratios,
        'IoU': numbers['IoU'],
    }


def _timed(function: Callable, pairs: list[Pair]) -> tuple[Any, float]:
    """Result, and milliseconds of processor time per image, which other programs do not lengthen."""
    start = time.process_time()
    result = function(pairs)
    return result, (time.process_time() - start) * 1e3 / len(pairs)
