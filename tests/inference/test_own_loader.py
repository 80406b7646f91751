"""What commands do with a config whose images are loaded by a class of the user's own."""

import shutil

import cv2
import numpy as np
import pytest
from clutter import scene
from mmseg.registry import TRANSFORMS

from madnet.datasets.transforms import LoadSIRSTImage
from madnet.errors import UserError
from madnet.inference import Predictor
from madnet.inference.calibrating import calibrate
from madnet.inference.export import export_network
from madnet.probing.command import probe_detector


class Doubled(LoadSIRSTImage):
    """Twice the grey values."""

    def transform(self, results):
        results = super().transform(results)
        results['img'] = np.minimum(2 * results['img'].astype(np.float32), 255)
        return results


@pytest.fixture
def own(detectors, tmp_path):
    """Config and weights of a network with such a loader."""
    config, weights = detectors['files']
    TRANSFORMS.register_module(module=Doubled)
    (tmp_path / 'own.py').write_text(
        f"_base_ = {str(config)!r}\ntest_pipeline = [dict(type='Doubled', channels=1"
        "), dict(type='LoadSIRSTMask'), dict(type='PackSIRSTInputs')]\n"
        'test_dataloader = dict(dataset=dict(pipeline=test_pipeline))\n'
    )
    yield str(tmp_path / 'own.py'), str(weights)
    TRANSFORMS._module_dict.pop('Doubled', None)


@pytest.fixture
def image(tmp_path):
    cv2.imwrite(str(tmp_path / 'image.png'), scene(64, 80))
    return tmp_path / 'image.png'


def test_an_onnx_file_refuses_what_it_cannot_hold(own, tmp_path, image):
    predictor = Predictor(*own, device='cpu')
    for frames in ((), (image,)):
        with pytest.raises(UserError, match='test_pipeline: Doubled cannot go into an ONNX file'):
            export_network(predictor, tmp_path / 'own.onnx', frames=frames)
    assert not list(tmp_path.glob('*.onnx*'))


def test_a_network_file_names_the_module_of_a_loader(own, tmp_path, image):
    predictor, file = Predictor(*own, device='cpu'), tmp_path / 'own.safetensors'
    with pytest.raises(UserError, match=r'Doubled: found a frame made in memory, .* --frames IMAGE'):
        export_network(predictor, file, 'folded')
    assert not file.exists()
    export_network(predictor, file, 'torch', frames=[image])
    assert (Predictor(file, device='cpu')(image).score_map == predictor(image).score_map).all()
    TRANSFORMS._module_dict.pop('Doubled')
    with pytest.raises(UserError, match=f"has a part 'Doubled' that is of the module '{__name__}'"):
        Predictor(file, device='cpu')


def test_calibration_reads_as_prediction_does(own, detectors, image_set, tmp_path):
    shutil.copytree(image_set, tmp_path / 'bright')
    for path in (tmp_path / 'bright').glob('*/images/*'):
        cv2.imwrite(str(path), cv2.convertScaleAbs(cv2.imread(str(path), 0), alpha=2))
    how = {'split': 'trainval', 'out': str(tmp_path), 'device': 'cpu'}
    found = calibrate(*own, dataset=str(image_set), **how)
    expected = calibrate(*map(str, detectors['files']), dataset=str(tmp_path / 'bright'), **how)
    assert (found.bias, found.pixels.before) == (expected.bias, expected.pixels.before)


def test_a_probe_says_that_it_changes_frames_in_memory(own, tmp_path):
    with pytest.raises(UserError, match=r'Doubled: found a frame made in memory, .* madnet probe .* need'):
        probe_detector(*own, dataset='synthetic', quick=True, out=str(tmp_path / 'probe'), device='cpu')
    assert not (tmp_path / 'probe').exists()
