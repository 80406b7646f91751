"""Normalisation by each image's own statistics."""

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

import madnet  # noqa: F401
from madnet.engine.checkpoint import compare_statistics, recorded_statistics, statistics_of
from madnet.errors import UserError
from madnet.models.segmentors import IRSTDPreProcessor


def preprocessor(**kwargs):
    return MODELS.build({'type': 'IRSTDPreProcessor', 'mean': [99.0], 'std': [58.0], **kwargs})


def images(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(20, 120, (1, *size), generator=generator, dtype=torch.uint8) for size in sizes]


@pytest.mark.parametrize('training', [False, True])
def test_median_and_spread_of_each_image(training):
    one, two = images((40, 40), (40, 40))
    samples = [madnet_sample(i) for i in (one, two)] if training else None
    data = {'inputs': [one, two // 3], 'data_samples': samples}
    found = preprocessor(statistics='image', floor=2.0)(data, training)['inputs']
    for image, after in zip((one, two // 3), found, strict=True):
        values = np.sort(image.numpy().astype(np.float64).ravel())
        median = values[(values.size - 1) // 2]
        spread = np.abs(values - median).mean() * np.sqrt(np.pi / 2)
        np.testing.assert_allclose(after.numpy()[0], (image.numpy()[0] - median) / spread, atol=1e-5)


def madnet_sample(image):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    sample = SegDataSample(metainfo={'img_shape': tuple(image.shape[1:])})
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, *image.shape[1:], dtype=torch.int64))
    return sample


def test_gain_and_offset_of_a_camera_do_not_matter():
    one, small = images((40, 41), (33, 35))
    own = preprocessor(statistics='image')
    for gain, offset in ((0.5, 10), (2.0, 0), (1.0, 100)):
        before = own({'inputs': [one, small]})['inputs']
        after = own({'inputs': [one.float() * gain + offset, small.float() * gain + offset]})['inputs']
        for a, b in zip(before, after, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('size', [None, (48, 48)])  # without and with padding
def test_three_equal_channels_stay_equal(training, size):
    [grey] = images((40, 40))
    image = grey.repeat(3, 1, 1)
    colours = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'bgr_to_rgb': True}
    own = preprocessor(statistics='image', size=size, **colours)
    data = {'inputs': [image], 'data_samples': [madnet_sample(image)]}
    [after] = own(data, training)['inputs']
    [one] = preprocessor(statistics='image')({'inputs': [grey]})['inputs']
    for channel in after[:, :40, :40]:
        torch.testing.assert_close(channel, one[0], atol=1e-5, rtol=0)


def test_an_even_image_is_not_blown_up():
    flat = torch.full((1, 20, 20), 70.0)
    flat[0, 3, 3] = 90
    after = preprocessor(statistics='image', floor=4.0)({'inputs': [flat]})['inputs'][0]
    assert after[0, 0, 0] == pytest.approx(0, abs=1e-6)
    assert after[0, 3, 3] == pytest.approx(20 / 4, abs=1e-5)


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match=r"data_preprocessor\.statistics: found 'own'"):
        preprocessor(statistics='own')
    with pytest.raises(UserError, match=r'data_preprocessor\.floor: found 0, expected a number above 0'):
        preprocessor(statistics='image', floor=0)
    with pytest.raises(UserError, match='expected mean and std'):
        MODELS.build({'type': 'IRSTDPreProcessor', 'statistics': 'image'})


def test_weights_say_how_their_images_were_normalised(capsys):
    class Model(torch.nn.Module):
        def __init__(self, **kwargs):
            super().__init__()
            self.data_preprocessor = preprocessor(**kwargs)

    own, fixed = Model(statistics='image', floor=3.0), Model()
    said = {'mean': [99.0], 'std': [58.0], 'statistics': 'image', 'floor': 3.0}
    assert statistics_of(own) == said
    assert statistics_of(fixed) == {'mean': [99.0], 'std': [58.0]}
    checkpoint = {'meta': {'data_preprocessor': said}}
    assert recorded_statistics(checkpoint) == said
    compare_statistics(own, checkpoint, 'x.pth')
    assert not capsys.readouterr().err
    compare_statistics(fixed, checkpoint, 'x.pth')
    [line] = capsys.readouterr().err.splitlines()
    assert "each image's own statistics with floor 3" in line
    assert 'model.data_preprocessor.statistics=image model.data_preprocessor.floor=3.0' in line
    compare_statistics(own, {'meta': {'data_preprocessor': statistics_of(fixed)}}, 'x.pth')
    assert 'model.data_preprocessor.statistics=training' in capsys.readouterr().err
    three = Model(mean=[1.0] * 3, std=[2.0] * 3)
    compare_statistics(three, checkpoint, 'x.pth')
    assert not capsys.readouterr().err, 'one number would not do for three channels'


def test_whole_numbers_are_as_good_as_others():
    """A teacher's scale is made of them in their own type."""
    assert IRSTDPreProcessor(mean=[110], std=[25]).std.dtype == torch.float32
