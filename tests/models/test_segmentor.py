"""Segmentor and preprocessor: batches, sizes, padding, flips, tiles, and our parts in plain mmseg."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from small_models import build_madnet, sample, stir

from madnet.errors import UserError


def images(*sizes, channels=3):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (channels, *size), generator=generator, dtype=torch.uint8) for size in sizes
    ]


def predict(model, inputs, samples):
    with torch.no_grad():
        return model.test_step({'inputs': inputs, 'data_samples': samples})


def results(found):
    return [(f.seg_logits.data, f.pred_sem_seg.data, f.net_logits.data) for f in found]


def test_results_do_not_depend_on_the_batch():
    model = build_madnet()
    batch = images((64, 64), (64, 64), (64, 64), (40, 53))
    mixed = results(predict(model, batch, [sample(*b.shape[1:]) for b in batch]))
    uniform = results(predict(model, batch[:3], [sample(64, 64) for _ in range(3)]))
    for i, image in enumerate(batch):
        (alone,) = results(predict(model, [image], [sample(*image.shape[1:])]))
        for a, b in zip(alone, mixed[i], strict=True):
            assert torch.equal(a, b)
        if i < 3:
            assert torch.equal(alone[0], uniform[i][0])


def test_results_are_probabilities_at_the_original_size():
    model = build_madnet()
    (image,) = images((64, 80))
    (found,) = predict(model, [image], [sample(64, 80, ori_shape=(50, 61))])
    logits = found.net_logits.data
    assert logits.shape == (1, 64, 80)
    normalised = (image.float() - 100) / 50
    with torch.no_grad():
        assert torch.equal(logits[None], model.encode_decode(normalised[None], [{}]))
    expected = F.interpolate(logits[None], size=(50, 61), mode='bilinear', align_corners=False)[0].sigmoid()
    assert torch.equal(found.seg_logits.data, expected)
    assert torch.equal(found.pred_sem_seg.data, (expected > 0.5).float())


def test_logits_at_the_size_of_the_input_whatever_the_metas_say():
    model = build_madnet()
    x = torch.randn(1, 3, 45, 64)
    with torch.no_grad():
        expected = model.encode_decode(x)
        for meta in ({}, {'img_shape': (20, 20)}, {'pad_shape': (90, 90), 'img_shape': (9, 9)}):
            assert torch.equal(model.encode_decode(x, [meta]), expected)
    assert expected.shape == (1, 1, 45, 64)


def test_predict_without_data_samples():
    model = build_madnet()
    with torch.no_grad():
        found = model(torch.randn(2, 3, 40, 40), mode='predict')
    assert len(found) == 2
    assert found[0].seg_logits.data.shape == (1, 40, 40)


def test_padding_and_flip_are_taken_back():
    model = build_madnet()
    logits = torch.randn(1, 1, 40, 48)
    plain = SegDataSample(metainfo={'ori_shape': (38, 44)})
    model.postprocess_result(logits[..., 1:39, 3:47], [plain])
    padded = SegDataSample(metainfo={'ori_shape': (38, 44), 'padding_size': (3, 1, 1, 1)})
    model.postprocess_result(logits, [padded])
    assert torch.equal(plain.seg_logits.data, padded.seg_logits.data)
    for direction, dim in (('horizontal', 3), ('vertical', 2)):
        flipped = SegDataSample(metainfo={'ori_shape': (38, 44), 'flip': True, 'flip_direction': direction})
        model.postprocess_result(logits[..., 1:39, 3:47].flip(dim), [flipped])
        assert torch.equal(plain.net_logits.data, flipped.net_logits.data)
        assert torch.equal(plain.seg_logits.data, flipped.seg_logits.data)


def test_tiles():
    """Every tile alone gives what the tiled inference gives there; overlaps are averaged."""
    model = build_madnet(test_cfg={'mode': 'slide', 'crop_size': (64, 64), 'stride': (64, 32)})
    (image,) = images((64, 96))
    (found,) = predict(model, [image], [sample(64, 96)])
    normalised = ((image.float() - 100) / 50)[None]
    with torch.no_grad():
        left, right = model.encode_decode(normalised[..., :64]), model.encode_decode(normalised[..., 32:])
    logits = found.net_logits.data[None]
    torch.testing.assert_close(logits[..., :32], left[..., :32])
    torch.testing.assert_close(logits[..., 32:64], (left[..., 32:] + right[..., :32]) / 2)
    torch.testing.assert_close(logits[..., 64:], right[..., 32:])


def test_eight_views_against_their_mean_taken_by_hand():
    model = build_madnet()
    (image,) = images((40, 53))
    views = []
    for turns in range(4):
        for mirrored in (False, True):
            view = torch.rot90(image, turns, dims=(1, 2))
            view = view.flip(2) if mirrored else view
            (found,) = predict(model, [view], [sample(*view.shape[1:])])
            logits = found.net_logits.data
            logits = logits.flip(2) if mirrored else logits
            views.append(torch.rot90(logits, -turns, dims=(1, 2)))
    for number, chosen in ((1, [0]), (2, [0, 1]), (4, [0, 1, 4, 5]), (8, range(8))):
        model.test_cfg.views = number
        (found,) = predict(model, [image], [sample(40, 53)])
        expected = torch.stack([views[i] for i in chosen]).mean(0)
        torch.testing.assert_close(found.net_logits.data, expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(found.seg_logits.data, found.net_logits.data.sigmoid())
    assert not torch.allclose(views[0], views[3], atol=1e-4)


def test_with_eight_views_a_turned_image_gives_the_turned_map():
    model = build_madnet()
    model.test_cfg.views = 8
    (image,) = images((40, 53))
    (found,) = predict(model, [image], [sample(40, 53)])
    (turned,) = predict(model, [torch.rot90(image, 1, dims=(1, 2))], [sample(53, 40)])
    torch.testing.assert_close(
        torch.rot90(turned.net_logits.data, -1, dims=(1, 2)), found.net_logits.data, rtol=1e-4, atol=1e-5
    )


def test_a_number_of_views_that_is_none_is_refused():
    for wrong in (
        lambda: build_madnet(test_cfg={'mode': 'whole', 'views': 3}),
        lambda: build_madnet().set_test_time(views=0),
    ):
        with pytest.raises(UserError, match=r'views: found [03], expected 1, 2, 4 or 8'):
            wrong()


def test_training_step_pads_images_and_both_masks():
    model = build_madnet(head={'soft_targets': True}).train()
    batch = images((48, 64), (64, 40))
    samples = [sample(48, 64), sample(64, 40)]
    data = model.data_preprocessor({'inputs': batch, 'data_samples': samples}, training=True)
    assert data['inputs'].shape == (2, 3, 64, 64)
    for padded in data['data_samples']:
        assert padded.gt_sem_seg.data.shape == padded.gt_mask.data.shape == (1, 64, 64)
    assert (data['data_samples'][1].gt_sem_seg.data[..., 40:] == 255).all()
    losses = model(**data, mode='loss')
    assert all(torch.isfinite(value) for value in losses.values())


def test_preprocessor_names_the_channels():
    model = build_madnet(in_channels=3)
    with pytest.raises(UserError, match=r'a\.png came with 1 channel\(s\), expected 3'):
        predict(model, images((40, 40), channels=1), [sample(40, 40, img_path='a.png')])
    grey = build_madnet(in_channels=1)
    (found,) = predict(grey, images((40, 40), channels=1), [sample(40, 40)])
    assert found.seg_logits.data.shape == (1, 40, 40)


def test_preprocessor_keeps_sizes_and_turns_bgr():
    preprocessor = MODELS.build(
        {'type': 'IRSTDPreProcessor', 'mean': [1, 2, 3], 'std': [1, 1, 1], 'bgr_to_rgb': True}
    )
    one, two = images((40, 41), (33, 35))
    inputs = preprocessor({'inputs': [one, two], 'data_samples': None})['inputs']
    assert [tuple(i.shape) for i in inputs] == [(3, 40, 41), (3, 33, 35)]
    expected = two[[2, 1, 0]].float() - torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    assert torch.equal(inputs[1], expected)
    assert preprocessor({'inputs': [one, one]})['inputs'].shape == (2, 3, 40, 41)


def test_two_channel_head_of_mmseg():
    model = MODELS.build(
        {
            'type': 'IRSTDSegmentor',
            'backbone': {'type': 'AdaDCMEncoder', 'base_channels': 4},
            'decode_head': {
                'type': 'FCNHead',
                'in_channels': 4,
                'channels': 4,
                'in_index': 0,
                'num_classes': 2,
                'norm_cfg': {'type': 'BN'},
            },
            'data_preprocessor': {'mean': [100.0] * 3, 'std': [50.0] * 3},
        }
    ).eval()
    (image,) = images((40, 40))
    (found,) = predict(model, [image], [sample(40, 40)])
    with torch.no_grad():
        raw = model.encode_decode(((image.float() - 100) / 50)[None])
    torch.testing.assert_close(found.seg_logits.data, raw.softmax(dim=1)[0, 1:])


@pytest.fixture
def _mmseg_scope():
    init_default_scope('mmseg')


def plain_mmseg(backbone, neck, head):
    model = MODELS.build(
        ConfigDict(
            type='EncoderDecoder',
            data_preprocessor={
                'type': 'SegDataPreProcessor',
                'mean': [100.0] * 3,
                'std': [50.0] * 3,
                'size_divisor': 1,
            },
            backbone=backbone,
            neck=neck,
            decode_head=head,
            test_cfg={'mode': 'whole'},
        )
    )
    stir(model)
    return model


def step(model, size):
    """One training step's gradient and one prediction."""
    batch = images(size, size)
    samples = [sample(*size, seed=i) for i in range(2)]
    data = model.train().data_preprocessor({'inputs': batch, 'data_samples': samples}, training=True)
    loss, log = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    found = predict(model.eval(), batch[:1], [sample(*size)])
    return log, found[0]


