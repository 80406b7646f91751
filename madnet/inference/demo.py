"""A page on which detectors are tried: what it does with files, and what it shows; the page itself is in
:mod:`~madnet.inference.demo_page`."""

import base64
import html
import io
import os
import re
import threading
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from madnet.datasets.scenes import synth_scene
from madnet.errors import UserError
from madnet.evaluation.calibration import PLAIN
from madnet.images import EXTENSIONS, VIDEO_EXTENSIONS, encode_png, image_size
from madnet.text import counted, score_text
from madnet.visualization.findings import first_findings, list_findings
from madnet.visualization.insets import InsetPainter
from madnet.visualization.marks import draw_findings, enlarge
from madnet.visualization.overlay import view_factor
from madnet.visualization.stretch import stretch

from .base_predictor import READ_AHEAD, BasePredictor
from .command import what_was_run
from .inputs import Frame, list_frames
from .outputs import PER_IMAGE, record, targets_json
from .prediction import Prediction

#: Endings of files that are taken; a ``.raw`` file needs a description beside it.
ENDINGS = (*(e for e in EXTENSIONS if e != '.raw'), *VIDEO_EXTENSIONS)
#: Rows of the table; the JSON has all targets.
_ROWS = 50
#: Example → height, width and number of frames of a synthetic scene; frames are windows that move by
#: :data:`_STEP` pixels, as if the camera turned.
EXAMPLES = {'cloud': (256, 256, 1), 'ground': (256, 320, 1), 'wide': (360, 640, 1), 'clip': (192, 256, 12)}
_STEP = 4


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask for at once.

    Attributes:
        megabytes: Size of a file.
        files: How many.
        frames: In all files together.
        pixels: Of a frame.
        seconds: For a prediction; what is done by then is shown.
    """

    megabytes: int = 32
    files: int = 16
    frames: int = 64
    pixels: int = 2048 * 2048
    seconds: float = 60


class Found(NamedTuple):
    """What comes of what a visitor brings.

    Attributes:
        predictions: One for each frame that could be read, at least one.
        about: For the record: the model as the page calls it, what was asked of it, which frames could not be
            read, and which were not reached in time.
        words: A line on what came of all frames.
    """

    predictions: list[Prediction]
    about: dict[str, Any]
    words: str


class Demo:
    """Predicts what visitors bring.

    Args:
        models: Name → what makes it, for each detector that is offered, as of
            :func:`~madnet.inference.command.predictor_maker`.
        limits: What is refused.
    """

    def __init__(self, models: Mapping[str, partial[BasePredictor]], limits: Limits | None = None):
        self.models = models
        self.limits = limits or Limits()
        self._made: dict[tuple, BasePredictor] = {}
        self._lock = threading.Lock()

    def predictor(
        self,
        model: str,
        measured: bool = False,
        budget: float | None = None,
        views: int = 1,
        scales: Sequence[float] = (1,),
    ) -> BasePredictor:
        """One of the detectors.

        Args:
            model: Its name.
            measured: Whether black and white are percentiles of the frames.
            budget: Allowed false-alarm pixels as a share of all pixels; see
                :class:`~madnet.inference.Predictor`.
            views, scales: For which the budget shall hold.

        Raises:
            UserError: It is not offered, or nothing is known of its false alarms with these views and scales.
        """
        if model not in self.models:
            raise UserError(f'model: found {model!r}, expected one of {", ".join(self.models)}.')
        make = self.models[model]
        takes = signature(make.func).parameters
        given: dict[str, Any] = {'value_range': 'auto' if measured else None, 'fa_budget': budget}
        if budget is not None and 'views' in takes:
            given |= {'views': views, 'scales': tuple(scales)}
        given = {name: value for name, value in given.items() if value is not None}
        if budget is not None and 'fa_budget' not in takes:
            raise UserError(
                f'{model}: nothing is known of its false alarms; only networks in PyTorch have budgets.'
            )
        key = model, *given.items()
        if key not in self._made:
            try:
                if budget is not None:  # the slider's threshold stands for that of a file
                    bare = {name: value for name, value in given.items() if name != 'fa_budget'}
                    given['threshold'] = make(**bare, calibrated=True).scaling.moved(0.5)
                self._made[key] = make(**given)
            except (
                UserError
            ) as e:  # which of this machine's folders lacks a calibration, is no visitor's matter
                raise UserError(re.sub(r'\S*[/\\](\S+\.calibration\.json)', r'\1', str(e))) from None
        return self._made[key]

    def find(
        self,
        files: Sequence[str | os.PathLike],
        model: str,
        views: int = 1,
        scales: Sequence[float] = (1,),
        measured: bool = False,
        budget: float | None = None,
    ) -> Found:
        """Predict the frames of files.

        Args:
            files: On this machine, as the page stored them.
            model, measured, budget: As in :meth:`predictor`.
            views, scales: As in :class:`~madnet.inference.Predictor`.

        Raises:
            UserError: Too much at once, a file of another kind, no frame that can be read, or views, scales
                and a budget for a detector that takes none.
        """
        frames = self._frames([Path(file) for file in files])
        with self._lock:
            predictor = self.predictor(model, measured, budget, views, scales)
            self._set_test_time(predictor, model, views, scales)
            predictor.loader.measure([(frame.path, frame.number) for frame in frames])
            return self._within_time(predictor, frames, _about(predictor, model, views, scales, budget))

    def example(
        self,
        name: str,
        model: str,
        views: int = 1,
        scales: Sequence[float] = (1,),
        budget: float | None = None,
    ) -> Found:
        """Predict synthetic scenes, one of :data:`EXAMPLES`."""
        height, width, count = EXAMPLES[name]
        scene = synth_scene(2, list(EXAMPLES).index(name), (height, width + _STEP * (count - 1))).image
        images = [np.ascontiguousarray(scene[:, _STEP * k : _STEP * k + width]) for k in range(count)]
        with self._lock:
            predictor = self.predictor(model, budget=budget, views=views, scales=scales)
            self._set_test_time(predictor, model, views, scales)
            found = list(predictor.stream(predictor.loader.as_taken(image) for image in images))
            about = {**_about(predictor, model, views, scales, budget), 'unreadable': []}
        names = [f'{name}, frame {k}' if count > 1 else name for k in range(count)]
        named = [replace(one, name=shown) for one, shown in zip(found, names, strict=True)]
        return Found(named, about, 'A synthetic scene.')

    def _frames(self, files: Sequence[Path]) -> list[Frame]:
        limits = self.limits
        if not files:
            raise UserError('no file yet: drop an image or a short clip, or take an example.')
        if len(files) > limits.files:
            raise UserError(f'found {len(files)} files, expected {limits.files} at most; a clip is one file.')
        frames = []
        for file in files:
            if file.suffix.lower() not in ENDINGS:
                raise UserError(
                    f'{file.name}: found the ending {file.suffix!r}, expected {", ".join(ENDINGS)}.'
                )
            if file.stat().st_size > limits.megabytes * 2**20:
                raise UserError(f'{file.name}: larger than the {limits.megabytes} MB that are taken.')
            frames += (pages := list_frames(file))
            if len(frames) > limits.frames:
                raise UserError(
                    f'{file.name}: {len(frames)} frames, more than the {limits.frames} that this page takes; '
                    'madnet predict has no such limit.'
                )
            for page in pages:
                try:
                    width, height = image_size(file, page.number)
                except UserError as e:
                    raise UserError(_without_folder(str(e), file)) from None
                if width * height > limits.pixels:
                    raise UserError(
                        f'{file.name}: {width} × {height} pixels, more than the {limits.pixels:,} that this '
                        'page takes; madnet predict has no such limit.'
                    )
        return frames

    @staticmethod
    def _set_test_time(predictor: BasePredictor, model: str, views: int, scales: Sequence[float]) -> None:
        network: Any = getattr(predictor, 'model', None)
        if hasattr(network, 'set_test_time'):
            network.set_test_time(views=views, scales=tuple(scales))
        elif views != 1 or tuple(scales) != (1,):
            raise UserError(
                f'{model}: takes one view and one scale; only networks in PyTorch average several.'
            )

    def _within_time(self, predictor: BasePredictor, frames: list[Frame], about: dict[str, Any]) -> Found:
        began = time.monotonic()
        found: list[Prediction] = []
        wrong: list[dict[str, str]] = []
        for frame, attempt in zip(frames, predictor.attempts(frames, READ_AHEAD), strict=False):
            if isinstance(attempt, Exception):
                told = {'file': str(frame), 'reason': str(attempt)}
                wrong.append({key: _without_folder(text, frame.path) for key, text in told.items()})
            else:
                found.append(replace(attempt, path=Path(frame.path.name)))
            seconds = time.monotonic() - began
            if seconds > self.limits.seconds:
                break
        if not found:
            raise UserError(wrong[0]['reason'])
        words = f'{counted(len(found), "frame")} in {seconds:.1f} s by {predictor.name}.'
        about = {**about, 'unreadable': wrong}
        left = frames[len(found) + len(wrong) :]
        if left:
            words += f' Stopped after {self.limits.seconds:g} s: {counted(len(left), "frame")} not reached.'
            about['not_done'] = [_without_folder(str(frame), frame.path) for frame in left]
        if wrong:
            words += f' {len(wrong)} could not be read: {wrong[0]["reason"]}'
        return Found(found, about, words)


def at_threshold(prediction: Prediction, threshold: float) -> Prediction:
    """A prediction with the threshold that the page's slider has, which is of scores before a calibration."""
    return replace(prediction, threshold=prediction.scaling.moved(threshold))


