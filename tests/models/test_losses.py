"""Losses against plain formulas and the published code's values."""

import importlib.util
import json

import pytest
import torch
import torch.nn.functional as F
from mmseg.models.losses.focal_loss import py_sigmoid_focal_loss
from mmseg.registry import MODELS

from madnet.errors import UserError
from madnet.models.losses import MaskBCELoss, SoftIoULoss, bce_loss, sls_loss, soft_dice_loss, soft_iou_loss


def batch(seed=0, shape=(3, 1, 20, 24)):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape, generator=generator)
    target = (torch.rand(shape, generator=generator) > 0.9).float()
    return logits, target


def test_soft_iou_golden(golden_dir):
    expected = json.loads((golden_dir / 'metrics/metrics.json').read_text())['softiou']
    data = torch.load(golden_dir / 'metrics/metrics.pt', weights_only=True)
    logits, labels = data['pred_logits'].clone().requires_grad_(), data['labels']
    for i, value in enumerate(expected['per_pair']):
        assert soft_iou_loss(logits[i : i + 1], labels[i : i + 1]).item() == pytest.approx(value, abs=1e-6)
    assert soft_iou_loss(logits[:8], labels[:8]).item() == pytest.approx(expected['batch8_first'], abs=1e-6)
    loss = soft_iou_loss(logits, labels)
    assert loss.item() == pytest.approx(expected['batch20'], abs=1e-6)
    loss.backward()
    torch.testing.assert_close(logits.grad, data['softiou_grad_batch20'], rtol=1e-4, atol=1e-9)
    assert logits.grad.norm().item() == pytest.approx(expected['grad_l2'], rel=1e-5)
    per_image = soft_iou_loss(logits, labels, per_image=True)
    assert per_image.item() == pytest.approx(sum(expected['per_pair']) / 20, abs=1e-6)


def test_soft_iou_is_the_formula():
    logits, target = batch()
    p = 1 / (1 + (-logits).exp())
    both = (p * target).sum()
    expected = 1 - (both + 2) / (p.sum() + target.sum() - both + 2)
    assert soft_iou_loss(logits, target, smooth=2.0).item() == pytest.approx(expected.item(), rel=1e-6)


def test_soft_dice_is_the_formula():
    logits, target = batch()
    p = 1 / (1 + (-logits).exp())
    expected = 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
    assert soft_dice_loss(logits, target).item() == pytest.approx(expected.item(), rel=1e-6)
    each = [soft_dice_loss(logits[i : i + 1], target[i : i + 1]) for i in range(3)]
    found = soft_dice_loss(logits, target, per_image=True)
    assert found.item() == pytest.approx((sum(each) / 3).item(), rel=1e-6)


def test_squared_dice_is_the_published_formula():
    """RepISD-Net's, per image; an image without target has a gradient only with s above the line."""
    logits, target = batch()
    target[2] = 0
    p = 1 / (1 + (-logits.double()).exp())
    expected = 0
    for i in range(3):
        both = (p[i] * target[i]).sum()
        expected += (1 - 2 * both / ((p[i] ** 2).sum() + (target[i] ** 2).sum() + 2 * 1e-3)) / 3
    published = {'smooth': 2e-3, 'per_image': True, 'squared': True, 'smooth_numerator': False}
    logits.requires_grad_()
    loss = MODELS.build({'type': 'SoftDiceLoss', **published})(logits, target)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    loss.backward()
    assert (logits.grad.flatten(1).norm(dim=1) > 0).tolist() == [True, True, False]
    logits.grad = None
    repaired = soft_dice_loss(logits, target, **(published | {'smooth_numerator': True}))
    assert repaired.item() == pytest.approx(loss.item(), abs=1e-3)
    repaired.backward()
    assert (logits.grad[2] > 0).all()


