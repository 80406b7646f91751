"""Exports of networks with parts of the user's own: what a file cannot hold is refused, never left out."""

import re

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import MODELS, TRANSFORMS

from madnet.datasets.image_pipeline import ImagePipeline
from madnet.datasets.transforms import LoadSIRSTImage, PackSIRSTInputs, PublishedTestResize
from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.inference import OnnxPredictor, Predictor
from madnet.inference.export import TOLERANCE, export_network

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')


class MendHot(BaseTransform):
    """Saturated pixels become black, which synthetic scenes do not have."""

    def transform(self, results):
        results['img'] = np.where(results['img'] >= 254, 0, results['img'])
        return results


class Halved(BaseTransform):
    """A resizing that is not called so."""

    def transform(self, results):
        results['img'] = results['img'][::2, ::2]
        return results


@pytest.fixture
def predictor_of(repository, tmp_path, monkeypatch):
    """A predictor of a small network of random weights, with other settings than the config's."""
    for kind in (MendHot, Halved):
        monkeypatch.setitem(TRANSFORMS._module_dict, kind.__name__, kind)

    def make(options):
        options = {'model.backbone.base_channels': 2, **options}
        cfg = load_config(repository / 'configs/madnet/madnet_nano.py', options, 'nuaa')
        torch.manual_seed(0)
        torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, tmp_path / 'weights.pth')
        return Predictor(cfg, tmp_path / 'weights.pth', device='cpu')

    return make


def refused(match, *args, **kwargs):
    with pytest.raises(UserError, match=match):
        export_network(*args, **kwargs)


@pytest.mark.parametrize('step', [{'type': 'MendHot'}, {'type': 'Halved'}, {'type': 'CLAHE'}])
def test_a_step_that_an_onnx_file_lacks_is_refused(step, predictor_of, tmp_path):
    predictor = predictor_of({'replace_steps.PackSIRSTInputs': [step, {'type': 'PackSIRSTInputs'}]})
    for frames in ([], [np.full((64, 80), 99, np.uint8)]):  # of which it changes some pixels, or none
        refused(
            f'test_pipeline: {step["type"]} cannot go into', predictor, tmp_path / 'own.onnx', frames=frames
        )
    assert not list(tmp_path.glob('*.onnx*'))


@pytest.mark.parametrize('format', ['folded', 'torch'])
def test_the_other_forms_keep_such_a_step(format, predictor_of, tmp_path):
    steps = [{'type': 'MendHot'}, {'type': 'PackSIRSTInputs'}]
    predictor = predictor_of({'replace_steps.PackSIRSTInputs': steps})
    export_network(predictor, tmp_path / 'own.safetensors', format)
    image = np.full((64, 80), 99, np.uint8)
    cv2.circle(image, (30, 30), 3, 255, -1)
    expected = predictor(image).score_map
    assert np.abs(predictor_of({})(image).score_map - expected).max() > 1e-3
    found = Predictor(tmp_path / 'own.safetensors', device='cpu')(image).score_map
    np.testing.assert_allclose(found, expected, atol=1e-5)


def changing(predictor, change):
    """The same predictor, whose backbone gives another finest map (B, C, H, W)."""
    predictor.model.backbone.register_forward_hook(lambda _, given, maps: (change(maps[0]), *maps[1:]))
    return predictor


def test_frames_that_change_each_other_a_little_are_seen_in_half_precision_too(predictor_of, tmp_path):
    def mixed(x):  # of a frame alone it is nothing
        return x + 20 * (x.mean(0, keepdim=True) - x)

    predictor = changing(predictor_of({}), mixed)
    with pytest.raises(UserError, match='two frames in one batch differ by') as e:
        export_network(predictor, tmp_path / 'own.onnx', half=True)
    assert float(re.search(r'differ by (\S+)', str(e.value))[1]) < TOLERANCE['float16']


def test_a_pipeline_that_resizes_is_known_without_running_its_steps():
    class ToBase(PublishedTestResize):
        pass

    class Stretch(BaseTransform):
        def transform(self, results):
            raise ValueError('frame without contrast')

    class ResizeIfLarger(Stretch):
        pass

    pack = {'type': PackSIRSTInputs}
    for step, resizes in (
        ({'type': ToBase, 'size': 64}, True),
        ({'type': ResizeIfLarger}, True),
        ({'type': Stretch}, False),
    ):
        assert ImagePipeline([{'type': LoadSIRSTImage, 'channels': 1}, step, pack]).resizes == resizes


def _gathered(x):
    kernels = x.mean((2, 3)).reshape(-1, 1, 1, 1)
    return torch.nn.functional.conv2d(x.flatten(0, 1)[None], kernels, groups=len(kernels)).reshape(x.shape)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda x: x / x.std(), 'madnet_nano: the scores of two frames in one batch differ by 0'),
        (lambda x: x.reshape([int(n) for n in x.shape]), 'madnet_nano: ONNX Runtime fails on a batch of 1'),
        (lambda x: torch.fft.rfft2(x).abs().mean() + x, "madnet_nano: cannot be .* 'aten::fft_rfft2'"),
        (_gathered, 'madnet_nano: cannot be .* convolution for kernel of unknown shape'),
    ],
)
def test_what_onnx_cannot_hold_of_a_network_is_refused(change, words, predictor_of, tmp_path, capfd):
    predictor = changing(predictor_of({}), change)
    capfd.readouterr()
    refused(words, predictor, tmp_path / 'own.onnx')
    assert capfd.readouterr() == ('', '')
    assert not list(tmp_path.glob('*.onnx*'))


def test_an_attribute_of_a_backbone_of_the_users_own_is_not_taken_for_a_largest_size(predictor_of, tmp_path):
    predictor = predictor_of({})
    predictor.model.backbone.side = 'left'
    export_network(predictor, tmp_path / 'own.onnx')
    assert OnnxPredictor(tmp_path / 'own.onnx').info.largest is None
