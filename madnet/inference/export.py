"""From a trained network to one file that runs elsewhere, compared with the network before it is written."""

from __future__ import annotations

import copy
import io
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from mmseg.datasets.transforms import PackSegInputs
from torch import Tensor, nn

import madnet
from madnet.datasets.image_pipeline import with_range
from madnet.datasets.scenes import synth_scene
from madnet.datasets.transforms import PackSIRSTInputs, PublishedTestResize
from madnet.engine.cli import parse_options
from madnet.errors import UserError, in_brief
from madnet.evaluation.ranking import BUDGETS
from madnet.files import expect_new, write_whole
from madnet.images.notices import say_once
from madnet.models import IRSTDSegmentor
from madnet.models.deploy import fold
from madnet.models.input_check import MIN_SIZE
from madnet.ops.selective_scan.onnx_form import OPSET, inline_scans, register_symbolic
from madnet.pretrained.network_file import network_bytes, say_modules
from madnet.records import Averaging, Calibration, ExportInfo, get_pretrained, list_registered, text_table
from madnet.records.export_info import KEY
from madnet.requirements import what_is_wrong

from .base_predictor import BasePredictor
from .calibration import (
    NotCalibrated,
    calibration_file,
    find_calibration,
    rank_for_budget,
)
from .detector import LoadedDetector, load_exported
from .inputs import Source, iterate
from .onnx_predictor import OnnxPredictor
from .predictor import Predictor

FORMATS = {'onnx': '.onnx', 'folded': '.safetensors', 'torch': '.safetensors'}
#: Height × width of the frames that an export is compared on, as far as the network takes them.
SIZES = ((256, 256), (131, 200), (321, 418))
#: Largest difference of scores that an export may show: in single and in half precision.
TOLERANCE = {'float32': 1e-4, 'float16': 5e-2}
#: Largest difference of scores between a frame in a batch and the same alone, both by the exported file: what
#: another order of sums makes of it.
MIXING = {'float32': 1e-4, 'float16': 1e-3}
# Height × width that a trace follows. Halved and rounded up again and again they stay odd, and MAD-Net's
# deepest map has more than one window: so the trace takes every way around, and none that holds for whole
# multiples alone. Of a network that fills every image up to one size, it fills up too.
_TRACED = (353, 417)
# Steps behind the loader that an ONNX file's predictor does as well. Of others no comparison tells: what a
# step changes may not be in the frames compared. Derived ones may do more.
_IN_ONNX = (PublishedTestResize, PackSIRSTInputs, PackSegInputs)
# What half precision leaves alone: sums over whole sequences and what decides their decay.
_IN_SINGLE_PRECISION = ('Scan', 'Softplus', 'Exp', 'LayerNormalization')
# Half precision ends at 65504; other frames may bring larger numbers than the one that is looked at.
_LARGE = 65504 / 8


@dataclass(frozen=True)
class Difference:
    """How an exported network differs from its origin on one frame.

    Attributes:
        height, width: Of the frame, pixels.
        score: Largest absolute difference of a score.
        targets: What the origin finds.
        differing: Pixels that one of the two calls target and the other does not: their scores lie no further
            than ``score`` from the threshold.
    """

    height: int
    width: int
    score: float
    targets: int
    differing: int