def _about(
    predictor: BasePredictor, model: str, views: int, scales: Sequence[float], budget: float | None
) -> dict[str, Any]:
    """What was run, as far as it is a visitor's matter: not from which of this machine's files."""
    asked = {'views': views, 'scales': scales, 'fa_budget': budget}
    return {**what_was_run(predictor, asked), 'detector': {'name': model}}


def _without_folder(text: str, file: Path) -> str:
    """A message without where on this machine a visitor's file lies."""
    return text.replace(f'{file.parent}{os.sep}', '')


def marked(prediction: Prediction) -> bytes:
    """PNG of a frame, enlarged, its targets outlined, marked and numbered as in :func:`targets_table`."""
    image, found = prediction.image, prediction.components
    assert image is not None  # detectors keep it
    findings = list_findings(None, found)
    factor = view_factor(image.shape[:2])
    picture = draw_findings(stretch(image), None, found, findings, factor)
    return encode_png(picture[..., ::-1])


def score_picture(prediction: Prediction) -> bytes:
    """PNG of a score map in false colours: black 0, yellow 1."""
    grey = np.round(prediction.score_map * 255).astype(np.uint8)
    grey = enlarge(grey, view_factor(grey.shape))
    return encode_png(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO))


def surface_picture(prediction: Prediction) -> bytes:
    """PNG of a score map as a surface."""
    from madnet.visualization.surface import draw_surfaces

    figure, buffer = draw_surfaces({'score': prediction.score_map}, width='single'), io.BytesIO()
    figure.savefig(buffer, format='png', dpi=220, facecolor='white')
    return buffer.getvalue()