@pytest.mark.usefixtures('_mmseg_scope')
@pytest.mark.parametrize('size', [(96, 96), (75, 101)])
def test_neck_and_head_behind_a_resnet_in_plain_mmseg(size):
    model = plain_mmseg(
        {'type': 'ResNet', 'depth': 18, 'base_channels': 8, 'norm_cfg': {'type': 'BN'}},
        {'type': 'MemA2MNeck', 'in_channels': [8, 16, 32, 64]},
        {'type': 'MADNetHead', 'in_channels': [8, 16, 32, 64, 128]},
    )
    log, found = step(model, size)
    assert set(log) == {'loss', *(f'decode.loss_{m}' for m in ('s1', 's2', 's3', 's4', 's5', 'out'))}
    assert found.seg_logits.data.shape == (1, *size)
    assert ((found.seg_logits.data >= 0) & (found.seg_logits.data <= 1)).all()
    assert all(p.grad is not None for p in model.decode_head.parameters())


@pytest.mark.usefixtures('_mmseg_scope')
def test_our_encoder_under_a_head_of_mmseg():
    model = plain_mmseg(
        {'type': 'AdaDCMEncoder', 'base_channels': 4},
        None,
        {
            'type': 'FCNHead',
            'in_channels': 8,
            'in_index': 1,
            'channels': 8,
            'num_classes': 2,
            'out_channels': 1,
            'threshold': 0.5,
            'norm_cfg': {'type': 'BN'},
            'loss_decode': {'type': 'SoftIoULoss'},
        },
    )
    log, found = step(model, (48, 56))
    assert 0 < log['decode.loss_soft_iou'] < 1
    assert found.seg_logits.data.shape == (1, 48, 56)


