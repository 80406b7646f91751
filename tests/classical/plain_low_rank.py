"""The low-rank methods once more, with full decompositions and every variable of their papers."""

import math

import numpy as np
from scipy import ndimage


def cut(image, size, step):
    """Patches (n, size, size), row position fastest, and their upper left corners."""

    def starts(length):
        return sorted({*range(0, length - size + 1, step), length - size})

    corners = [(y, x) for x in starts(image.shape[1]) for y in starts(image.shape[0])]
    return np.array([image[y : y + size, x : x + size] for y, x in corners]), corners


def join(patches, corners, shape, how):
    """An image from patches, pixel by pixel."""
    size, result = patches.shape[1], np.zeros(shape)
    for y in range(shape[0]):
        for x in range(shape[1]):
            values = [
                patch[y - top, x - left]
                for patch, (top, left) in zip(patches, corners, strict=True)
                if 0 <= y - top < size and 0 <= x - left < size
            ]
            result[y, x] = {'mean': np.mean, 'median': np.median, 'last': lambda v: v[-1]}[how](values)
    return result


def scaled(values):
    return (values - values.min()) / np.ptp(values)


def shrink(matrix, threshold):
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    return (u * np.maximum(s - threshold, 0)) @ v, int((s > threshold).sum())


def soft(values, threshold):
    return np.sign(values) * np.maximum(np.abs(values) - threshold, 0)


def ipi(image, size, step, iterations=1000):
    patches, corners = cut(image, size, step)
    data = scaled(patches.reshape(len(patches), -1).T)
    weight = 1 / math.sqrt(max(image.shape))
    s = np.linalg.svd(data, compute_uv=False)
    mu, mu_min = s[1], 0.005 * s[3]
    a0 = a1 = e0 = e1 = np.zeros_like(data)
    t0 = t1 = 1
    rank, same, card_ref = None, 0, 0
    for _ in range(iterations):
        b = (t0 - 1) / t1
        ya, ye = a1 + b * (a1 - a0), e1 + b * (e1 - e0)
        r = (ya + ye - data) / 2
        a, new_rank = shrink(ya - r, mu / 2)
        e = soft(ye - r, weight * mu / 2)
        z = a + e - ya - ye
        gradient = math.hypot(np.linalg.norm(2 * (ya - a) + z), np.linalg.norm(2 * (ye - e) + z))
        size_ae = math.hypot(np.linalg.norm(a), np.linalg.norm(e))
        card = int((e != 0).sum())
        if new_rank == rank:
            same += 1
        else:
            rank, same, card_ref = new_rank, 0, card
        a0, a1, e0, e1 = a1, a, e1, e
        if gradient / (2 * max(1, size_ae)) <= 1e-6 or (same > 10 and abs(card - card_ref) < 20):
            break
        if rank > 0.3 * min(data.shape):
            break
        t0, t1 = t1, (1 + math.sqrt(1 + 4 * t1**2)) / 2
        mu = max(0.9 * mu, mu_min)
    sparse = e1.T.reshape(patches.shape)
    return np.maximum(join(sparse, corners, image.shape, 'median'), 0)


def ipi_alm(image, size, step):
    patches, corners = cut(image, size, step)
    data = patches.reshape(len(patches), -1).T
    weight, rho = 1 / math.sqrt(max(image.shape)), 1 / (5 * data.std())
    t, y, count = np.zeros_like(data), np.zeros_like(data), None
    for _ in range(1000):
        b, _ = shrink(data + y / rho - t, 1 / rho)
        t = np.maximum(data + y / rho - b - weight / rho, 0)
        y = y + rho * (data - b - t)
        rho *= 1.5
        new = int((t != 0).sum())
        if np.linalg.norm(data - b - t) / np.linalg.norm(data) < 1e-7 or new == count:
            break
        count = new
    return join(t.T.reshape(patches.shape), corners, image.shape, 'mean')


def eigenvalues(image, first, second):
    def blur(values, sigma):
        kernel = np.array(
            [[math.exp(-(x * x + y * y) / (2 * sigma**2)) for x in (-1, 0, 1)] for y in (-1, 0, 1)]
        )
        return ndimage.correlate(values, kernel / kernel.sum(), mode='reflect')

    gy, gx = np.gradient(blur(image, first))
    tensor = np.stack([blur(gx * gx, second), blur(gx * gy, second), blur(gy * gy, second)], -1)
    values = np.linalg.eigvalsh(tensor[..., [0, 1, 1, 2]].reshape(*image.shape, 2, 2))
    return values[..., 1], values[..., 0]


def unfold(tensor, mode):
    return np.moveaxis(tensor, mode, 0).reshape(tensor.shape[mode], -1)


