"""What a detector's scores mean: measured on validation images, kept beside the weights, and put to use."""

import os
from collections.abc import Iterable
from decimal import Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import madnet
from madnet.datasets.seen import CHOSEN, images_in, look_for_seen
from madnet.errors import UserError, expect_number
from madnet.evaluation.arrays import sigmoid
from madnet.evaluation.calibration import (
    NEAR,
    PlattScaling,
    expected_calibration_error,
    fit_scaling,
    reliability,
)
from madnet.evaluation.components import find_components, grown
from madnet.evaluation.matching import match_components
from madnet.evaluation.ranking import cut_for_alarms, cut_for_budget, ranked_curve, separation
from madnet.evaluation.targets import describe_components
from madnet.images.notices import say_once
from madnet.records import Calibration, CalibrationErrors, DatasetInfo, ExportInfo, list_registered
from madnet.records.pretrained_index import FOLDER
from madnet.text import counted

from .inputs import Frame, list_frames

if TYPE_CHECKING:
    from .base_predictor import BasePredictor

#: With which logits are read off scores: at a temperature of 1 the sigmoid has rounded those above 16.6 to 1.
READING = PlattScaling(8.0)
#: Ranks that are printed: who gives one to ``--min-rank`` gets what was said of it.
_SEVEN = Context(prec=7, Emin=-300)
SUFFIX = '.calibration.json'


class Measured:
    """The logits near targets and the detections of some images.

    Args:
        scaling: Of the scores that come.
    """

    def __init__(self, scaling: PlattScaling):
        self.scaling = scaling
        self.pixels = self.targets = 0
        self._logits: list[np.ndarray] = []
        self._truth: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def add(self, scores: np.ndarray, truth: np.ndarray, image: np.ndarray) -> None:
        """Take in one image.

        Args:
            scores: (H, W) probabilities.
            truth: (H, W) bool.
            image: (H, W, C) grey values.
        """
        near = grown(truth, NEAR)
        self._logits.append(self.scaling.logits_of(scores[near]))
        self._truth.append(truth[near])
        targets, found = find_components(truth), find_components(scores > 0.5)
        rows = describe_components(scores, found, image, self.scaling)
        rows['matched'][match_components(targets, found).pairs[:, 1]] = 1
        self._rows.append(rows)
        self.pixels += truth.size
        self.targets += len(targets)

    def result(
        self,
        detector: dict[str, Any],
        sets: list[DatasetInfo],
        scaling: PlattScaling | None = None,
    ) -> Calibration:
        """What the images say.

        Args:
            detector: Its name and origin.
            sets: Which images these were.
            scaling: To measure with; None to look for the one that suits the images.

        Raises:
            UserError: There is no target in them, or nothing was detected.
        """
        if not self.targets:
            raise UserError('calibration: found no target in these images, which a calibration needs.')
        logits, truth, rows = map(np.concatenate, (self._logits, self._truth, self._rows))
        if not len(rows):
            raise UserError(
                f'calibration: found no detection in {counted(len(self._rows), "image")} with '
                f'{counted(self.targets, "target")}, expected some to measure; look at what '
                'it finds (madnet predict), with --value-range where a sensor uses a part of its scale only.'
            )
        scaling = fit_scaling(logits, truth) if scaling is None else scaling
        hits = rows['matched'] > 0
        curve = ranked_curve(rows['rank'], rows['area'], hits, self.targets, self.pixels)
        return Calibration(
            detector=detector,
            **scaling._asdict(),
            pixels=_errors(logits, truth, scaling),
            detections=_errors(rows['logit'], hits, scaling),
            ranked={name: values[1:].tolist() for name, values in curve.items()},
            separation={key: separation(rows[key], hits) for key in ('rank', 'logit', 'area')},
            sets=sets,
            versions={'madnet': madnet.__version__},
        )


def _errors(logits: np.ndarray, truth: np.ndarray, scaling: PlattScaling) -> CalibrationErrors:
    before, after = (reliability(sigmoid(given), truth) for given in (logits, scaling.scaled(logits)))
    ece = expected_calibration_error
    return CalibrationErrors(len(logits), ece(before), ece(after), before, after)


class NotCalibrated(UserError):
    """Nobody has measured these weights yet."""


def calibration_file(model: object, checkpoint: str | os.PathLike | None) -> Path:
    """Where one's own calibration of weights is kept: beside them, under their name; of shipped weights and
    of training-free methods in the working folder; of a folder of
    :func:`~madnet.inference.saving.save_pretrained` in it.

    Args:
        model: A shipped name, a training-free method's, or a config.
        checkpoint: The file or the shipped name of a config's weights.
    """
    name = str(checkpoint or model)
    if checkpoint is None and name not in list_registered() and Path(name).is_dir():
        return Path(name, f'model{SUFFIX}')
    return Path(name).with_suffix(SUFFIX) if Path(name).suffix else Path(f'{name}{SUFFIX}')