@pytest.mark.usefixtures('_mmseg_scope')
def test_madnet_in_plain_mmseg_gives_the_same_logits():
    ours = build_madnet()
    plain = plain_mmseg(
        {'type': 'AdaDCMEncoder', 'base_channels': 4},
        {'type': 'MemA2MNeck', 'in_channels': [4, 8, 16, 32]},
        {'type': 'MADNetHead', 'in_channels': [4, 8, 16, 32, 64]},
    ).eval()
    plain.load_state_dict(ours.state_dict())
    (image,) = images((64, 72))
    (a,), (b,) = predict(ours, [image], [sample(64, 72)]), predict(plain, [image], [sample(64, 72)])
    torch.testing.assert_close(a.seg_logits.data, b.seg_logits.data)


def of_sixteens(height, width):
    return -(-height // 16) * 16, -(-width // 16) * 16


def test_a_backbone_that_takes_some_sizes_only_gets_them():
    plain, padded = build_madnet(), build_madnet()
    padded.backbone.padded_size = of_sixteens
    seen = []
    padded.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    x = torch.randn(2, 3, 45, 61)
    with torch.no_grad():
        logits = padded.encode_decode(x, [{}, {}])
        mirrored = F.pad(x, (0, 3, 0, 3), mode='reflect')
        assert torch.equal(logits, plain.encode_decode(mirrored, [{}, {}])[..., :45, :61])
    assert seen[0] == (2, 3, 48, 64)


def test_what_was_padded_counts_in_no_loss():
    model = build_madnet(head={'loss_decode': {'type': 'MaskBCELoss'}})
    x, samples = torch.randn(1, 3, 45, 61), [sample(45, 61)]
    model.backbone.padded_size = of_sixteens
    found = model.loss(x, samples)
    assert samples[0].gt_sem_seg.data.shape == (1, 45, 61)
    with torch.no_grad():
        logits = model.encode_decode(x, [{}])
    target = samples[0].gt_sem_seg.data[None].float()
    expected = F.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(found['decode.loss_out'], expected, rtol=1e-5, atol=1e-6)


class SharingNeck(torch.nn.Module):
    """One of the user's own, with a name that means something else to it."""

    def __init__(self, in_channels):
        super().__init__()
        self.pyramid_channels, self.shared = in_channels, torch.nn.Identity()


def test_a_layer_of_a_neck_of_the_users_own_is_not_taken_for_settings():
    build_madnet(neck={'type': SharingNeck})


def test_necks_in_a_list_follow_one_another():
    necks = [{'type': 'MemA2MNeck'}, {'type': 'MemA2MNeck', 'out_channels': 24}]
    backbone = {'type': 'AdaDCMEncoder', 'base_channels': 4, 'num_stages': 3}
    model = build_madnet(backbone=backbone, neck=necks)
    first, second = model.neck
    assert first.pyramid_channels[:3] == model.backbone.pyramid_channels
    assert second.pyramid_channels == [*first.pyramid_channels, 24]
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps = model.extract_feat(x)
        expected = second(first(model.backbone(x)))
    assert [tuple(m.shape[2:]) for m in maps] == [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)]
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))
    _, found = step(model, (64, 64))
    assert found.seg_logits.data.shape == (1, 64, 64)