def test_bce_is_torchs():
    logits, target = batch()
    expected = F.binary_cross_entropy(logits.double().sigmoid(), target.double())
    assert bce_loss(logits, target).item() == pytest.approx(expected.item(), rel=1e-5)
    p = logits.double().sigmoid()
    weighted = -(4 * target * p.log() + (1 - target) * (1 - p).log()).mean()
    assert bce_loss(logits, target, pos_weight=4).item() == pytest.approx(weighted.item(), rel=1e-5)
    soft = 0.98 * target + 0.01
    softened = -(soft * p.log() + (1 - soft) * (1 - p).log()).mean()
    assert bce_loss(logits, target, smoothing=0.02).item() == pytest.approx(softened.item(), rel=1e-5)
    assert MaskBCELoss(smoothing=0.02)(logits, target).item() == pytest.approx(softened.item(), rel=1e-5)
    with pytest.raises(UserError, match='smoothing: found 1,'):
        MaskBCELoss(smoothing=1)


@pytest.mark.parametrize('loss', [soft_iou_loss, soft_dice_loss, bce_loss])
def test_perfect_and_opposite_predictions(loss):
    _, target = batch()
    perfect, opposite = 40 * target - 20, 20 - 40 * target
    assert loss(perfect, target).item() == pytest.approx(0, abs=1e-4)
    assert loss(opposite, target).item() > 0.9
    assert loss(torch.full_like(target, -20), torch.zeros_like(target)).item() == pytest.approx(0, abs=1e-4)


@pytest.fixture(scope='module')
def sls(golden_dir):
    spec = importlib.util.spec_from_file_location('recipe', golden_dir / 'recipe.py')
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    golden = torch.load(golden_dir / 'zoo/sls_loss.pt', weights_only=True)
    tag, shape = golden['logit_recipe']
    return 2 * recipe.recipe_input(tag, shape) - 2, golden


@pytest.mark.parametrize('published_empty', [True, False])
@pytest.mark.parametrize('epoch', [0, 5, 6, 100])
@pytest.mark.parametrize('with_shape', [True, False])
def test_sls_golden(sls, epoch, with_shape, published_empty):
    logits, golden = sls
    logits = logits.clone().requires_grad_()
    module = MODELS.build(
        {
            'type': 'SLSLoss',
            'warm_epoch': golden['warm_epoch'],
            'with_shape': with_shape,
            'published_empty': published_empty,
        }
    )
    expected = golden['values'][f'e{epoch}_shape{int(with_shape)}']
    module.set_epoch(epoch, 400)
    loss = module(logits, golden['target'])
    assert loss.item() == pytest.approx(expected['loss'], abs=1e-6)
    loss.backward()
    assert logits.grad.norm().item() == pytest.approx(expected['grad_l2'], rel=1e-5)
    torch.testing.assert_close(logits.grad[..., ::4, ::4], expected['grad_ds4'], rtol=1e-4, atol=1e-9)


SLS_CASES = {
    'empty mask, logit=0': ('empty', 0.0),
    'empty mask, logit=-5': ('empty', -5.0),
    'empty mask, logit=-50': ('empty', -50.0),
    'empty mask, logit=-100': ('empty', -100.0),
    'empty mask, logit=-110': ('empty', -110.0),
    'batch one empty+logit-110': ('one empty', -110.0),
    'saturated exact': ('exact', 200.0),
    'target, logit=-110': ('target', -110.0),
    'target, logit=+20': ('target', 20.0),
    '1px target at (0,0), logit 0': ('corner', 0.0),
}


def edge_case(kind, logit, golden):
    target = torch.zeros(1, 1, 32, 48)
    if kind in ('target', 'exact'):
        target = golden['target'][:1].clone()
    elif kind == 'one empty':
        target = torch.cat([golden['target'][:1], target])
    elif kind == 'corner':
        target[..., 0, 0] = 1
    logits = torch.full_like(target, logit)
    if kind == 'exact':
        logits = logit * (2 * target - 1)
    return logits.requires_grad_(), target


