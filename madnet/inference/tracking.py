"""Targets followed from frame to frame, each under a number of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from .prediction import Target

#: Standard deviations: of a centroid (pixels), of a target's speed when it is first seen (pixels a frame),
#: and of how much its speed changes (pixels a frame, in a frame).
_POSITION, _SPEED, _ACCELERATION = 0.7, 4.0, 0.4
#: Square of the Mahalanobis distance that 99.9 % of a track's detections stay within (χ², two degrees).
_GATE = 13.8
#: Frames without a detection after which a track ends.
_PATIENCE = 5

_MEASURED = np.eye(2, 4)


@dataclass
class _Track:
    """A constant-velocity Kalman filter on (x, y, x', y').

    Attributes:
        state: (4,) pixels and pixels a frame.
        covariance: (4, 4).
        frame: The frame that the state is of.
        seen: The frame of the last detection.
        hits: Detections so far.
        number: 1 or more once it has two detections; 0 before.
    """

    state: np.ndarray
    covariance: np.ndarray
    frame: int
    seen: int
    hits: int = 1
    number: int = 0

    def predict(self, frame: int) -> None:
        steps = frame - self.frame
        motion = np.eye(4) + steps * np.eye(4, k=2)
        gain = np.kron([[steps**4 / 4, steps**3 / 2], [steps**3 / 2, steps**2]], np.eye(2))
        self.state = motion @ self.state
        self.covariance = motion @ self.covariance @ motion.T + _ACCELERATION**2 * gain
        self.frame = frame

    def surprise(self, points: np.ndarray) -> tuple[np.ndarray, float]:
        """Squared Mahalanobis distances (n,) of points (n, 2), and the logarithm of the determinant of the
        covariance that they are taken in."""
        spread = self.covariance[:2, :2] + _POSITION**2 * np.eye(2)
        off = points - self.state[:2]
        return np.einsum('ni,ij,nj->n', off, np.linalg.inv(spread), off), float(np.linalg.slogdet(spread)[1])

    def update(self, point: np.ndarray) -> None:
        spread = self.covariance[:2, :2] + _POSITION**2 * np.eye(2)
        gain = self.covariance[:, :2] @ np.linalg.inv(spread)
        self.state = self.state + gain @ (point - self.state[:2])
        self.covariance = (np.eye(4) - gain @ _MEASURED) @ self.covariance
        self.hits += 1
        self.seen = self.frame


@dataclass
class Tracked:
    """The targets of one frame.

    Attributes:
        frame: Its number.
        targets: Those that were found in two frames at least, with the number of their track.
    """

    frame: int
    targets: list[tuple[int, Target]] = field(default_factory=list)


class Tracker:
    """Gives targets numbers that they keep, and drops those that live for one frame.

    Libraries for tracking match boxes by their overlap: a box of 3 pixels that moves by 3 has none. This one
    matches centroids: each track is a constant-velocity Kalman filter, and of all ways to give the detections
    that lie within the tracks' gates to them the most likely is taken. A track without a second detection in
    the next frame is no target; one with two is followed for five frames without any.

    A frame is given out when the next one is known, for until then nobody knows what lives for one frame.
    """

    def __init__(self):
        self._tracks: list[_Track] = []
        self._pending: tuple[int, Sequence[Target], list[_Track]] | None = None
        self._given = 0

    def add(self, frame: int, targets: Sequence[Target]) -> Iterator[Tracked]:
        """Take the targets of the next frame.

        Args:
            frame: Its number, larger than any before; frames may be missing.
            targets: What was found in it.

        Yields:
            The frame before it, if there is one.
        """
        before, self._pending = self._pending, (frame, targets, self._follow(frame, targets))
        if before is not None:
            yield self._settled(*before)

    def skip(self, frame: int) -> None:
        """Know of a next frame that cannot be read: it counts as one without detections, but the next frame
        that can be read may still confirm what was seen once."""
        self._tracks = [track for track in self._tracks if frame - track.seen <= _PATIENCE]

    def finish(self) -> Iterator[Tracked]:
        """The last frame."""
        if self._pending is not None:
            yield self._settled(*self._pending)
            self._pending = None

    def _follow(self, frame: int, targets: Sequence[Target]) -> list[_Track]:
        """The track of each target."""
        for track in self._tracks:
            track.predict(frame)
        points = np.array([target.centroid for target in targets]).reshape(-1, 2)
        owner: list[_Track | None] = [None] * len(targets)
        for track, target in self._matches(points):
            track.update(points[target])
            owner[target] = track
        for known in owner:
            if known is not None and not known.number:
                self._given += 1
                known.number = self._given
        spread = np.diag([_POSITION**2] * 2 + [_SPEED**2] * 2)
        tracks = [
            known or _Track(np.array([*point, 0, 0]), spread, frame, frame)
            for known, point in zip(owner, points, strict=True)
        ]
        followed = {id(track) for track in self._tracks}
        self._tracks = [
            track for track in self._tracks if frame - track.seen <= (_PATIENCE if track.number else 0)
        ] + [track for track in tracks if id(track) not in followed]
        return tracks

    def _matches(self, points: np.ndarray) -> list[tuple[_Track, int]]:
        if not self._tracks or not len(points):
            return []
        from scipy.optimize import linear_sum_assignment  # madnet.runtime does without, but for tracks

        cost = np.empty((len(self._tracks), len(points)))
        for row, track in zip(cost, self._tracks, strict=True):
            distance, volume = track.surprise(points)
            row[:] = np.where(distance < _GATE, distance + volume, np.inf)
        never = 1e6
        rows, columns = linear_sum_assignment(np.minimum(cost, never))
        return [
            (self._tracks[r], c)
            for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
            if cost[r, c] < never
        ]

    @staticmethod
    def _settled(frame: int, targets: Sequence[Target], tracks: list[_Track]) -> Tracked:
        kept = [(track.number, target) for track, target in zip(tracks, targets, strict=True) if track.number]
        return Tracked(frame, kept)