def _shipped(name: str) -> Path | None:
    """The file of shipped weights of that name."""
    weights = FOLDER / f'{name}.safetensors'
    shipped = Path(name).name == name and not os.path.lexists(name) and weights.is_file()
    return weights if shipped else None


def find_calibration(
    model: object, checkpoint: str | os.PathLike | None, sha256: str | None = None
) -> Calibration:
    """What was measured of these weights, of shipped ones by a user or else before they shipped; one line
    says where that was on images that they were trained on.

    Args:
        model, checkpoint: As of :func:`calibration_file`.
        sha256: Of the weights, or of those that an exported file was made from; None where nobody knows yet.

    Raises:
        NotCalibrated: Nothing.
        UserError: The file is damaged, or it is of other weights.
    """
    name = str(checkpoint or model)
    path, weights = calibration_file(model, checkpoint), _shipped(name)
    if weights is not None:
        if path.is_file():
            say_once(f'{path}: taken in place of the calibration that {name} ships with.')
        else:
            path = weights.with_name(path.name)
    if not path.is_file():
        raise NotCalibrated(
            f'{path}: no such file: nothing is known yet of what these scores mean; madnet calibrate '
            'measures it on validation images.'
        )
    found = Calibration.read(path)
    of = found.detector.get('sha256')
    if of and sha256 and of != sha256:
        raise UserError(
            f'{path}: was measured on other weights than those of {Path(name).name}, which have changed '
            'since; run madnet calibrate again, or remove it.'
        )
    if seen := sum(one.trained_on or 0 for one in found.sets):
        images = sum(one.images or 0 for one in found.sets)
        say_once(
            f'warning: {path.name}: the network was trained on {seen} of the {images} images that this was '
            f'measured on: {CHOSEN}.'
        )
    return found


def rank_for_budget(
    known: Calibration | ExportInfo, budget: float, file: object = 'the calibration'
) -> float:
    """The least rank with which the validation images kept to ``Fa <= budget``.

    Args:
        known: Of the weights, or what their exported file says.
        budget: False-alarm pixels over all pixels.
        file: The file that says so, for messages.

    Raises:
        UserError: The budget is no share, or no detection was left.
    """
    if isinstance(known, ExportInfo):
        return known.rank_for_budget(budget)
    if not 0 < expect_number(budget, 'fa_budget') <= 1:
        raise UserError(f'fa_budget: found {budget:g}, expected false pixels over all pixels, such as 1e-5.')
    curve = {
        name: np.array([first, *known.ranked[name]], float)  # None becomes NaN
        for name, first in (('threshold', np.inf), ('Pd', 0.0), ('Fa', 0.0))
    }
    least = cut_for_budget(curve, budget)
    if not np.isfinite(least):
        raise UserError(
            f'fa_budget: by {file}, no detection on the validation images keeps to Fa <= {budget:g}; allow '
            'more, or run madnet calibrate again.'
        )
    return least


def rank_for_alarms(predictor: 'BasePredictor', background: str | os.PathLike, per_frame: float) -> float:
    """The rank from which detections on frames without targets come no more often than ``per_frame``, printed
    and returned in the same seven digits.

    What ``'auto'`` means is measured before, on the images that the rank is for.

    Raises:
        UserError: A negative number, or no frame.
    """
    if not 0 <= per_frame < np.inf:
        raise UserError(f'--false-alarms: found {per_frame:g}, expected 0 or more in a frame.')
    frames = list_frames(background)
    if predictor.trained:
        images = images_in(dict.fromkeys(f.path for f in frames))
        look_for_seen(f'--background {background}', [images], predictor.trained, CHOSEN)
    ranks = [target.rank for prediction in predictor.stream(frames) for target in prediction.targets]
    cut = cut_for_alarms(np.array(ranks), len(frames), per_frame)
    if cut == np.inf:
        raise UserError(
            f'--false-alarms {per_frame:g}: more detections than that on {background} stand out of a '
            'surrounding without any noise, so no rank keeps them out (hot pixels in black?). Allow more, or '
            'take such frames away.'
        )
    least = float(_SEVEN.next_plus(Decimal(cut))) if np.isfinite(cut) else 0.0
    print(
        f'{background}: {counted(len(ranks), "detection")} on {counted(len(frames), "frame")} without '
        'targets; ' + (f'those of a rank of {least:.7g} or more are kept' if least else 'all are kept')
    )
    return least


def measure(
    predictor: 'BasePredictor', samples: Iterable[tuple[Frame, np.ndarray]], scaling: PlattScaling
) -> Measured:
    """Show a detector, whose scores have this scaling, images in files and masks (H, W) bool."""
    measured = Measured(scaling)
    for image, truth in samples:
        prediction = predictor(image)
        assert prediction.image is not None  # detectors keep it
        measured.add(prediction.score_map, truth, prediction.image)
    return measured