def by_hand(model, image, scale):
    """Logits (1, 1, H, W) of a normalised image at a scale: filtered and enlarged by matrices."""
    height, width = image.shape[2:]
    h, w = round(height * scale), round(width * scale)
    small = shrinking(height, h) @ image @ shrinking(width, w).T
    with torch.no_grad():
        logits = model.encode_decode(small.float(), [{}])
    return F.interpolate(logits, size=(height, width), mode='bilinear', align_corners=False)


def shrinking(length, to):
    """The triangle filter, as wide as the pixels of the smaller image, as a matrix (to, length)."""
    ratio = length / to
    centres = (torch.arange(to, dtype=torch.float64) + 0.5) * ratio
    distance = (torch.arange(length) + 0.5 - centres[:, None]).abs() / max(ratio, 1)
    weights = (1 - distance).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def test_scales_against_their_merge_taken_by_hand():
    model = build_madnet()
    (image,) = images((80, 106))
    normalised = ((image.double() - 100) / 50)[None]
    maps = [by_hand(model, normalised, scale) for scale in (1, 0.7, 0.5)]
    for merge, expected in (('mean', torch.stack(maps).mean(0)), ('max', torch.stack(maps).amax(0))):
        model.set_test_time(scales=[1, 0.7, 0.5], merge=merge)
        (found,) = predict(model, [image], [sample(80, 106)])
        torch.testing.assert_close(found.net_logits.data, expected[0], rtol=1e-4, atol=1e-4)
        assert torch.equal(found.seg_logits.data, found.net_logits.data.sigmoid())
    assert not torch.allclose(maps[0], maps[2], atol=1e-3)
    model.set_test_time(scales=[0.7], merge='mean')
    (found,) = predict(model, [image], [sample(80, 106)])
    torch.testing.assert_close(found.net_logits.data, maps[1][0], rtol=1e-4, atol=1e-4)
    # one scale of 1 is bit for bit what it is without
    (plain,) = predict(build_madnet(), [image], [sample(80, 106)])
    model.set_test_time(scales=(1,))
    (found,) = predict(model, [image], [sample(80, 106)])
    assert torch.equal(found.net_logits.data, plain.net_logits.data)


