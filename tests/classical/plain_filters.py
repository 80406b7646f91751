"""The filters once more: loops over pixels, straight from their formulas."""

import math

import numpy as np

EPS = 1e-6
OFFSETS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


class Plain:
    """An image whose outside is its nearest edge pixel, read cell by cell."""

    def __init__(self, image):
        self.image = np.asarray(image, np.float64)
        self.shape = self.image.shape

    def at(self, y, x):
        height, width = self.shape
        return self.image[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]

    def cell(self, y, x, d):
        r = d // 2
        return np.array([self.at(y + v, x + u) for v in range(-r, r + 1) for u in range(-r, r + 1)])

    def around(self, y, x, d):
        return [self.cell(y + d * v, x + d * u, d) for v, u in OFFSETS]

    def each(self, function):
        height, width = self.shape
        return np.array([[function(y, x) for x in range(width)] for y in range(height)])


def top(cell, k):
    return np.sort(cell)[-min(k, len(cell)) :].mean()


def inside_window(p, y, x, d, reduce):
    """Of the pixels of the window that lie in the image."""
    r = d // 2
    height, width = p.shape
    return reduce(
        p.image[v, u]
        for v in range(max(0, y - r), min(height, y + r + 1))
        for u in range(max(0, x - r), min(width, x + r + 1))
    )


def tophat(p, size=5):
    eroded = Plain(p.each(lambda y, x: inside_window(p, y, x, size, min)))
    return p.image - eroded.each(lambda y, x: inside_window(eroded, y, x, size, max))


def newtophat(p, outer=13, inner=9, body=13):
    height, width = p.shape

    def ring(y, x):
        o, i = outer // 2, inner // 2
        pixels = [
            p.image[y + v, x + u]
            for v in range(-o, o + 1)
            for u in range(-o, o + 1)
            if max(abs(v), abs(u)) > i and 0 <= y + v < height and 0 <= x + u < width
        ]
        return max(pixels, default=-np.inf)

    dilated = Plain(p.each(ring))
    closed = dilated.each(lambda y, x: inside_window(dilated, y, x, body, min))
    return p.image - np.minimum(p.image, closed)


def lines(p, statistic, length=15):
    r = length // 2

    def score(y, x):
        values = [
            statistic([p.at(y + k * v, x + k * u) for k in range(-r, r + 1)])
            for v, u in ((1, 0), (0, 1), (1, 1), (1, -1))
        ]
        return max(p.image[y, x] - max(values), 0)

    return p.each(score)


def convolve(p, kernel):
    r = kernel.shape[0] // 2

    def score(y, x):
        patch = [[p.at(y + v, x + u) for u in range(-r, r + 1)] for v in range(-r, r + 1)]
        return (np.array(patch) * kernel).sum()

    return p.each(score)


def gaussian(sigma):
    r = math.ceil(4 * sigma)
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    g = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return g / g.sum(), x**2 + y**2


def log(p):
    best = np.zeros(p.shape)
    for sigma in (1, math.sqrt(2), 2, 2 * math.sqrt(2)):
        g, square = gaussian(sigma)
        kernel = g * 2 * (1 - square / (2 * sigma**2))
        best = np.maximum(best, convolve(p, kernel - kernel.mean()))
    return best


def dog(p):
    return np.maximum(convolve(p, gaussian(1)[0]) - convolve(p, gaussian(2)[0]), 0)


def lcm(p):
    def score(y, x):
        return max(
            p.cell(y, x, d).max() ** 2 / (max(c.mean() for c in p.around(y, x, d)) + EPS)
            for d in (3, 5, 7, 9)
        )

    return p.each(score)


def rlcm(p):
    def score(y, x):
        best, centre, around = 0, p.cell(y, x, 9), p.around(y, x, 9)
        for k1, k2 in ((2, 4), (5, 9), (9, 16)):
            value = top(centre, k1)
            best = max(best, value**2 / (max(top(c, k2) for c in around) + EPS) - value)
        return best

    return p.each(score)