def export_file(
    model: str,
    checkpoint: str | None = None,
    out: str | os.PathLike | None = None,
    format: str = 'onnx',
    half: bool = False,
    threshold: float | None = None,
    licence: str | None = None,
    frames: Sequence[str | os.PathLike] = (),
    force: bool = False,
    dataset: str | None = None,
    options: list[str] | None = None,
    trust_checkpoint: bool = False,
    value_range: tuple[float, float] | None = None,
) -> Path:
    """Export a network and print what came of it: ``madnet export``.

    Args:
        model, checkpoint, threshold, dataset, trust_checkpoint, value_range: As in
            :class:`~madnet.inference.Predictor`.
        out: The file to write; None for the network's name in the working folder.
        format, half, licence, frames: As in :func:`export_network`.
        force: Whether to replace a file that is there.
        options: ``KEY=VALUE`` pairs that override the config.

    Returns:
        The file.

    Raises:
        UserError: Wrong input, a file that is there already, or what :func:`export_network` refuses.
    """
    predictor = Predictor(
        model,
        checkpoint,
        device='cpu',
        threshold=threshold,
        options=parse_options(options),
        dataset=dataset,
        trust_checkpoint=trust_checkpoint,
        value_range=value_range,
    )
    out = Path(f'{predictor.name}{FORMATS[format]}' if out is None else out)
    if out.suffix.lower() != FORMATS[format]:
        raise UserError(f'--out {out}: found the ending {out.suffix!r}, expected {FORMATS[format]}.')
    expect_new(out, force=force)
    differences = export_network(predictor, out, format, half, licence, frames)
    print(report(differences))
    print(f'written: {out} ({out.stat().st_size / 2**20:.1f} MiB)')
    return out


def export_network(
    predictor: Predictor,
    out: str | os.PathLike,
    format: str = 'onnx',
    half: bool = False,
    licence: str | None = None,
    frames: Sequence[str | os.PathLike] = (),
) -> list[Difference]:
    """Write a network in another form.

    Args:
        predictor: The network with its weights.
        out: The file to write.
        format: ``'onnx'``, for :class:`~madnet.inference.OnnxPredictor` and other runtimes; ``'folded'``, for
            :class:`~madnet.inference.Predictor`, every block and BatchNorm folded into plain convolutions;
            ``'torch'``, the same as it was trained. The last two are safetensors files that hold their
            config.
        half: Weights, and with ``'onnx'`` the computing, in half precision.
        licence: Of the weights, for the file's metadata; None for what :func:`licence_of` says.
        frames: Images to compare on; none for synthetic scenes of :data:`SIZES`.

    Returns:
        How the file differs from the network, on each frame.

    Raises:
        UserError: The network, or a step of its pipeline, cannot be exported; a package is missing; the
            result differs from the network by more than :data:`TOLERANCE`; or frames of one batch change
            each other's scores in an ONNX file by more than :data:`MIXING`. Nothing is written then.
    """
    detector = predictor.detector
    info = _describe(detector, predictor.threshold, half, licence or licence_of(predictor))
    info.trained = [part.as_plain() for part in predictor.trained]
    if detector.info is not None:
        was = detector.info
        info.temperature, info.bias, info.budgets = was.temperature, was.bias, was.budgets
    if not isinstance(predictor.made_from[0], LoadedDetector):
        with suppress(NotCalibrated):
            calibration = find_calibration(*predictor.made_from, predictor.origin.get('sha256'))
            measured = Averaging.of(calibration)
            if measured == Averaging.of(getattr(detector.model, 'test_cfg', None)):
                info.temperature, info.bias = calibration.temperature, calibration.bias
                info.budgets = _budgets(calibration)
            else:
                file = calibration_file(*predictor.made_from)
                say_once(
                    f'{file}: was measured with {measured}, which an export does not do, and is left out of '
                    f'{out}; run madnet calibrate with {Averaging()} for one that goes into it.'
                )
    if format == 'onnx':
        _refuse_steps(detector)
        content = _onnx(detector, info)
        exported: BasePredictor = OnnxPredictor(content, threads=torch.get_num_threads())
    else:
        description = detector.description or {}
        pipeline = with_range(description['pipeline'], detector.pipeline.value_range)
        description = {**description, 'pipeline': pipeline}
        content = network_bytes(detector.model, description, info, folded=format == 'folded')
        exported = Predictor(load_exported(out, content=content))
    differences = compare(predictor, exported, frames)
    limit = TOLERANCE[info.dtype]
    if format == 'onnx':
        _refuse_mixing(exported, _scenes(predictor, SIZES[1:2] * 2), MIXING[info.dtype])
    worst = max(differences, key=lambda d: math.inf if math.isnan(d.score) else d.score)
    if not worst.score <= limit:
        raise UserError(
            f'{detector.name}: the {format} form differs from the network by {worst.score:.2g} in a score at '
            f'{worst.height} × {worst.width} pixels, more than {limit:g}; nothing written.'
        )
    write_whole(out, content)
    if format != 'onnx':
        say_modules(description, out)
    return differences


