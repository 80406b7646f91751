"""ALCNet and its port without local contrast: outputs, cost, sizes, learning, checkpoints."""

import itertools

import pytest
import torch
from mmseg.registry import MODELS

from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.models.checkpoints.alcnet import convert_alcnet, export_alcnet, published_alcnet_shape
from madnet.models.layers import local_contrast, patch_contrast
from madnet.models.necks import ALCNetNeck

from . import checks

# name: (parameters, GMACs at 3×256×256, tensors of the published state dict). The port's total of 520,037
# (grey 519,889) counts 74,240 + 18,688 parameters of residual blocks that it never runs.
FORMS = {
    'alcnet_basic': (520_037 - 74_240 - 18_688, 0.2974, 359),
    'alcnet_basic_in1': (519_889 - 74_240 - 18_688, None, 359),
    'alcnet_official': (372_573, 3.6105, 196),
}
STAGES = {
    'backbone.stem': 'stem',
    **{f'backbone.stages.{i}': f'layer{i + 1}' for i in range(3)},
    **{f'neck.ups.{i}': f'deconv{i + 1}' for i in range(2)},
    **{f'neck.fusions.{i}': f'fuse{i + 1}{i + 2}' for i in range(2)},
    'neck.last': 'deconv0',
}
BASIC = {'backbone': {'type': 'ThinResNet'}, 'neck': {'type': 'ALCNetBasicNeck'}, 'head': {'stride': 2}}
CONTRAST = {
    'backbone': {'type': 'ThinResNet', 'stem_stride': 1},
    'neck': {'type': 'ALCNetNeck', 'shifts': (3, 5)},
    'head': {},
}


def build_alcnet(form, in_channels=3, **backbone):
    return checks.build(
        {'blocks': 1, 'base_channels': 8, **form['backbone'], **backbone},
        {'type': 'FCNSegHead', **form['head']},
        in_channels,
        neck=form['neck'],
    )


@pytest.mark.parametrize('name', FORMS)
def test_equals_the_published_network(golden_dir, name):
    published = checks.published_state(golden_dir, checks.published_keys(golden_dir, name))
    parameters, gmacs, tensors = FORMS[name]
    assert len(published) == tensors
    parts = published_alcnet_shape(published).model()
    channels = parts['backbone'].pop('in_channels')
    model = checks.build(parts['backbone'], parts['decode_head'], channels, neck=parts['neck'])
    model.load_state_dict(convert_alcnet(published))
    checks.assert_published(golden_dir, name, model, STAGES, parameters, gmacs)

    exported = export_alcnet(model.state_dict())
    dead = {key for key in published if key.startswith('uplayer')}
    assert set(exported) == set(published) - dead
    assert bool(dead) == ('basic' in name)
    unused = {'stem.0.weight', 'stem.0.bias'} if name == 'alcnet_official' else set()
    assert all(torch.equal(exported[key], published[key]) for key in set(exported) - unused)


def test_contrast_pixel_by_pixel():
    torch.manual_seed(0)
    x = torch.randn(2, 2, 6, 7)
    found = patch_contrast(x, 4)
    for y, z in itertools.product(range(6), range(7)):
        products = []
        for dy, dx in ((4, 4), (4, 0), (4, -4), (0, 4)):
            there, opposite = x[..., (y + dy) % 6, (z + dx) % 7], x[..., (y - dy) % 6, (z - dx) % 7]
            products.append((there - x[..., y, z]) * (opposite - x[..., y, z]))
        assert torch.equal(found[..., y, z], torch.stack(products).amin(dim=0))
    assert torch.equal(local_contrast(x, (1, 4)), torch.maximum(patch_contrast(x, 1), found))


def test_contrast_finds_a_point_and_not_an_edge():
    point, edge = torch.zeros(2, 1, 1, 21, 21)
    point[..., 10, 10] = 2
    edge[..., 10:] = 2
    contrast = patch_contrast(point, 3)
    assert contrast[..., 10, 10] == 4
    assert contrast.count_nonzero() == 1
    assert patch_contrast(edge, 3).abs().max() == 0


@pytest.mark.parametrize('form', [BASIC, CONTRAST], ids=['basic', 'contrast'])
def test_learns_and_takes_any_size(form):
    checks.check_learns(build_alcnet(form, 3), 3)
    grey = build_alcnet(form, 1, base_channels=8)
    checks.check_learns(grey, 1)
    checks.check_sizes(grey, 1)


def test_odd_sizes_keep_pixels_in_place():
    """The basic form's map of stride 2 is a little larger than half the image: twice it, then cut."""
    model = build_alcnet(BASIC, 1)
    x = torch.randn(1, 1, 129, 131)
    with torch.no_grad():
        half = model.decode_head(model.extract_feat(x))
        assert half.shape[2:] == (66, 66)
        twice = torch.nn.functional.interpolate(half, scale_factor=2, mode='bilinear')
        assert torch.equal(model.encode_decode(x), twice[..., :129, :131])


def test_what_does_not_fit_is_named():
    state = export_alcnet(build_alcnet(BASIC).state_dict())
    assert published_alcnet_shape({f'model.{k}': v for k, v in state.items()}).source == 'toolbox'
    with pytest.raises(UserError, match=r'1 missing: deconv1\.bias'):
        convert_alcnet({key: value for key, value in state.items() if key != 'deconv1.bias'})
    with pytest.raises(UserError, match=r'first keys are layer\.weight'):
        convert_alcnet({'layer.weight': torch.zeros(2, 2)})
    with pytest.raises(UserError, match='not a state dict of our ALCNet'):
        export_alcnet({'layer.weight': torch.zeros(2, 2)})
    with pytest.raises(UserError, match='shifts is empty'):
        ALCNetNeck([8, 16], shifts=())


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('alcnet_published', FORMS['alcnet_official'][0]),
        ('alcnet', FORMS['alcnet_official'][0] - 2 * 9 * 16),
        ('alcnet_basic', FORMS['alcnet_basic_in1'][0]),
        ('alcnet_basic_toolbox', FORMS['alcnet_basic_in1'][0]),
    ],
)
@pytest.mark.parametrize('data', ['nuaa', 'nudt', 'irstd1k', 'sirstaug'])
def test_configs(repository, name, parameters, data):
    config = load_config(repository / 'configs' / 'alcnet' / f'{name}.py', dataset=data)
    model = MODELS.build(config.model)
    assert model.data_preprocessor.mean.numel() == model.backbone.in_channels
    assert checks.count_parameters(model) == parameters
    datasets = [config[f'{part}_dataloader'].dataset.name for part in ('train', 'test')]
    assert datasets == [checks.DATA_SETS[data]] * 2
    if name == 'alcnet_published':
        assert config.optim_wrapper.optimizer == dict(type='Adagrad', lr=0.1, weight_decay=1e-4)
        assert config.train_dataloader.batch_size == 2