def mpcm(p, signed=False):
    def score(y, x):
        values = [0]
        for d in (3, 5, 7, 9):
            centre = p.cell(y, x, d).mean()
            difference = [centre - c.mean() for c in p.around(y, x, d)]
            if not signed:
                difference = [max(v, 0) for v in difference]
            values.append(min(difference[i] * difference[i + 4] for i in range(4)))
        return max(values)

    return p.each(score)


def hbmlcm(p, boost=9):
    boosted = Plain(p.each(lambda y, x: p.at(y, x) * max(p.at(y, x) - p.cell(y, x, boost).mean(), 0)))

    def score(y, x):
        values = []
        for d in (3, 5, 7, 9):
            inner, wide = boosted.cell(y, x, d), boosted.cell(y, x, 15)
            values.append(abs(inner.mean() - (wide.sum() - inner.sum()) / (225 - d * d)))
        return (max(values) - min(values)) ** 2

    return p.each(score)


CORE = np.outer([1, 2, 1], [1, 2, 1]) / 16


def tllcm(p, scales=(5, 7, 9)):
    core = convolve(p, CORE)

    def score(y, x):
        values = [0]
        for d in scales:
            values.append(core[y, x] ** 2 / (max(top(c, 9) for c in p.around(y, x, d)) + EPS) - core[y, x])
        return max(values)

    return p.each(score)


def wslcm(p):
    j = Plain(p.each(lambda y, x: np.median(p.cell(y, x, 3))))
    core = convolve(j, CORE)

    def score(y, x):
        values = [0]
        for d in (5, 7, 9, 11):
            centre, around = j.cell(y, x, d), j.around(y, x, d)
            contrast = max(0, core[y, x] ** 2 / (max(top(c, 9) for c in around) + EPS) - core[y, x])
            level, levels = top(centre, 9) - centre.mean(), [top(c, 9) - c.mean() for c in around]
            weight = level * max(0, level - max(levels)) / max(np.std(levels, ddof=1), 5)
            values.append(weight * contrast)
        return max(values)

    return p.each(score)


def admd(p):
    def score(y, x):
        return max(
            max(0, p.cell(y, x, d).mean() - max(c.mean() for c in p.around(y, x, d))) ** 2
            for d in (3, 5, 7, 9)
        )

    return p.each(score)


def _difference(p, y, x, d):
    inner, wide = p.cell(y, x, d), p.cell(y, x, 19)
    return inner.mean() - (wide.sum() - inner.sum()) / (361 - d * d)


def aagd(p, signed=False):
    def score(y, x):
        values = [_difference(p, y, x, d) for d in (3, 5, 7, 9)]
        return max((v if signed else max(v, 0)) ** 2 for v in values)

    return p.each(score)


def aadcdd(p):
    def score(y, x):
        values = []
        for d in (3, 5, 7, 9):
            r = d // 2
            steps = [
                sum(p.at(y + k * v, x + k * u) for k in range(r + 1))
                - (r + 1) * p.at(y + (r + 1) * v, x + (r + 1) * u)
                for v, u in ((-1, 0), (1, 0), (0, -1), (0, 1))
            ]
            values.append(max(_difference(p, y, x, d), 0) ** 2 * max(0, min(steps)))
        return max(values)

    return p.each(score)


#: Name of the detector → its plain form.
PLAIN = {
    'tophat': tophat,
    'newtophat': newtophat,
    'newtophat_9_5_9': lambda p: newtophat(p, 9, 5, 9),
    'maxmean': lambda p: lines(p, np.mean),
    'maxmean_5': lambda p: lines(p, np.mean, 5),
    'maxmedian': lambda p: lines(p, np.median),
    'maxmedian_5': lambda p: lines(p, np.median, 5),
    'log': log,
    'dog': dog,
    'lcm': lcm,
    'rlcm': rlcm,
    'mpcm': mpcm,
    'mpcm_signed': lambda p: mpcm(p, signed=True),
    'hbmlcm': hbmlcm,
    'hbmlcm_5': lambda p: hbmlcm(p, 5),
    'tllcm': tllcm,
    'tllcm_9': lambda p: tllcm(p, (9,)),
    'wslcm': wslcm,
    'admd': admd,
    'aagd': aagd,
    'aagd_signed': lambda p: aagd(p, signed=True),
    'aadcdd': aadcdd,
}