def licence_of(predictor: Predictor) -> str:
    """What is known of the licence of a network's weights: what the registry says, or the exported file."""
    model, checkpoint = predictor.made_from
    if checkpoint is None and str(model) in list_registered():
        return get_pretrained(str(model)).licence
    info = predictor.detector.info
    return 'not stated' if info is None else info.licence


def _budgets(calibration: Calibration) -> dict[str, float]:
    found = {}
    for budget in BUDGETS:
        with suppress(UserError):  # no detection keeps to it
            found[f'{budget:g}'] = rank_for_budget(calibration, budget)
    return found


def compare(
    predictor: BasePredictor, other: BasePredictor, frames: Sequence[Source] = ()
) -> list[Difference]:
    """Run two predictors on the same frames; none for synthetic scenes of :data:`SIZES`."""
    found = []
    for image in iterate(frames or _scenes(predictor)):
        a, b = predictor(image), other(image)
        height, width = a.score_map.shape
        found.append(
            Difference(
                height,
                width,
                float(np.abs(a.score_map - b.score_map).max()),
                len(a.targets),
                int(np.count_nonzero(a.mask != b.mask)),
            )
        )
    return found


def report(differences: Sequence[Difference]) -> str:
    """The table that the tool prints."""
    rows = [('height', 'width', 'largest difference of a score', 'targets', 'their pixels')]
    rows += [
        (
            str(d.height),
            str(d.width),
            f'{d.score:.1e}',
            str(d.targets),
            f'{d.differing} at the threshold differ' if d.differing else 'the same',
        )
        for d in differences
    ]
    return text_table(rows)


def _refuse_mixing(exported: BasePredictor, scenes: Sequence[np.ndarray], limit: float) -> None:
    """Stop where frames of one batch change each other's scores: an ONNX file takes any batch."""
    pixels, shown = [exported.load(scene) for scene in scenes], 'synthetic scene'
    alone = [exported.score(one, shown) for one in pixels]
    together = exported.score_all(pixels, [shown] * len(pixels))
    worst = max(float(np.abs(a - b.scores).max()) for a, b in zip(alone, together, strict=True))
    if not worst <= limit:
        raise UserError(
            f'{exported.name}: the scores of two frames in one batch differ by {worst:.2g} from those of '
            f'each alone, more than {limit:g}, and an ONNX file takes any batch; nothing written. Statistics '
            'over the whole batch, or a number of frames taken as fixed, do that: take them image by image, '
            'or export with --format torch.'
        )


def _scenes(predictor: BasePredictor, sizes: Sequence[tuple[int, int]] = SIZES) -> list[np.ndarray]:
    bound = None
    if isinstance(predictor, Predictor):
        bound = _largest(predictor.detector.model)
    elif isinstance(predictor, OnnxPredictor):
        bound = predictor.info.largest
    sizes = [(min(height, bound or height), min(width, bound or width)) for height, width in sizes]
    scenes = [synth_scene(0, number, size).image for number, size in enumerate(sizes)]
    scenes[-1] = 257 * scenes[-1].astype(np.uint16)
    return [predictor.loader.as_taken(scene) for scene in scenes]


def _largest(model: nn.Module) -> int | None:
    """Pixels that a side of an image may have; None for no bound."""
    return getattr(model.backbone, 'largest_side', None)