def test_sls_scale_factor(sls):
    """The factor of the overlap, which grows and falls with the area that is predicted for ten pixels."""
    _, golden = sls
    cases = {key: value for key, value in golden['values'].items() if key.startswith('alpha_T10_P')}
    assert len(cases) == 13
    for key, alpha in cases.items():
        area = float(key.removeprefix('alpha_T10_P'))
        side = 182 if area > 1000 else 40
        target, prob = torch.zeros(2, 1, 1, side, side, dtype=torch.float64)
        target.view(-1)[:10] = 1
        whole = int(area)
        prob.view(-1)[:whole] = 1
        if whole < area:
            prob.view(-1)[whole] = area - whole
        logits = prob.logit(eps=1e-15)
        both, union = min(area, 10), max(area, 10)
        loss = sls_loss(logits, target, with_shape=False)
        assert (1 - loss.item()) / (both / union) == pytest.approx(alpha, rel=1e-4), key


def test_sls_parts_of_every_image(sls):
    logits, golden = sls
    for i in range(3):
        expected = golden['values'][f'sample{i}']
        one = logits[i : i + 1], golden['target'][i : i + 1]
        assert sls_loss(*one, warm=True).item() == pytest.approx(1 - expected['iou'], abs=1e-6)
        plain = sls_loss(*one, with_shape=False).item()
        assert plain == pytest.approx(1 - expected['alpha'] * expected['iou'], abs=1e-6)
        assert sls_loss(*one).item() - plain == pytest.approx(expected['lloc'], abs=1e-6)


@pytest.mark.parametrize('name', SLS_CASES)
@pytest.mark.parametrize('epoch', [0, 6])
def test_sls_published_edge_cases(sls, name, epoch):
    _, golden = sls
    logits, target = edge_case(*SLS_CASES[name], golden)
    expected = golden['values'][f'case_{name}_e{epoch}']
    loss = sls_loss(logits, target, warm=epoch <= 5, published_empty=True)
    assert loss.item() == pytest.approx(expected['loss'], abs=2e-6, nan_ok=True)
    loss.backward()
    assert bool(logits.grad.isnan().any()) == expected['grad_nan']
    if not expected['grad_nan']:
        assert logits.grad.norm().item() == pytest.approx(expected['grad_l2'], rel=1e-4, abs=1e-9)


@pytest.mark.parametrize('warm', [True, False])
def test_sls_pushes_false_alarms_of_empty_images_down(warm):
    target = torch.zeros(2, 1, 32, 48)
    target[1, 0, 3:6, 4:8] = 1
    for value in (0.0, -5.0, -110.0):
        logits = torch.full_like(target, value).requires_grad_()
        loss = sls_loss(logits, target, warm=warm)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(logits.grad).all()
        if value > -100:
            logits.grad = None
            # The location term also turns the mass around the corner, so it pushes some pixels up.
            sls_loss(logits, target, warm=warm, with_shape=False).backward()
            assert (logits.grad[0] > 0).all()
    losses = [sls_loss(torch.full((1, 1, 32, 48), v), target[:1], warm=warm) for v in (-2.0, -6.0, -110.0)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] == pytest.approx(0, abs=2e-4)


def test_sls_warms_up_in_its_first_epochs():
    logits, target = batch()
    module = MODELS.build({'type': 'SLSLoss', 'warm_epoch': 2})
    assert torch.equal(module(logits, target), sls_loss(logits, target, warm=False))
    for epoch, warm in ((0, True), (2, True), (3, False)):
        module.set_epoch(epoch, 10)
        assert torch.equal(module(logits, target), sls_loss(logits, target, warm=warm))


