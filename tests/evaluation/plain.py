"""The metrics written the slow way, as references: loops, sets of pixels, SciPy's labelling."""

import numpy as np
from scipy import ndimage

EIGHT = np.ones((3, 3))


def regions(binary):
    """Lists of (row, column) pixels of every 8-connected component, in raster order."""
    labels, n = ndimage.label(binary, EIGHT)
    return [list(zip(*np.nonzero(labels == i + 1), strict=True)) for i in range(n)]


def centre(region):
    return np.mean(region, axis=0)


def greedy(targets, found, radius=3.0):
    """Pairs (target, found), each target taking the first region near enough."""
    free, pairs = list(range(len(found))), []
    for t, target in enumerate(targets):
        for p in free:
            if np.linalg.norm(centre(target) - centre(found[p])) < radius:
                pairs.append((t, p))
                free.remove(p)
                break
    return pairs


def on_the_rim(targets, found, radius=3.0):
    """Whether a pair's distance is the radius up to rounding, so that its last digit decides."""
    distances = [np.linalg.norm(centre(t) - centre(f)) for t in targets for f in found]
    return any(abs(d - radius) < 1e-9 for d in distances)


def counts(prob, mask, threshold=0.5):
    """(intersection, union, targets, greedily matched, pixels of unmatched regions) of one image."""
    truth, pred = mask > 127, prob > threshold
    targets, found = regions(truth), regions(pred)
    pairs = greedy(targets, found)
    used = {p for _, p in pairs}
    false = sum(len(r) for p, r in enumerate(found) if p not in used)
    return (truth & pred).sum(), (truth | pred).sum(), len(targets), len(pairs), false


def scene(rng, size=(48, 56), blobs=4, shift=2, noise=0.05):
    """A made-up (probabilities, mask): round targets, predictions near them and elsewhere."""
    y, x = np.mgrid[: size[0], : size[1]]
    mask = np.zeros(size, np.uint8)
    logit = np.full(size, -4.0)
    for k in range(blobs):
        cy, cx, r = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(1, 4)
        if k % 4 != 3:
            mask[np.hypot(y - cy, x - cx) < r] = 255
        if k % 4 != 2:
            dy, dx = rng.uniform(-shift, shift, 2)
            logit += 8 * np.exp(-((np.hypot(y - cy - dy, x - cx - dx) / (r * rng.uniform(0.7, 1.4))) ** 2))
    logit += rng.normal(0, noise, size) * 10
    return (1 / (1 + np.exp(-logit))).astype(np.float32), mask