def _describe(detector: LoadedDetector, threshold: float, half: bool, licence: str) -> ExportInfo:
    model, pipeline = detector.model, detector.pipeline
    if not isinstance(model, IRSTDSegmentor):
        raise UserError(
            f'{detector.name}: {type(model).__name__} cannot be exported, expected a network of madnet '
            '(IRSTDSegmentor); a classical detector needs no export.'
        )
    if model.test_cfg.views != 1 or tuple(model.test_cfg.scales) != (1,):
        raise UserError(
            f'{detector.name}: averages views or scales, which an export does not; '
            'export it with model.test_cfg.views=1 model.test_cfg.scales=(1,).'
        )
    if model.test_cfg.mode != 'whole' and _largest(model) is None:
        raise UserError(
            f'{detector.name}: tests by tiles (model.test_cfg.mode={model.test_cfg.mode!r}), which an export '
            "does not; export it with model.test_cfg.mode='whole', and cut large frames by --tile."
        )
    for key, plain in (('temperature', 1), ('bias', 0)):
        if model.test_cfg[key] != plain:
            raise UserError(
                f'{detector.name}: model.test_cfg.{key} is {model.test_cfg[key]:g}; leave it at {plain}: '
                'what madnet calibrate found goes into the file by itself.'
            )
    preprocessor = model.data_preprocessor
    resized = pipeline.prepare(np.zeros((64, 80, pipeline.loader.channels), np.uint8))['inputs'].shape[1:]
    return ExportInfo(
        name=detector.name,
        channels=pipeline.loader.channels,
        mean=preprocessor.mean.flatten().tolist(),
        std=preprocessor.std.flatten().tolist(),
        statistics=preprocessor.statistics,
        threshold=threshold,
        size=list(resized) if pipeline.resizes else None,
        align_corners=model.align_corners,
        value_range=pipeline.value_range,
        bit_depth=pipeline.loader.bit_depth,
        smallest=MIN_SIZE,
        largest=_largest(model),
        dtype='float16' if half else 'float32',
        licence=licence,
        origin=detector.origin,
        versions={'madnet': madnet.__version__, 'torch': torch.__version__},
    )


def _refuse_steps(detector: LoadedDetector) -> None:
    pipeline = detector.pipeline
    others = [pipeline.own_loader] if pipeline.own_loader else []
    others += [type(step).__name__ for step in pipeline.steps if type(step) not in _IN_ONNX]
    if others:
        raise UserError(
            f'{detector.name}: test_pipeline: {", ".join(others)} cannot go into an ONNX file, expected a '
            f'loader of madnet and {", ".join(kind.__name__ for kind in _IN_ONNX)} alone; export it with '
            '--format torch or folded, which keep the pipeline, or put what the step does into the network.'
        )


class _Graph(nn.Module):
    """What an ONNX file computes: frames (B, C, H, W) on the 0–255 scale → scores and logits (B, 1, H, W)."""

    def __init__(self, segmentor: IRSTDSegmentor):
        super().__init__()
        self.segmentor = segmentor

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        preprocessor = self.segmentor.data_preprocessor
        if preprocessor._channel_conversion:
            frames = frames.flip(1)
        if preprocessor.statistics == 'image':
            frames = _levelled(frames, preprocessor.floor)
        else:
            frames = (frames - preprocessor.mean) / preprocessor.std
        logits = self.segmentor.encode_decode(frames, [{}])
        logits = logits[:, 1:] - logits[:, :1] if logits.shape[1] == 2 else logits
        return logits.sigmoid(), logits


