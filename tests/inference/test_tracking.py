"""Targets keep their numbers; what lives for one frame is dropped."""

import numpy as np
import pytest
from crossing_targets import synth_sequence
from scipy.optimize import linear_sum_assignment

from madnet.inference import Predictor
from madnet.inference.prediction import Target
from madnet.inference.tracking import Tracker

RNG = np.random.default_rng(2)


def target(x, y):
    return Target(
        float(x), float(y), 9, (int(x) - 1, int(y) - 1, int(x) + 2, int(y) + 2), 0.9, 0.7, 2.2, 0.8, 5.0, 11.0
    )


def tracked(frames):
    """What comes of frames {number: points}, as {number: [(id, (x, y))]} and dropped {number: n}."""
    tracker, found = Tracker(), []
    for number, points in frames.items():
        found += tracker.add(number, [target(*p) for p in points])
    found += tracker.finish()
    assert [f.frame for f in found] == list(frames)
    return (
        {f.frame: [(i, t.centroid) for i, t in f.targets] for f in found},
        {f.frame: len(frames[f.frame]) - len(f.targets) for f in found},
    )


def test_one_that_moves_keeps_its_number():
    found, dropped = tracked({n: [(20 + 2.5 * n, 40 - n)] for n in range(30)})
    assert [[i for i, _ in found[n]] for n in range(30)] == [[1]] * 30
    assert set(dropped.values()) == {0}


def test_what_lives_for_one_frame_is_dropped():
    frames = {n: [(20 + n, 40.0)] for n in range(12)}
    frames[4] = [*frames[4], (90, 10)]
    frames[11] = [*frames[11], (70, 70)]
    found, dropped = tracked(frames)
    assert all([i for i, _ in found[n]] == [1] for n in frames)
    assert dropped == {n: int(n in (4, 11)) for n in frames}


def test_it_keeps_its_number_through_frames_without_it():
    frames = {n: [] if 10 <= n < 14 else [(20 + 2 * n, 40)] for n in range(30)}
    found, _ = tracked(frames)
    assert {i for f in found.values() for i, _ in f} == {1}
    frames = {n: [] if 10 <= n < 20 else [(20 + 2 * n, 40)] for n in range(30)}
    found, _ = tracked(frames)  # too long: another one
    assert {i for f in found.values() for i, _ in f} == {1, 2}


def test_frames_may_be_missing():
    found, _ = tracked({n: [(20 + 3 * n, 40)] for n in (0, 1, 2, 5, 6, 9, 10)})
    assert {i for f in found.values() for i, _ in f} == {1}


def test_unreadable_frames_count_as_frames_without_it():
    for unreadable, number in ((1, 1), (5, 1), (6, 2), (34, 2)):
        tracker, found = Tracker(), []
        for frame in range(unreadable + 5):
            if 3 <= frame < 3 + unreadable:
                tracker.skip(frame)
            else:
                found += tracker.add(frame, [target(20 + 2 * frame, 60)])
        found += tracker.finish()
        assert [i for f in found for i, _ in f.targets] == [1] * 3 + [number] * 2
    tracker = Tracker()  # what was seen once may still be seen again
    assert not [*tracker.add(0, [target(20, 60)])]
    tracker.skip(1)
    assert [len(f.targets) for f in tracker.add(2, [target(24, 60)])] == [1]


@pytest.mark.parametrize('angle', [0.8, 1.0, 2.0, 3.1])
def test_crossing(angle):
    """Two that meet in one point at once go on under their own numbers."""
    speed = np.array([[2, 0.3], 1.7 * np.array([np.cos(angle), np.sin(angle)])])
    frames = {}
    for n in range(-20, 20):
        points = 60 + speed * n + RNG.normal(0, 0.3, (2, 2))
        apart = np.linalg.norm(speed[0] - speed[1]) * abs(n)
        frames[n + 20] = points[::-1] if apart >= 3 else points.mean(0, keepdims=True)  # one component
    found, _ = tracked(frames)
    first = dict(found[3])
    last = dict(found[36])
    assert first.keys() == last.keys() == {1, 2}
    for i in first:
        k = np.argmin(np.linalg.norm(60 + speed * -17 - first[i], axis=1))
        assert np.linalg.norm(60 + speed[k] * 16 - last[i]) < 3


def test_random_false_alarms_do_not_live():
    frames = {n: [*[(30 + 1.5 * n, 50)], *RNG.uniform(0, 256, (3, 2))] for n in range(100)}
    found, dropped = tracked(frames)
    kept = sum(len(f) for f in found.values())
    assert 100 <= kept < 130
    assert sum(dropped.values()) > 270


def test_sequences():
    frames = list(synth_sequence(0, 1, length=40, size=96, targets=2))
    again = list(synth_sequence(0, 1, length=40, size=96, targets=2))
    other = next(synth_sequence(0, 2, length=40, size=96, targets=2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(frames, again, strict=True))
    assert not np.array_equal(frames[0].image, other.image)
    # the two meet
    gaps = [np.hypot(*np.subtract(*f.positions.values())) for f in frames if len(f.positions) == 2]
    assert min(gaps) < 3
    for frame in frames:
        assert frame.image.shape == (96, 96)
        for x, y in frame.positions.values():
            assert frame.mask[round(y), round(x)] == 255


def hits(positions, targets):
    """Number of a true target → which of the targets lies nearest to it, within 3 pixels."""
    if not positions or not targets:
        return {}
    numbers, places = zip(*positions.items(), strict=True)
    gaps = np.array(places)[:, None] - np.array([t.centroid for t in targets])
    distance = np.linalg.norm(gaps, axis=2)
    pairs = zip(*linear_sum_assignment(np.minimum(distance, 3)), strict=True)
    return {numbers[row]: column for row, column in pairs if distance[row, column] < 3}


def figures(predictor, sequences, length):
    """Pd and false alarms a frame without and with tracks; how often a target changes its number, and how
    often into one that another target had."""
    counts, switches, taken = np.zeros((2, 2)), 0, 0
    frames = truths = 0
    for index in range(sequences):
        tracker, settled, positions, last, owner = Tracker(), [], {}, {}, {}
        for number, frame in enumerate(synth_sequence(1, index, length)):
            targets = predictor(frame.image).targets
            positions[number] = frame.positions
            found = len(hits(frame.positions, targets))
            counts[0] += found, len(targets) - found
            frames, truths = frames + 1, truths + len(frame.positions)
            settled += tracker.add(number, targets)
        for one in [*settled, *tracker.finish()]:
            found = hits(positions[one.frame], [target for _, target in one.targets])
            counts[1] += len(found), len(one.targets) - len(found)
            for truth, place in found.items():
                track = one.targets[place][0]
                switches += last.setdefault(truth, track) != track
                taken += last[truth] != track and owner.get(track, truth) != truth
                last[truth], owner[track] = track, truth
    return counts / (truths, frames), switches, taken


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'threshold'), [('tophat', 0.5), ('tophat', 0.4), ('madnet_nano', 0.5), ('madnet_nano', 0.01)]
)
def test_fewer_false_alarms(name, threshold):
    """The figures of docs/inference.md."""
    predictor = Predictor(name, threshold=threshold)
    ((pd, fa), (pd_tracks, fa_tracks)), switches, taken = figures(predictor, 10, 100)
    print(f'{name} {threshold}: Pd {pd:.3f}, Fa {fa:.3f}; with tracks {pd_tracks:.3f}, {fa_tracks:.3f};')
    print(f'{switches} changes of number, {taken} into that of another target')
    assert fa_tracks < fa
    assert pd_tracks > pd - 0.02
    assert taken <= 20