def test_scales_with_all_views_and_with_padding():
    padded = {'data_preprocessor': {'mean': [100.0] * 3, 'std': [50.0] * 3, 'test_cfg': {'size_divisor': 32}}}
    seen = []
    model = build_madnet(**padded)
    encode_decode = model.encode_decode
    model.encode_decode = lambda x, metas=None: (seen.append(tuple(x.shape[2:])), encode_decode(x, metas))[1]
    model.set_test_time(scales=[1, 0.5], views=2)
    (image,) = images((80, 106))
    (found,) = predict(model, [image], [sample(80, 106)])
    assert found.net_logits.data.shape == (1, 80, 106)
    # every scale is padded as a test image of that size is
    assert seen == [(96, 128)] * 2 + [(64, 64)] * 2
    model.set_test_time(scales=[0.5], views=1)
    (half,) = predict(model, [image], [sample(80, 106)])
    small = F.interpolate(((image.float() - 100) / 50)[None], size=(40, 53), mode='bilinear', antialias=True)
    with torch.no_grad():
        logits = encode_decode(F.pad(small, (0, 11, 0, 24)), [{}])[..., :40, :53]
    expected = F.interpolate(logits, size=(80, 106), mode='bilinear')[0]
    torch.testing.assert_close(half.net_logits.data, expected, rtol=1e-5, atol=1e-5)


def test_a_target_of_two_channels_is_merged_as_one_map():
    model = build_madnet()
    two = torch.randn(1, 2, 40, 40)
    model.inference = lambda image, metas: two[..., : image.shape[2], : image.shape[3]]
    model.set_test_time(scales=[1, 2], merge='max')
    (found,) = model._logits([torch.randn(1, 3, 20, 20)], [{'ori_shape': (20, 20)}])
    difference = two[:, 1:] - two[:, :1]
    large = F.interpolate(difference, size=(20, 20), mode='bilinear')
    torch.testing.assert_close(found, torch.maximum(difference[..., :20, :20], large))


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [
        ({'scales': []}, 'scales: found'),
        ({'scales': [1, 1.0]}, 'expected different numbers'),
        ({'scales': '0.5'}, 'scales: found'),
        ({'scales': [0.0]}, 'expected numbers from'),
        ({'scales': [1, 0.5], 'merge': 'median'}, "expected 'mean' or 'max'"),
        ({'merge': 'max'}, 'with the one scale'),
    ],
)
def test_scales_that_are_none_are_refused(wrong, words):
    with pytest.raises(UserError, match=words):
        build_madnet().set_test_time(**wrong)
    with pytest.raises(UserError, match=words):
        build_madnet(test_cfg=wrong)