def _levelled(frames: Tensor, floor: float) -> Tensor:
    """As the preprocessor of segmentors does with ``statistics='image'``; ONNX has no median."""
    values = frames.flatten(1)
    ordered = values.sort(dim=1).values
    middle = ordered.index_select(1, torch.as_tensor((values.shape[1] - 1) // 2).reshape(1))
    frames = frames - middle[:, :, None, None]
    spread = frames.abs().mean(dim=(1, 2, 3), keepdim=True) * math.sqrt(math.pi / 2)
    return frames / spread.clamp(min=floor)


def _too_large(model: Any, info: ExportInfo) -> list[str]:
    """Names of the nodes of an ONNX model that meet numbers which half precision may not hold, for a made
    scene; every node gets a name."""
    import onnx
    import onnxruntime

    looked_at = onnx.ModelProto()
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f'node_{number}'
    looked_at.CopyFrom(model)
    names = {name for node in model.graph.node for name in node.output if name}
    names -= {output.name for output in model.graph.output}
    looked_at.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        looked_at.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    height, width = info.size or [min(side, info.largest or side) for side in SIZES[0]]
    scene = np.broadcast_to(synth_scene(0, 0, (height, width)).image, (1, info.channels, height, width))
    values = session.run(None, {'frames': scene.astype(np.float32)})
    large = {
        output.name
        for output, value in zip(session.get_outputs(), values, strict=True)
        if getattr(value, 'dtype', None) == np.float32 and value.size and not np.abs(value).max() <= _LARGE
    }
    return [node.name for node in model.graph.node if large & {*node.input, *node.output}]


def _stay_single(model: Any, large: Sequence[str]) -> None:
    """Hand what ``large`` nodes give to one another as it is: the converter makes it half precision in
    between."""
    from onnx import TensorProto, helper

    gives: dict[str, Any] = {name: node for node in model.graph.node for name in node.output}

    def casts(node: Any, to: int) -> bool:
        return node is not None and node.op_type == 'Cast' and helper.get_node_attr_value(node, 'to') == to

    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if casts(gives.get(name), TensorProto.FLOAT):
                before: Any = gives.get(gives[name].input[0])
                source = gives.get(before.input[0]) if casts(before, TensorProto.FLOAT16) else None
                if source is not None and source.name in large:
                    node.input[place] = before.input[0]


@contextmanager
def _in_one_line(name: str) -> Iterator[None]:
    """What torch cannot export as an error of ours, without the graph that torch prints before it raises."""
    # By a private name, for there is no other way up to torch 2.13: torch switches its log on whatever
    # verbose= says, no public function switches it off, and it goes from C++ to the process's own standard
    # output, past sys.stdout; to turn that away would lose what other threads print.
    with patch.object(torch._C, '_jit_onnx_log', lambda *_: None, create=True):
        try:
            yield
        except RuntimeError as e:  # what it raises for an operator tells its place and its inputs too
            reason = str(e).partition('[Caused by')[0] or type(e).__name__
            raise UserError(
                f'{name}: cannot be written as an ONNX file ({reason[:200].strip()}); export it with '
                '--format folded or torch, which take every operator, or put another in its place.'
            ) from None


def _onnx(detector: LoadedDetector, info: ExportInfo) -> bytes:
    try:
        import onnx
    except ImportError as e:
        raise UserError(what_is_wrong(e) or f'onnx: {in_brief(e)}') from None
    size = info.size or ([info.largest - 79, info.largest - 47] if info.largest else _TRACED)
    frames = torch.zeros(1, info.channels, *size)
    register_symbolic()
    buffer = io.BytesIO()
    with torch.no_grad(), _in_one_line(detector.name), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of branches in Python, which the comparison afterwards decides upon
        torch.onnx.export(
            _Graph(fold(copy.deepcopy(detector.model))).eval(),
            (frames,),
            buffer,
            # The other exporter takes minutes a network: it reasons about every size in symbols.
            dynamo=False,
            opset_version=OPSET,
            input_names=['frames'],
            output_names=['scores', 'logits'],
            dynamic_axes={
                name: {0: 'batch', 2: 'height', 3: 'width'} for name in ('frames', 'scores', 'logits')
            },
        )
    model = inline_scans(onnx.load_from_string(buffer.getvalue()))
    if info.dtype == 'float16':
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel

        single = [*DEFAULT_OP_BLOCK_LIST, *_IN_SINGLE_PRECISION]
        large = _too_large(model, info)
        model = convert_float_to_float16(
            model, keep_io_types=True, op_block_list=single, node_block_list=large
        )
        _stay_single(model, large)
        OnnxModel.graph_topological_sort(model.graph)  # its casts stand at the end
    for node in model.graph.node:
        node.ClearField('doc_string')  # where in the code it comes from, which is most of a small file
    onnx.helper.set_model_props(model, {KEY: info.as_text()})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()