def test_bce_begins_late():
    logits, target = batch()
    loss = MODELS.build({'type': 'MaskBCELoss', 'begin': 0.8})
    expected = F.binary_cross_entropy_with_logits(logits, target)
    assert loss(logits, target) == 0  # before a Runner says otherwise, as in epoch 0
    for epochs, first in ((60, 48), (12, 10), (10, 8), (3, 2), (2, 1), (1, 0)):
        values = []
        for epoch in range(epochs):
            loss.set_epoch(epoch, epochs)
            values.append(loss(logits, target))
        assert [bool(v) for v in values] == [False] * first + [True] * (epochs - first)
        torch.testing.assert_close(values[-1], expected)
    never = MODELS.build({'type': 'MaskBCELoss', 'begin': 1})
    for epochs in range(1, 11):
        never.set_epoch(epochs - 1, epochs)
        loss.set_epoch(epochs - 1, epochs)
        assert (loss.active, never.active) == (True, False)
    with pytest.raises(UserError, match='begin: found 8,'):
        MODELS.build({'type': 'MaskBCELoss', 'begin': 8})


@pytest.mark.parametrize('kind', ['SoftIoULoss', 'SoftDiceLoss', 'MaskBCELoss', 'SLSLoss'])
def test_modules(kind):
    logits, target = batch()
    module = MODELS.build({'type': kind, 'loss_weight': 2.0, 'loss_name': 'loss_mine'})
    plain = MODELS.build({'type': kind})
    assert module.loss_name == 'loss_mine'
    assert 'loss' in plain.loss_name
    value = plain(logits, target)
    assert module(logits, target).item() == pytest.approx(2 * value.item(), rel=1e-6)
    assert plain(logits, target.squeeze(1).long()).item() == pytest.approx(value.item(), rel=1e-6)

    # Ignored pixels and pixels of weight 0 count as if they were cut off.
    ignored = target.squeeze(1).long()
    ignored[:, :, 12:] = 255
    weight = torch.ones_like(target)
    weight[..., 12:] = 0
    changed = logits.clone()
    changed[..., 12:] = 7
    found = plain(logits, ignored)
    assert torch.equal(found, plain(changed, ignored))
    torch.testing.assert_close(found, plain(changed, target, weight=weight))
    if kind != 'SLSLoss':  # its location term knows the size of the image
        torch.testing.assert_close(found, plain(logits[..., :12], target[..., :12]))


@pytest.mark.parametrize('loss', [soft_iou_loss, soft_dice_loss, bce_loss, sls_loss])
def test_half_precision_is_summed_in_full(loss):
    logits, target = batch(shape=(2, 1, 256, 256))
    assert loss(logits.half(), target.half()).item() == pytest.approx(loss(logits, target).item(), rel=1e-3)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r'\(B, 1, H, W\)'):
        soft_iou_loss(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 5))


def test_a_name_that_mmengine_would_not_add_up_is_refused():
    with pytest.raises(UserError, match="'loss' in it"):
        SoftIoULoss(loss_name='iou')


@pytest.mark.parametrize('alpha', [0.25, 0.5])
@pytest.mark.parametrize('gamma', [1.0, 2.0])  # below 1 its gradient is NaN where a pixel is right
def test_the_focal_loss_is_mmsegs(alpha, gamma):
    logits, target = batch()
    logits = (3 * logits).requires_grad_()
    theirs = py_sigmoid_focal_loss(
        logits.flatten()[:, None], target.flatten()[:, None], None, None, gamma, alpha
    )
    (expected,) = torch.autograd.grad(theirs, logits)
    loss = MaskBCELoss(pos_weight=alpha / (1 - alpha), loss_weight=1 - alpha, gamma=gamma)
    ours = loss(logits, target)
    (found,) = torch.autograd.grad(ours, logits)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-9)


def test_the_focal_loss_has_a_gradient_where_a_pixel_is_exactly_right():
    logits = torch.full((1, 1, 2, 2), 200.0, requires_grad=True)
    bce_loss(logits, torch.ones(1, 1, 2, 2), gamma=0.5).backward()
    assert logits.grad.isfinite().all()
    with pytest.raises(UserError, match='gamma: found -1,'):
        MaskBCELoss(gamma=-1)
