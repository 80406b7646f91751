"""The registered visualiser, as hooks use it."""

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample

import madnet.visualization
from madnet.visualization.palette import DETECTION, FALSE_ALARM, HIT, MISSED


@pytest.fixture
def sample(example):
    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(example.mask // 255).long()[None])
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(example.score > 0.5).long()[None])
    sample.seg_logits = PixelData(data=torch.from_numpy(example.score)[None])
    return sample


@pytest.fixture
def visualizer(tmp_path, request):
    return VISUALIZERS.build(
        {
            'type': 'IRSTDVisualizer',
            'name': request.node.name,  # mmengine keeps instances by name
            'vis_backends': [{'type': 'LocalVisBackend'}],
            'save_dir': str(tmp_path),
        }
    )


def colours(picture):
    blue, green, red = picture.reshape(-1, 3).T.astype(int)
    packed = np.unique(red << 16 | green << 8 | blue)
    return {(c >> 16, c >> 8 & 255, c & 255) for c in packed.tolist()}


def test_hands_overlays_to_the_back_ends(visualizer, sample, example, tmp_path):
    image = np.repeat(example.image[..., None], 3, 2)
    visualizer.add_datasample('val_scene', image, data_sample=sample, show=False, wait_time=0, step=7)
    (path,) = tmp_path.rglob('val_scene_7.png')
    drawn = cv2.imread(str(path))
    assert {HIT.colour, MISSED.colour, FALSE_ALARM.colour} <= colours(drawn)
    if matplotlib.__version_info__ >= (3, 10):  # older ones move mmengine's canvas by parts of a pixel
        assert (visualizer.get_image()[..., ::-1] == drawn).all()


def test_writes_the_file_it_is_told(visualizer, sample, example, tmp_path):
    out = tmp_path / 'new' / 'a.png'
    visualizer.add_datasample('a', example.image, sample, out_file=str(out))
    assert cv2.imread(str(out)) is not None
    assert not list(tmp_path.rglob('vis_image/*'))


def test_resizes_a_network_input_to_the_labels(visualizer, sample, example):
    visualizer.add_datasample('a', np.zeros((64, 64, 1), np.uint8), sample)
    visualizer.add_datasample('b', example.image, sample)
    assert visualizer.get_image().shape[1] == 160 * 5


def test_leaves_out_what_it_is_told(visualizer, sample, example):
    visualizer.add_datasample('a', example.image, sample, draw_gt=False)
    seen = colours(visualizer.get_image()[..., ::-1])
    assert DETECTION.colour in seen
    assert MISSED.colour not in seen
    visualizer.add_datasample('b', example.image)
    assert not {HIT.colour, MISSED.colour, DETECTION.colour} & colours(visualizer.get_image()[..., ::-1])


def test_is_exported():
    assert VISUALIZERS.get('IRSTDVisualizer') is madnet.visualization.IRSTDVisualizer


def test_insets_say_logits_where_scores_are_all_one(visualizer, sample, example, monkeypatch):
    def logits():
        visualizer.add_datasample('a', example.image, sample)
        return [text for text in written if 'logit' in text]

    written = []
    monkeypatch.setattr(
        'madnet.visualization.overlay.draw_text', lambda canvas, text, *_: written.append(text)
    )
    sample.net_logits = PixelData(data=torch.from_numpy(np.where(example.score > 0.5, 31.25, -9.0))[None])
    assert logits() == ['6 px, logit 31.2', '9 px, logit 31.2']
    written.clear()
    sample.net_logits = PixelData(data=torch.zeros(1, 64, 64))  # of a network that sees a resized image
    assert logits() == []