def targets_table(prediction: Prediction) -> str:
    """HTML: a row for each of the largest targets, with insets of the frame and of its scores."""
    findings = list_findings(None, prediction.components)
    if not findings:
        highest = float(prediction.score_map.max())
        return (
            f'<p>No target: the highest score is {score_text(highest)}, '
            f'the threshold {_shown_threshold(prediction)}.</p>'
        )
    assert prediction.image is not None
    painter = InsetPainter(prediction.image, None, prediction.components, findings)
    rows = []
    for finding in first_findings(findings, _ROWS):
        assert finding.pred is not None  # without truth there are only predictions
        target = prediction.targets[finding.pred]
        pictures = (painter.image_crop(finding), painter.score_crop(prediction.score_map, finding))
        insets = ''.join(f'<td><img alt="" src="{_data(encode_png(p[..., ::-1]))}"></td>' for p in pictures)
        numbers = (
            f'{target.x:.1f}',
            f'{target.y:.1f}',
            target.area,
            f'{target.peak:.3f}',
            f'{target.rank:.1f}',
        )
        rows.append(
            f'<tr><td>{finding.number}</td>{insets}' + ''.join(f'<td>{n}</td>' for n in numbers) + '</tr>'
        )
    head = ''.join(
        f'<th>{word}</th>' for word in ('', 'frame', 'scores', 'x', 'y', 'pixels', 'highest score', 'rank')
    )
    more = len(findings) - _ROWS
    below = f'<p>{more} more are in the JSON.</p>' if more > 0 else ''
    name = html.escape(prediction.name)
    caption = f'{name}: {counted(len(findings), "target")} above {_shown_threshold(prediction)}'
    return f'<table class="targets"><caption>{caption}</caption><tr>{head}</tr>{"".join(rows)}</table>{below}'


def _shown_threshold(prediction: Prediction) -> str:
    """A budget calibrates scores, so that the threshold is another than the slider's."""
    return score_text(prediction.threshold) + (' (calibrated)' if prediction.scaling != PLAIN else '')


def report_json(predictions: Sequence[Prediction], about: Mapping[str, Any]) -> bytes:
    """The targets of all frames, as ``targets.json`` of ``madnet predict``.

    Args:
        predictions: At the threshold that the page has now.
        about: Of :class:`Found`.
    """
    about = {**about, 'threshold': predictions[0].threshold}
    return targets_json([record(prediction, prediction.name) for prediction in predictions], about)


def masks_file(predictions: Sequence[Prediction]) -> tuple[str, bytes]:
    """Name and content: the PNG of a mask, or a ZIP of those of several frames."""
    draw = PER_IMAGE['masks'][2]
    if len(predictions) == 1:
        return 'mask.png', draw(predictions[0])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:  # the PNGs are compressed already
        for number, prediction in enumerate(predictions):
            archive.writestr(f'{number:03d}.png', draw(prediction))
    return 'masks.zip', buffer.getvalue()


def picture_html(png: bytes, identity: str, words: str) -> str:
    """HTML of a picture in a frame that scrolls where it is enlarged."""
    return f'<div class="zoomed" id="{identity}"><img alt="{html.escape(words)}" src="{_data(png)}"></div>'


def link_html(name: str, content: bytes, words: str) -> str:
    """HTML of a link that saves a file; its content is in the page, and nothing is left on the server."""
    kind = {'.json': 'application/json', '.png': 'image/png', '.zip': 'application/zip'}[Path(name).suffix]
    return f'<a class="save" download="{name}" href="{_data(content, kind)}">{words}</a>'


def _data(content: bytes, kind: str = 'image/png') -> str:
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'
