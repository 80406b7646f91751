"""How fast evaluation is, beside a loop over thresholds and beside the package ``pyirstdmetrics``."""

from __future__ import annotations

import pickle
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from madnet.errors import UserError
from madnet.evaluation import Evaluator
from madnet.evaluation.arrays import sigmoid
from madnet.evaluation.curves import PD_FA_THRESHOLDS
from madnet.evaluation.rules import half

Pair = tuple[np.ndarray, np.ndarray]


def load_pairs(root: str, count: int, size: int) -> list[Pair]:
    """Logits and masks of real images, of two kinds in turn: a network-like one and a cluttered one.

    The network-like map is the mask, blurred and shifted by what a top-hat sees; the cluttered one is the
    top-hat itself, scaled to its maximum.

    Args:
        root: Folder of a data set with ``images/`` and ``masks/`` of equal file names.
        count: Pairs; images repeat where there are fewer.
        size: Both are resized to size × size.

    Raises:
        UserError: No pair found.
    """
    pairs: list[Pair] = []
    for path in sorted(Path(root, 'images').glob('*.png')):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(Path(root, 'masks', path.name)), cv2.IMREAD_GRAYSCALE)
        if image is None or mask is None:
            continue
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
        smooth = cv2.GaussianBlur(image, (3, 3), 0)
        tophat = cv2.morphologyEx(smooth, cv2.MORPH_TOPHAT, np.ones((9, 9), np.uint8)).astype(np.float32)
        tophat /= max(tophat.max(), 1)
        if len(pairs) % 2:
            prob = tophat.clip(1e-6, 1 - 1e-6)
            logits = np.log(prob / (1 - prob))
        else:
            logits = 12 * cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1) + 4 * tophat - 7
        pairs.append((logits, mask))
        if len(pairs) == count:
            return pairs
    if not pairs:
        raise UserError(
            f'{root}: no images/*.png with a mask of the same name; --data names a data set folder'
        )
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


def memory(
    pair: Pair, counts: Iterable[int] = (100, 1000, 10_000), side: int = 128
) -> list[dict[str, float]]:
    """State and peak memory after that many images (crops of ``side`` pixels, so that it ends)."""
    evaluator = Evaluator('native')
    logits, mask = pair[0][:side, :side], pair[1][:side, :side]
    rows = []
    for count in counts:
        for k in range(len(evaluator), count):
            evaluator.update(logits, mask, str(k), from_logits=True)
        # ru_maxrss is in KiB on Linux and in bytes on macOS.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == 'darwin' else 2**10
        )
        rows.append({'images': count, 'state_mib': len(pickle.dumps(evaluator)) / 2**20, 'peak_mib': peak})
    return rows


def benchmark(data: str, images: int = 500, size: int = 512, slow_images: int = 20, threads: int = 1) -> dict:
    """Measure and print.

    Args:
        data: Folder of a data set, see :func:`load_pairs`.
        images: Pairs that our own evaluation runs over.
        size: Their side in pixels.
        slow_images: The slow ones run over so many of them; times are compared per image.
        threads: Of OpenCV.

    Returns:
        Milliseconds per image, the ratios, and memory.
    """
    cv2.setNumThreads(threads)
    pairs = load_pairs(data, images, size)
    few = pairs[: min(slow_images, images)]
    ours(few)  # warms up caches and the allocator
    numbers, full = _timed(ours, pairs)
    _, shared = _timed(lambda p: ours(p, curves=False), pairs)
    _, loop = _timed(per_threshold, few)
    package, package_ms = _timed(theirs, few)
    report = {
        'images': len(pairs),
        'size': size,
        'thresholds_of_the_loop': len(PD_FA_THRESHOLDS),
        'opencv_threads': threads,
        'native_ms_per_image': full,
        'native_without_curves_ms_per_image': shared,
        'per_threshold_loop_ms_per_image': loop,
        'speed_up_over_loop': loop / full,
        'IoU': numbers['IoU'],
        'memory': memory(pairs[0]),
    }
    print(f'{len(pairs)} pairs of {size} × {size}; milliseconds of processor time per image')
    print(f'native, all metrics and curves             {full:9.2f}')
    print(
        f'loop over {len(PD_FA_THRESHOLDS)} thresholds                    {loop:9.2f}  {loop / full:6.1f} ×'
    )
    print(f'native, without curves                     {shared:9.2f}')
    if package is None:
        print(
            'pyirstdmetrics                              not installed (pip install --no-deps pyirstdmetrics)'
        )
    else:
        report |= {
            'pyirstdmetrics_ms_per_image': package_ms,
            'speed_up_over_pyirstdmetrics': package_ms / shared,
        }
        print(f'pyirstdmetrics, the metrics it shares      {package_ms:9.2f}  {package_ms / shared:6.1f} ×')
    for row in report['memory']:
        print(f'{row["images"]:6d} images: state {row["state_mib"]:.2f} MiB, peak {row["peak_mib"]:.0f} MiB')
    return report


def _timed(function: Callable, pairs: list[Pair]) -> tuple[object, float]:
    """Result, and milliseconds of processor time per image, which other programs do not lengthen."""
    start = time.process_time()
    result = function(pairs)
    return result, (time.process_time() - start) * 1e3 / len(pairs)
