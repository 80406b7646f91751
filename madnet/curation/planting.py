"""Targets of a known size, brightness and path on backgrounds that are made or given."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from madnet import __version__
from madnet.curation.writing import TOO_FEW, NewSet, fresh_folder
from madnet.datasets.layouts import read_folder
from madnet.datasets.locate import range_of_set
from madnet.datasets.scenes import (
    PATCH,
    VERSION,
    clutter_around,
    patch_window,
    render_target,
    synth_background,
)
from madnet.datasets.splits import cut_validation
from madnet.errors import UserError, expect_number
from madnet.files import json_text, names_below
from madnet.images import EXTENSIONS, encode_png, read_image
from madnet.images.notices import say_once
from madnet.progress import progress_bar
from madnet.text import counted, natural

#: The file of targets and tracks.
TRACKS = 'tracks.json'
#: Least distance of two targets' centres, pixels; places that are tried for a target.
APART, TRIES = 14.0, 60
#: Least peak, in steps of the image's depth: below, rounding changes the ratio.
FAINTEST = 3.0
#: Standard deviation of the noise that is drawn anew in every frame of a made sequence, grey levels, for a
#: ``noise`` of 1.
FRESH_NOISE = 1.0
#: Pixels by which the view of a made sequence may drift.
DRIFT = 8


@dataclass(frozen=True)
class Plan:
    """What is to be made; pairs are least and largest, or one value for both.

    Attributes:
        n: Images, or sequences.
        backgrounds: Folder of frames; None for synthetic scenes.
        sequence: Frames of a sequence; None for single images.
        size: Side of synthetic scenes, pixels.
        noise: Of synthetic scenes, 1 for those of :func:`~madnet.datasets.scenes.synth_scene`, as raw as an
            uncooled sensor gives them. Frames of public sets were averaged, resized and compressed: with the
            defaults for ``noise`` and ``softness`` synthetic scenes have 0.7 grey levels of fine texture and
            noise (median) as those have 0.4 to 1.0, instead of 2.7, and a spectral slope of 3.2 (2.7 to 3.4).
        softness: Of synthetic scenes, a blur beside that of the optics, standard deviation, pixels.
        scr: Mean signal over the mask over the standard deviation of the background in the square of
            :data:`~madnet.datasets.scenes.CLUTTER_RADIUS` pixels around; of a track: over its frames' median.
        psf: Standard deviation of the point spread, pixels.
        area: Pixels before the point spread; a target below 4 is a point.
        targets: In an image or sequence.
        speed: Pixels a frame.
        seed: Non-negative.
        test_share: For the test part; whole backgrounds and sequences.

    Raises:
        UserError: A value out of its range.
    """

    n: int
    backgrounds: str | None = None
    sequence: int | None = None
    size: int = 256
    noise: float = 0.25
    softness: float = 1.0
    scr: Sequence[float] = (5.0, 30.0)
    psf: float = 0.7
    area: Sequence[float] = (1.0, 40.0)
    targets: Sequence[int] = (1, 3)
    speed: Sequence[float] = (0.3, 2.0)
    seed: int = 0
    test_share: float = 0.2

    def __post_init__(self):
        limits = {'scr': (0.1, 1000), 'area': (0.1, 80), 'targets': (0, 50), 'speed': (0, 50)}
        for name, (low, high) in limits.items():
            values = getattr(self, name)
            if len(values) not in (1, 2) or not low <= values[0] <= values[-1] <= high:
                raise UserError(
                    f'--{name} {" ".join(map(str, values))}: expected one value, or the least and the '
                    f'largest, from {low:g} to {high:g}.'
                )
        single = {'n': (1, 10**6), 'size': (48, 8192), 'psf': (0.6, 4), 'noise': (0, 4)}
        single |= {'softness': (0, 4), 'seed': (0, 2**63), 'sequence': (2, 10**5)}
        for name, (low, high) in single.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(f'--{name} {value}: expected {low:g} to {high:g}.')
        expect_number(self.test_share, '--test-share', least=0, below=1)


@dataclass
class Planted:
    """A target in one frame: its mask's centroid and pixels, the ratio as it came out, the peak signal."""

    frame: str
    x: float
    y: float
    area: int
    scr: float
    peak: float


@dataclass
class Track:
    """One target through its frames."""

    shape: str
    requested_scr: float
    points: list[Planted] = field(default_factory=list)