def fold(matrix, mode, shape):
    moved = [shape[mode], *(n for i, n in enumerate(shape) if i != mode)]
    return np.moveaxis(matrix.reshape(moved), 0, mode)


def ript(image, size, step):
    patches, corners = cut(image, size, step)
    f = patches.transpose(1, 2, 0)
    l1, l2 = eigenvalues(image, 1.2, 2)
    local = cut(np.exp(scaled(l1 - l2)), size, step)[0].transpose(1, 2, 0)
    lam, mu = 0.7 / math.sqrt(min(f.shape)), 5 * f.std(ddof=1)
    t, w, count = np.zeros_like(f), local, 0
    ys = [np.zeros_like(f) for _ in range(3)]
    for _ in range(500):
        bs = [fold(shrink(unfold(f + mu * ys[i] - t, i), mu)[0], i, f.shape) for i in range(3)]
        t = np.maximum(sum(f + mu * y - b for y, b in zip(ys, bs, strict=True)) / 3 - w * mu * lam / 3, 0)
        w = local / (t + 0.01)
        ys = [y + (f - b - t) / mu for y, b in zip(ys, bs, strict=True)]
        mu /= 1.5
        new = int((t != 0).sum())
        if np.linalg.norm(f - sum(bs) / 3 - t) / np.linalg.norm(f) < 1e-7 or new == count:
            break
        count = new
    return join(t.transpose(2, 0, 1), corners, image.shape, 'mean')


def pstnn(image, size, step):
    patches, corners = cut(image, size, step)
    f = patches.transpose(1, 2, 0)
    n = f.shape[2]
    l1, l2 = eigenvalues(image, 2, 9)
    with np.errstate(invalid='ignore'):
        corner = np.nan_to_num(l1 * l2 / (l1 + l2))
    prior = cut(scaled(corner * l1), size, step)[0].transpose(1, 2, 0)
    lam, mu = 0.7 / math.sqrt(size * n), 2e-3
    s = np.linalg.svd(f.reshape((n, -1), order='F'), compute_uv=False)
    keep = max(1, int((s >= 0.1 * s[0]).sum()))
    y, sparse, w, count = np.zeros_like(f), np.zeros_like(f), np.ones_like(f), 0
    for _ in range(500):
        spectrum = np.fft.fft(f - sparse - y / mu, axis=2)
        for k in range(n):
            u, s, v = np.linalg.svd(spectrum[:, :, k], full_matrices=False)
            s[keep:] = np.maximum(s[keep:] - 1 / mu, 0)
            spectrum[:, :, k] = (u * s) @ v
        low = np.fft.ifft(spectrum, axis=2).real
        sparse = np.maximum(f - low - y / mu - w * lam / mu, 0)
        with np.errstate(divide='ignore'):
            w = keep / (sparse + 0.01) / prior
        y = y + mu * (low + sparse - f)
        mu *= 1.05
        new = int((sparse > 0).sum())
        if np.linalg.norm(low + sparse - f) / np.linalg.norm(f) < 1e-3 or (new == count and new > 0):
            break
        count = new
    return join(sparse.transpose(2, 0, 1), corners, image.shape, 'mean')


def nram(image, size, step):
    patches, corners = cut(image, size, step)
    d = scaled(patches.reshape(len(patches), -1).T)
    k, gamma = min(d.shape), 0.002
    lam, mu, beta, c = 1 / math.sqrt(k), 3 * math.sqrt(max(d.shape)), 3 / math.sqrt(k), math.sqrt(k) / 2.5
    s, e, y, sig = np.zeros_like(d), np.zeros_like(d), np.zeros_like(d), np.zeros(k)
    for _ in range(1000):
        u, values, v = np.linalg.svd(d - s - e - y / mu, full_matrices=False)
        for _ in range(100):
            new = np.maximum(values - (1 + gamma) * gamma / (gamma + sig) ** 2 / mu, 0)
            change, sig = ((new - sig) ** 2).sum(), new
            if change < 1e-6:
                break
        low = (u * sig) @ v
        q = d - low - e - y / mu
        s = np.maximum(q - lam * c / (np.abs(q) + 0.04) / mu, 0)
        e = d - s - low - y / mu
        norms = np.linalg.norm(e, axis=0)
        e = e * np.maximum(norms - beta / mu, 0) / norms
        y = y + mu * (low + e + s - d)
        mu *= 1.1
        if np.linalg.norm(d - low - e - s) / np.linalg.norm(d) < 1e-7:
            break
    return join(s.T.reshape(patches.shape), corners, image.shape, 'mean')


#: Name of the detector → its plain form, given an image, the side of a patch and the step.
PLAIN = {'ipi': ipi, 'ipialm': ipi_alm, 'ript': ript, 'pstnn': pstnn, 'nram': nram}
