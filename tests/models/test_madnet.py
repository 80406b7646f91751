"""MAD-Net as a whole: published form, sizes, widths, gradients."""

import pytest
import torch
from madnet_reference import madnet as reference
from mmseg.registry import MODELS
from small_models import build_madnet, sample
from torch.utils.flop_counter import FlopCounterMode

from madnet.errors import UserError
from madnet.models import switch_to_deploy
from madnet.models.checkpoints.madnet import export_madnet


def test_published_parameters_and_cost():
    model = build_madnet(base_channels=16)
    assert sum(p.numel() for p in model.parameters()) == 3_721_334
    assert len(list(model.parameters())) == 252
    assert len(model.state_dict()) == 288
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.encode_decode(torch.zeros(1, 3, 256, 256), [{}])
    assert counter.get_total_flops() / 2e9 == pytest.approx(5.19, rel=0.01)


def test_published_cost_with_its_deep_supervision():
    model = build_madnet(base_channels=16)
    switch_to_deploy(model)  # how its kernels are mixed is no cost of an image
    model.decode_head.training = True
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert len(model(torch.zeros(1, 3, 256, 256))) == 6
    assert counter.get_total_flops() / 2e9 == pytest.approx(5.19, abs=0.005)


@pytest.mark.parametrize(
    ('in_channels', 'size'), [(3, (256, 256)), (1, (256, 512))], ids=['256x256', '256x512']
)
def test_equals_the_plain_reference(in_channels, size):
    """In double precision: in single precision, either is off by 1e-6 of the largest value of a map."""
    model = build_madnet(in_channels=in_channels)
    x = torch.randn(2, in_channels, *size)
    with torch.no_grad():
        prediction = model.encode_decode(x, [{}] * 2)
        exact = model.double()
        expected = reference(export_madnet(exact.state_dict(), prefix=''), x.double())
        torch.testing.assert_close(prediction.double(), expected[-1], rtol=1e-4, atol=1e-4)
        # Deep supervision speaks in training only; normalisation stays in evaluation, as in the reference.
        exact.decode_head.training = True
        found = exact(x.double())
    assert len(found) == len(expected) == 6
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (100, 75), (32, 131)])
@pytest.mark.parametrize('in_channels', [1, 3])
def test_any_size_in_evaluation_and_training(size, in_channels):
    model = build_madnet(in_channels=in_channels)
    x = torch.randn(2, in_channels, *size)
    pyramid = model.backbone(x)
    for i, (fine, channels) in enumerate(zip(pyramid, (4, 8, 16, 32), strict=True)):
        assert fine.shape == (2, channels, -(-size[0] // 2**i), -(-size[1] // 2**i))
    assert model.neck(pyramid)[-1].shape == (2, 64, -(-size[0] // 16), -(-size[1] // 16))
    with torch.no_grad():
        assert model.encode_decode(x, [{}] * 2).shape == (2, 1, *size)
        maps = model.train()(x)
    assert [m.shape for m in maps] == [(2, 1, *size)] * 6


def test_a_far_part_of_an_odd_image_does_not_see_the_border():
    """Cutting columns off at the right leaves the left of the encoder's maps as they were."""
    model = build_madnet()
    x = torch.randn(1, 3, 64, 256)
    with torch.no_grad():
        whole, cut = model.backbone(x), model.backbone(x[..., :-5])
    for i, (a, b) in enumerate(zip(whole, cut, strict=True)):
        columns = 128 >> i
        torch.testing.assert_close(a[..., :columns], b[..., :columns], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('shape', 'words'), [((1, 3, 31, 64), ('31×64', '32×32')), ((1, 1, 64, 64), ('in_channels=3',))]
)
def test_wrong_images_are_refused(shape, words):
    model = build_madnet()
    with pytest.raises(UserError) as error:
        model.encode_decode(torch.zeros(shape), [{}])
    assert isinstance(error.value, ValueError)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize('deep_supervision', [True, False])
def test_gradients_reach_every_parameter(deep_supervision):
    model = build_madnet(head={'deep_supervision': deep_supervision}).train()
    # Large enough for more than one window, so that no shift hides; drop path would hide branches.
    for module in model.modules():
        if hasattr(module, 'drop_prob'):
            module.drop_prob = 0.0
    losses = model(torch.randn(2, 3, 72, 80), [sample(72, 80, seed=i) for i in range(2)], mode='loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    # A bias before a normalisation in training is subtracted again with the mean.
    dead = [name for name in dead if not name.endswith('conv.bias')]
    assert dead == []


def test_width_is_one_number():
    narrow, wide = build_madnet(base_channels=4), build_madnet(base_channels=8)
    assert narrow.neck.pyramid_channels == [4, 8, 16, 32, 64]
    assert wide.decode_head.in_channels == [8, 16, 32, 64, 128]


def test_folded_model_gives_the_same_logits():
    model = build_madnet()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model.encode_decode(x, [{}])
        parameters = sum(p.numel() for p in model.parameters())
        switch_to_deploy(model)
        torch.testing.assert_close(model.encode_decode(x, [{}]), before, rtol=0, atol=0)
    assert sum(p.numel() for p in model.parameters()) < parameters


def losses_of(head, **sample_kwargs):
    model = build_madnet(head=head).train()
    torch.manual_seed(1)
    x = torch.randn(2, 3, 48, 48)
    return model(x, [sample(48, 48, seed=i, **sample_kwargs) for i in range(2)], mode='loss')


def total(losses):
    return sum(value for key, value in losses.items() if 'loss' in key)


def test_losses_of_all_maps_sum_unweighted():
    losses = losses_of({})
    assert list(losses) == [f'decode.loss_{name}' for name in ('s1', 's2', 's3', 's4', 's5', 'out')]
    assert 0 < total(losses) < 6
    assert list(losses_of({'deep_supervision': False})) == ['decode.loss_out']


def test_losses_can_be_weighted_and_several():
    plain = losses_of({})
    weighted = losses_of({'loss_weights': [0, 0, 0, 0, 0.5, 2]})
    assert weighted['decode.loss_s1'] == 0
    assert weighted['decode.loss_out'].item() == pytest.approx(2 * plain['decode.loss_out'].item(), rel=1e-5)
    several = losses_of(
        {'loss_decode': [{'type': 'SoftIoULoss'}, {'type': 'MaskBCELoss', 'loss_weight': 3.0}]}
    )
    assert len(several) == 12
    assert several['decode.loss_soft_iou_s2'].item() == pytest.approx(
        plain['decode.loss_s2'].item(), rel=1e-5
    )
    with pytest.raises(UserError, match='s1, s2, s3, s4, s5, out'):
        build_madnet(head={'loss_weights': [1, 1]})


def test_a_loss_of_mmseg_serves_too():
    ours = losses_of({'loss_decode': {'type': 'MaskBCELoss'}})
    stock = losses_of({'loss_decode': {'type': 'CrossEntropyLoss', 'use_sigmoid': True}})
    for key, value in ours.items():
        assert stock[key].item() == pytest.approx(value.item(), rel=1e-5)


def test_soft_targets_are_the_grey_values():
    soft = losses_of({'soft_targets': True})
    hard = losses_of({})
    assert soft['decode.loss_out'] != hard['decode.loss_out']

    head = build_madnet(head={'soft_targets': True}).decode_head
    logits = torch.randn(1, 1, 48, 48)
    mask = sample(48, 48).gt_mask.data / 255
    prob = logits.sigmoid()
    both = (prob * mask).sum()
    expected = 1 - (both + 1) / (prob.sum() + mask.sum() - both + 1)
    found = head.loss_by_feat(logits, [sample(48, 48)])
    assert found['loss_out'].item() == pytest.approx(expected.item(), rel=1e-5)
    with pytest.raises(UserError, match='gt_mask'):
        losses_of({'soft_targets': True}, grey=False)


@pytest.mark.parametrize('soft_targets', [True, False])
def test_ignored_pixels_count_nowhere(soft_targets):
    head = build_madnet(head={'soft_targets': soft_targets}).decode_head
    logits = torch.randn(1, 1, 48, 48)
    marked = sample(48, 48)
    marked.gt_sem_seg.data[:, 30:] = 255
    other = logits.clone()
    other[:, :, 30:] += 5
    a, b = head.loss_by_feat(logits, [marked]), head.loss_by_feat(other, [marked])
    assert torch.equal(a['loss_out'], b['loss_out'])


def test_pyramid_that_does_not_halve_is_refused():
    head = MODELS.build({'type': 'MADNetHead', 'in_channels': [4, 8]})
    with pytest.raises(UserError, match='16×16 is followed by one of 16×16, expected 8×8'):
        head([torch.zeros(1, 4, 16, 16), torch.zeros(1, 8, 16, 16)])
    with pytest.raises(UserError, match='at least 2'):
        MODELS.build({'type': 'MADNetHead', 'in_channels': [4]})