@dataclass
class _Body:
    """A target before it has a place: what render_target takes, the path (frames, 2) of (y, x), the ratio."""

    shape: str
    area: float
    aspect: float
    angle: float
    scr: float
    path: np.ndarray


def make(out: str, **options) -> str:
    """Write the data set, with the truth in :data:`TRACKS`; returns what is in it, as text.

    Args:
        out: The new folder.
        options: Of the :class:`Plan`.

    Raises:
        UserError: An option out of its range, no frames among the backgrounds, or ``out`` is there already.
    """
    plan = Plan(**options)
    sources = _Backgrounds(plan)
    with fresh_folder(out) as folder:
        new = NewSet(folder)
        records, groups = [], {}
        skipped = 0
        for number in progress_bar(range(plan.n), total=plan.n, what='make', unit='item'):
            rng = np.random.default_rng([plan.seed, number])
            background, frames = sources.frames(number, rng)
            name = f'seq_{number:04d}/' if plan.sequence else f'{number:06d}'
            ids = [f'{name}frame_{k:04d}' for k in range(len(frames))] if plan.sequence else [name]
            tracks, images, masks = _plant(rng, frames, ids, plan)
            skipped += sum(not t.points for t in tracks)
            tracks = [t for t in tracks if t.points]
            for image_id, image, mask in zip(ids, images, masks, strict=True):
                new.add(image_id, encode_png(image), '.png', mask)
                groups[image_id] = background
            records.append({'frames': ids, 'background': background, 'tracks': [asdict(t) for t in tracks]})
        new.put(TRACKS, json_text({'schema': 1, 'kind': 'tracks', 'items': records}, 1).encode())
        how = _cut(new, groups, plan.test_share) if plan.test_share else ''
        made = {'by': 'madnet dataset synth', 'madnet': __version__, 'scenes': VERSION, 'plan': asdict(plan)}
        rule = 'target: pixels whose own signal, free of noise, is at least half of its peak'
        grey = range_of_set(Path(plan.backgrounds)) if plan.backgrounds else None
        new.finish(Path(out).resolve().name, grey, made=made, rule=rule)
    return _summary(out, new, records, skipped, plan, how)


def _summary(out: str, new: NewSet, records: list[dict], skipped: int, plan: Plan, how: str) -> str:
    points = [p for item in records for t in item['tracks'] for p in t['points']]
    lines = [f'{out}: {new.images:,} images, {len(points):,} targets, truth in {TRACKS}']
    if plan.sequence:
        lines[0] += f', {plan.n} sequences of {plan.sequence} frames'
    if points:
        scr, area = (np.quantile([p[key] for p in points], (0, 0.5, 1)) for key in ('scr', 'area'))
        words = ' / '.join(f'{v:.1f}' for v in scr), ' / '.join(f'{int(v)}' for v in area)
        lines.append('  SCR {}, area {} pixels (least, median, largest)'.format(*words))
    lines += [*new.lists_in_words(), *([f'  {how}'] if how else [])]
    if skipped:
        lines.append(
            f'  {counted(skipped, "target")} left out: no place where the ratio can be had without '
            'saturation, or with more than the rounding of the grey levels'
        )
    return '\n'.join(lines)


def _cut(new: NewSet, groups: dict[str, str], share: float) -> str:
    """Write lists of parts that share no background, where there are enough; returns what was done."""
    names = sorted(set(groups.values()))
    # one at least: images of a background are no test for those that were trained on it
    apart = set(cut_validation(names, share=max(share, 1 / len(names)))[1])
    test = [i for i in groups if groups[i] in apart]
    lists = {'trainval': [i for i in groups if groups[i] not in apart], 'test': test}
    if not all(lists.values()):
        return (
            TOO_FEW.replace('images', 'backgrounds') + f': {len(names)} for {counted(len(groups), "image")}'
        )
    new.add_lists('synth', lists)
    return (
        f'{len(test)} of {len(groups)} images became the test part, by a hash of the background, '
        f'{len(apart)} of {len(names)}, each kept whole'
    )


