"""Exported networks on real frames: the same scores and targets as PyTorch, in every runtime that is here."""

import copy

import cv2
import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from stirring import stirred

from madnet.datasets import SIRSTDataset
from madnet.engine.config import load_config
from madnet.evaluation import evaluate
from madnet.images import FrameLoader, read_mask
from madnet.inference import OnnxPredictor, Predictor, export
from madnet.models.deploy import fold
from madnet.records import list_pretrained

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
pytestmark = pytest.mark.slow

SETS = {'NUAA-SIRST': 'images', 'NUDT-SIRST': 'images', 'IRSTD-1K': 'images', 'SIRST-AUG': 'test/images'}
#: Height × width; three of them odd.
SIZES = ((256, 256), (131, 200), (97, 255), (301, 418), (480, 640))
#: Shipped with their weights, and at the published widths with stirred ones.
NETWORKS = (*list_pretrained(), 'madnet/madnet_small', 'mim/mim_base')
FRAMES = 40
#: Largest difference of a score from PyTorch's: ONNX Runtime, folded.
LIMITS = (1e-4, 1e-5)


@pytest.fixture(scope='module')
def frames(data_root):
    """Forty (H, W) uint8 frames of four sets, every set at every size: cut out, or mirrored at the border."""
    found = []
    for name, folder in SETS.items():
        files = sorted((data_root / name / folder).glob('*.png'))
        for file in files[:: max(1, len(files) // 10)][: FRAMES // len(SETS)]:
            height, width = SIZES[len(found) % len(SIZES)]
            grey = FrameLoader(1)(file)[..., 0]
            missing = max(0, height - grey.shape[0]), max(0, width - grey.shape[1])
            grey = cv2.copyMakeBorder(grey, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT_101)
            found.append(np.ascontiguousarray(grey[:height, :width]))
    assert len(found) == FRAMES
    return found


@pytest.fixture(scope='module', params=NETWORKS)
def predictor(request, repository, tmp_path_factory):
    """A network on one thread."""
    torch.set_num_threads(1)
    if request.param in list_pretrained():
        return Predictor(request.param, device='cpu')
    cfg = load_config(repository / f'configs/{request.param}.py', None, 'nuaa')
    weights = tmp_path_factory.mktemp('weights') / 'weights.pth'
    torch.manual_seed(0)
    torch.save({'state_dict': stirred(MODELS.build(cfg.model)).state_dict()}, weights)
    return Predictor(cfg, weights, device='cpu')


@pytest.fixture(scope='module')
def expected(predictor, frames):
    return [predictor(frame) for frame in frames]


@pytest.fixture(scope='module')
def file(predictor, tmp_path_factory):
    path = tmp_path_factory.mktemp('exported') / 'network.onnx'
    export.export_network(predictor, path)
    onnx.checker.check_model(str(path), full_check=True)
    return path


def compared(found, expected, limit):
    """The largest difference of a score, to be within ``limit``; and how many pixels of masks differ, all at
    scores that near the threshold alone: elsewhere targets are the same."""
    largest, ties = 0.0, 0
    for a, b in zip(expected, found, strict=True):
        largest = max(largest, float(np.abs(a.score_map - b.score_map).max()))
        other = a.mask != b.mask
        ties += int(other.sum())
        assert (np.abs(a.score_map - a.threshold)[other] <= limit).all()
    assert largest <= limit
    return f'{largest:.1e}, {ties} pixel(s) at the threshold differ, ' + (
        f'{sum(len(p.targets) for p in expected)} targets'
    )


def test_there_is_something_to_compare(expected):
    assert max(np.ptp(p.score_map) for p in expected) > 0.1
    assert sum(len(p.targets) for p in expected) >= 20


@pytest.mark.parametrize('threads', [1, 2])
def test_onnx_runtime(predictor, frames, expected, file, threads):
    exported = OnnxPredictor(file, threads=threads)
    some = slice(None) if threads == 1 else slice(0, len(SIZES))
    found = [exported(frame) for frame in frames[some]]
    print(f'{predictor.name}, {threads} thread(s): {compared(found, expected[some], LIMITS[0])}')


def test_folded(predictor, frames, expected):
    folded = Predictor(copy.deepcopy(predictor.detector))
    fold(folded.model)
    print(f'{predictor.name}, folded: {compared([folded(f) for f in frames], expected, LIMITS[1])}')


def test_openvino(predictor, frames, expected, file):
    openvino = pytest.importorskip('openvino')
    core = openvino.Core()
    core.set_property('CPU', {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1})
    network = core.compile_model(core.read_model(file), 'CPU')
    largest = 0.0
    for frame, prediction in zip(frames[: len(SIZES)], expected, strict=False):
        scores = network({'frames': frame[None, None].astype(np.float32)})['scores'][0, 0]
        largest = max(largest, np.abs(scores - prediction.score_map).max())
    print(f'{predictor.name}, OpenVINO {openvino.__version__}: {largest:.1e}')
    assert largest <= 1e-4


@pytest.mark.parametrize('name', [n for n in list_pretrained() if n.startswith('madnet')])
def test_half_precision_on_nuaa(name, data_root, tmp_path):
    """What it changes in IoU: less than one run of training differs from another."""
    test = SIRSTDataset(name='NUAA-SIRST', split='test', pipeline=[])
    samples = [test.get_data_info(number) for number in range(len(test))]
    masks = [read_mask(sample['seg_map_path']) for sample in samples]
    torch.set_num_threads(1)
    whole = Predictor(name, device='cpu')
    export.export_network(whole, tmp_path / 'half.onnx', half=True)
    half = OnnxPredictor(tmp_path / 'half.onnx', threads=1)
    found = [
        evaluate([predictor(sample['img_path']).score_map for sample in samples], masks)
        for predictor in (whole, half)
    ]
    print(name, [{key: round(100 * numbers[key], 3) for key in ('IoU', 'nIoU', 'Pd')} for numbers in found])
    assert abs(found[0]['IoU'] - found[1]['IoU']) <= 0.001