class _Backgrounds:
    """Frames to plant on: made, or from a folder."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.items: list[tuple[str, list[Path]]] = []
        if plan.backgrounds is None:
            return
        root = Path(plan.backgrounds)
        files = _frames_in(root)
        files.sort(key=lambda p: (natural(p.as_posix()), p))
        if not files:
            raise UserError(f'--backgrounds {root}: no folder with images ({", ".join(EXTENSIONS)}).')
        length = plan.sequence or 1
        if plan.sequence:
            folders = sorted({p.parent for p in files} - {root})
            longest, short = 0, 0
            for folder in folders:
                frames = [p for p in files if p.parent == folder]
                longest, short = max(longest, len(frames)), short + (len(frames) < length)
                for begin in range(0, len(frames) - length + 1, length):
                    name = frames[begin].relative_to(root).as_posix()
                    self.items.append((name, frames[begin : begin + length]))
            if folders and not self.items and all(p.parent != root for p in files):
                raise UserError(
                    f'--sequence {length}: the longest sequence in {root} has {longest} frames; ask for so '
                    'many at most, or name the folder in which frames lie, for backgrounds that stand still.'
                )
            if short:
                say_once(
                    f'{root}: {short} of {len(folders)} sequences are shorter than {length} frames and are '
                    'left out.'
                )
        # without sequences among them: every frame stands still
        self.items = self.items or [(p.relative_to(root).as_posix(), [p] * length) for p in files]

    def frames(self, number: int, rng: np.random.Generator) -> tuple[str, list[np.ndarray]]:
        """(name, grey frames as float32 or of 8 or 16 bit) of an item."""
        if self.items:
            name, paths = self.items[number % len(self.items)]
            still = _grey(paths[0])
            frames = [still if path == paths[0] else _grey(path) for path in paths]
            if odd := next((p for p, f in zip(paths, frames, strict=True) if f.dtype != still.dtype), None):
                raise UserError(f'{odd}: of another depth than {paths[0]}; expected one in a sequence.')
            return name, frames
        size = self.plan.size
        side = size + 2 * DRIFT if self.plan.sequence else size
        kind, _, wide = synth_background(rng, side, side, self.plan.noise, self.plan.softness)
        if not self.plan.sequence:
            return f'{kind} {number}', [wide]
        steps = np.cumsum(rng.normal(0, 0.4, (self.plan.sequence, 2)), axis=0)
        offsets = np.clip(np.rint(steps), -DRIFT, DRIFT).astype(int) + DRIFT
        frames = []
        for top, left in offsets:
            view = wide[top : top + size, left : left + size]
            noise = FRESH_NOISE * self.plan.noise * rng.standard_normal(view.shape, dtype=np.float32)
            frames.append(np.clip(view + noise, 0, 255))
        return f'{kind} {number}', frames


def _frames_in(root: Path) -> list[Path]:
    """The images in a folder and below it; of a data set its images only, not its masks."""
    known = read_folder(root)
    files = [root / name for name in names_below(root) if name.lower().endswith(EXTENSIONS)]
    if known and known.layout.images != known.layout.masks:  # else names alone tell them, and may not mean it
        frames = [pair.image for part in known.pairs.values() for pair in part.values()]
        rest = {*files} - {*frames} - {p.mask for part in known.pairs.values() for p in part.values()}
        if rest:
            say_once(
                f'{root}: a data set, of which {counted(len(frames), "image")} with masks are taken, and '
                f'{counted(len(rest), "picture")} elsewhere in it left out, such as {min(rest)}.'
            )
        return frames
    return files


def _grey(path: Path) -> np.ndarray:
    pixels = read_image(path)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UserError(f'{path}: pixels of type {pixels.dtype}; expected 8 or 16 bit unsigned.')
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels
    if min(grey.shape) < 48:
        raise UserError(f'{path}: {grey.shape[1]} × {grey.shape[0]} pixels; expected 48 × 48 or more.')
    return grey


def _plant(
    rng: np.random.Generator, frames: list[np.ndarray], ids: list[str], plan: Plan
) -> tuple[list[Track], list[np.ndarray], list[np.ndarray]]:
    """Tracks, images (uint8 or uint16) and masks of one item; a track without points found no place."""
    deep = frames[0].dtype == np.uint16
    full = float(2 ** max(int(max(f.max() for f in frames)).bit_length(), 8) - 1) if deep else 255.0
    clean = [frame.astype(np.float32) for frame in frames]
    signal = [np.zeros_like(frame) for frame in clean]
    masks = [np.zeros(frame.shape, bool) for frame in clean]
    paths: list[np.ndarray] = []
    tracks = []
    for _ in range(int(rng.integers(plan.targets[0], plan.targets[-1] + 1))):
        for _ in range(TRIES):
            body = _draw_body(rng, clean[0].shape, len(clean), plan)
            track = Track(body.shape, body.scr)
            if any(np.hypot(*(body.path - other).T).min() < APART for other in paths):
                continue
            patches = _patches(body, clean, plan.psf, full)
            if patches is None:
                continue
            paths.append(body.path)
            for frame, window, patch, mask in patches:
                signal[frame][window] += patch
                masks[frame][window] |= mask
                track.points.append(_as_planted(ids[frame], clean[frame], window, patch, mask, full))
            break
        tracks.append(track)
    kind = np.uint16 if deep else np.uint8
    images = [np.rint(np.clip(c + s, 0, full)).astype(kind) for c, s in zip(clean, signal, strict=True)]
    return tracks, images, masks


def _draw_body(rng: np.random.Generator, shape: tuple[int, int], frames: int, plan: Plan) -> _Body:
    area = float(np.exp(rng.uniform(*np.log([plan.area[0], plan.area[-1]]))))
    scr = float(np.exp(rng.uniform(*np.log([plan.scr[0], plan.scr[-1]]))))
    kind, aspect, angle = 'point', 1.0, 0.0
    if area >= 4:
        kind, aspect, angle = 'ellipse', rng.uniform(1, 2.5), rng.uniform(0, np.pi)
    else:  # what a point source covers at half of its peak behind this point spread
        area = 2 * np.pi * np.log(2) * plan.psf**2
    middle = np.array([rng.uniform(4, side - 4) for side in shape])
    heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(plan.speed[0], plan.speed[-1])
    bend = rng.normal(0, 0.02) * speed
    t = np.arange(frames)[:, None] - (frames - 1) / 2
    ahead = np.array([np.sin(heading), np.cos(heading)])
    path = middle + t * speed * ahead + 0.5 * bend * t**2 * ahead[::-1] * (1, -1)
    return _Body(kind, area, aspect, angle, scr, path)


def _patches(
    body: _Body, clean: list[np.ndarray], psf: float, full: float
) -> list[tuple[int, tuple[slice, slice], np.ndarray, np.ndarray]] | None:
    """(frame, window, signal there, mask there) where the target is in view; None where it cannot be had."""
    views = []
    for frame, (image, (y, x)) in enumerate(zip(clean, body.path, strict=True)):
        h, w = image.shape
        top, left = int(np.floor(y)) - PATCH // 2, int(np.floor(x)) - PATCH // 2
        if not (0 <= y < h and 0 <= x < w):
            continue
        centre = np.array([y - top, x - left])
        drawn = render_target(body.shape, body.area, body.aspect, body.angle, centre, psf)
        window, inside = patch_window(top, left, h, w)
        if (drawn[inside] >= 0.5).any():
            clutter = clutter_around(image, top + PATCH // 2, left + PATCH // 2)
            views.append((frame, window, drawn[inside], clutter))
    if not views:
        return None
    mean = np.median([patch[patch >= 0.5].mean() for *_, patch, _ in views])
    peak = body.scr * float(np.median([deviation for *_, deviation in views])) / float(mean)
    brightest = max(
        float((clean[f][window] + peak * patch)[patch >= 0.5].max()) for f, window, patch, _ in views
    )
    if peak < FAINTEST or brightest > full:
        return None
    return [(frame, window, peak * patch, patch >= 0.5) for frame, window, patch, _ in views]


def _as_planted(
    frame: str,
    clean: np.ndarray,
    window: tuple[slice, slice],
    patch: np.ndarray,
    mask: np.ndarray,
    full: float,
) -> Planted:
    """What came out, after rounding."""
    ys, xs = np.nonzero(mask)
    before = np.rint(clean[window])
    after = np.rint(np.clip(clean[window] + patch, 0, full))
    y, x = ys.mean() + window[0].start, xs.mean() + window[1].start
    deviation = clutter_around(clean, round(y), round(x))
    mean = float((after - before)[mask].mean())
    scr = mean / deviation if deviation else 0.0
    place = round(float(x), 3), round(float(y), 3)
    return Planted(frame, place[0], place[1], len(ys), round(scr, 3), round(float(patch.max()), 2))
