"""ACM in all its published forms: outputs, cost, sizes, learning, checkpoints."""

import pytest
import torch
from mmseg.registry import MODELS

from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.models.backbones import ThinResNet
from madnet.models.checkpoints.acm import convert_acm, export_acm, published_acm_shape
from madnet.models.layers import AsymmetricFusion, ResidualBlock
from madnet.models.necks import ACMFPNNeck

from . import checks

# name: (parameters, GMACs at 3×256×256, tensors of the published state dict)
FORMS = {
    'acm_unet': (397_971, 0.3457, 297),
    'acm_unet_in1': (397_823, None, 297),
    'acm_unet_tz': (519_843, 0.4421, 371),
    'acm_fpn_tz': (387_187, 0.2764, 271),
    'acm_unet_official': (518_413, 0.4400, 300),
    'acm_unet_tiny_official': (516_869, 6.559, 290),
    'acm_fpn_official': (387_181, 0.2764, 228),
    'acm_fpn_tiny_official': (385_637, 3.942, 218),
}
STAGES = {'backbone.stem': 'stem', **{f'backbone.stages.{i}': f'layer{i + 1}' for i in range(3)}}
UNET_STAGES = {
    **{f'neck.ups.{i}': f'deconv{i + 1}' for i in range(2)},
    **{f'neck.fusions.{i}': f'fuse{i + 1}' for i in range(2)},
    **{f'neck.layers.{i}': f'uplayer{i + 1}' for i in range(2)},
}
FPN_STAGES = {f'neck.fusions.{i}': f'fuse{i + 1}{i + 2}' for i in range(2)}


def build_acm(in_channels=3, neck='ACMUNetNeck', blocks=3, **backbone):
    neck = {'type': neck, 'blocks': blocks} if neck == 'ACMUNetNeck' else {'type': neck}
    backbone = {'type': 'ThinResNet', 'blocks': blocks, **backbone}
    return checks.build(backbone, {'type': 'FCNSegHead'}, in_channels, neck=neck)


def published_acm(golden_dir, name):
    return checks.published_state(golden_dir, checks.published_keys(golden_dir, name))


def build_like(published):
    parts = published_acm_shape(published).model()
    in_channels = parts['backbone'].pop('in_channels')
    model = checks.build(parts['backbone'], parts['decode_head'], in_channels, neck=parts['neck'])
    model.load_state_dict(convert_acm(published))
    return model


@pytest.mark.parametrize('name', FORMS)
def test_equals_the_published_network(golden_dir, name):
    published = published_acm(golden_dir, name)
    parameters, gmacs, tensors = FORMS[name]
    assert len(published) == tensors
    model = build_like(published)
    stages = STAGES | (UNET_STAGES if 'unet' in name else FPN_STAGES)
    checks.assert_published(golden_dir, name, model, stages, parameters, gmacs)

    exported = export_acm(model.state_dict())
    assert set(exported) == set(published)
    unused = ('stem.0.weight', 'stem.0.bias') if 'official' in name else ()
    assert all(torch.equal(exported[key], published[key]) for key in published if key not in unused)


def test_sizes_that_only_some_forms_take_are_equal_where_published(golden_dir):
    """At 253…256 pixels the toolbox's U-Net gives 256 pixels, of which the image's are the first."""
    model = build_like(published_acm(golden_dir, 'acm_unet'))
    x = checks.golden_input(golden_dir, 3, 253, 255)
    with torch.no_grad():
        maps = model.extract_feat(x)
        quarter = model.decode_head(maps)
        whole = torch.nn.functional.interpolate(quarter, size=(256, 256), mode='bilinear')
        assert torch.equal(model.encode_decode(x), whole[..., :253, :255])


def test_stretched_logits():
    head = MODELS.build({'type': 'FCNSegHead', 'in_channels': [8, 16], 'stretch': True})
    corners = MODELS.build({'type': 'FCNSegHead', 'in_channels': [8, 16], 'align_corners': True})
    cut = MODELS.build({'type': 'FCNSegHead', 'in_channels': [8, 16]})
    x, size = torch.randn(1, 1, 10, 12), (38, 45)
    for module, align in ((head, False), (corners, True)):
        expected = torch.nn.functional.interpolate(x, size=size, mode='bilinear', align_corners=align)
        assert torch.equal(module.to_image(x, size), expected)
    assert not torch.allclose(head.to_image(x, size), cut.to_image(x, size))


def test_strided_shortcut_is_a_strided_convolution():
    """In the memory layout that training uses, where a strided 1×1 convolution may crash."""
    torch.manual_seed(0)
    block = ResidualBlock(8, 16, stride=2).eval().to(memory_format=torch.channels_last)
    x = torch.randn(4, 8, 64, 63).to(memory_format=torch.channels_last)
    shortcut = torch.nn.functional.conv2d(x, block.shortcut[0].weight, stride=2)
    y = block(x)
    torch.testing.assert_close(y, (block.shortcut[1](shortcut) + block.body(x)).relu())
    y.square().sum().backward()
    assert block.shortcut[0].weight.grad.isfinite().all()


def test_fpn_at_odd_sizes():
    """Stretched, as acm-pytorch does it, or doubled and cut."""
    torch.manual_seed(0)
    maps = torch.randn(1, 8, 25, 33), torch.randn(1, 16, 13, 17)
    for arguments, resized in (
        ({'stretch': True}, dict(size=(25, 33), align_corners=False)),
        ({'align_corners': True}, dict(size=(25, 33), align_corners=True)),
        ({}, dict(scale_factor=2, align_corners=False)),
    ):
        neck = ACMFPNNeck([8, 16], **arguments).eval()
        high = torch.nn.functional.interpolate(maps[1], mode='bilinear', **resized)[..., :25, :33]
        with torch.no_grad():
            decoded = neck(maps)
            assert torch.equal(decoded[0], neck.fusions[0](high, maps[0]))
        assert decoded[1] is maps[1]


def test_fusion_by_its_formula():
    torch.manual_seed(0)
    fusion = AsymmetricFusion(8).eval()
    high, low = torch.randn(2, 1, 8, 3, 5)
    with torch.no_grad():
        t = fusion.top_down(high.mean(dim=(2, 3), keepdim=True))
        u = torch.stack([fusion.bottom_up(low[..., j : j + 1]) for j in range(5)], dim=-1).squeeze(3)
        torch.testing.assert_close(fusion(high, low), fusion.post(2 * (low * t + high * u)))
    with pytest.raises(UserError, match='batch of 1'):
        fusion.train()(high, low)


@pytest.mark.parametrize('neck', ['ACMUNetNeck', 'ACMFPNNeck'])
@pytest.mark.parametrize(('in_channels', 'stem_stride'), [(1, 4), (3, 1)])
def test_learns(neck, in_channels, stem_stride):
    model = build_acm(in_channels, neck, blocks=1, base_channels=8, stem_stride=stem_stride)
    checks.check_learns(model, in_channels)


@pytest.mark.parametrize('neck', ['ACMUNetNeck', 'ACMFPNNeck'])
def test_takes_any_size(neck):
    checks.check_sizes(build_acm(1, neck, blocks=1, base_channels=4), 1)
    checks.check_sizes(build_acm(1, neck, blocks=1, base_channels=4, stem_stride=1), 1, sizes=((33, 35),))


def test_decodes_the_maps_of_other_encoders():
    model = checks.build(
        {'type': 'AdaDCMEncoder', 'base_channels': 4}, {'type': 'FCNSegHead'}, neck={'type': 'ACMFPNNeck'}
    )
    with torch.no_grad():
        assert model.encode_decode(torch.zeros(1, 3, 40, 33)).shape == (1, 1, 40, 33)
    other = checks.build(
        {'type': 'ThinResNet', 'base_channels': 4, 'stem_stride': 1},
        {'type': 'MADNetHead'},
        neck={'type': 'ACMUNetNeck', 'blocks': 0},
    )
    with torch.no_grad():
        assert other.encode_decode(torch.zeros(1, 3, 40, 33)).shape == (1, 1, 40, 33)


def test_what_does_not_fit_is_named():
    state = export_acm(build_acm(blocks=1, base_channels=8).state_dict())
    assert published_acm_shape({'state_dict': {f'model.{k}': v for k, v in state.items()}}).blocks == 1
    short = {key: value for key, value in state.items() if key != 'deconv1.bias'}
    with pytest.raises(UserError, match=r'1 missing: deconv1\.bias'):
        convert_acm(short)
    with pytest.raises(UserError, match=r'first keys are layer\.weight'):
        convert_acm({'layer.weight': torch.zeros(2, 2)})
    with pytest.raises(UserError, match='not a state dict of our ACM'):
        export_acm({'layer.weight': torch.zeros(2, 2)})
    with pytest.raises(UserError, match='stem_stride=2'):
        ThinResNet(stem_stride=2)


def test_an_mxnet_checkpoint_by_its_own_names():
    model = build_acm(blocks=1, base_channels=8, stem_stride=1, input_affine=False)
    state = export_acm(model.state_dict())
    norms = {key.rpartition('.')[0] for key in state if key.endswith('running_mean')}
    leaves = {'weight': 'gamma', 'bias': 'beta'}
    named = {}
    for key, value in state.items():
        module, _, leaf = key.rpartition('.')
        named[f'{module}.{leaves.get(leaf, leaf)}' if module in norms else key] = value
    assert 'stem.0.gamma' in named
    ours = convert_acm(named)
    assert all(torch.equal(ours[key], value) for key, value in model.state_dict().items())


DATA_SETS = {
    'nuaa': 'NUAA-SIRST',
    'nudt': 'NUDT-SIRST',
    'irstd1k': 'IRSTD-1K',
    'sirstaug': 'SIRST-AUG',
}
CONFIGS = {
    'acm_published': 'acm_unet_tiny_official',
    'acm_fpn_published': 'acm_fpn_tiny_official',
    'acm': 'acm_unet_in1',
    'acm_fpn': 'acm_fpn_tz',
    'acm_toolbox': 'acm_unet_in1',
}


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.parametrize('data', DATA_SETS)
def test_configs(repository, name, data):
    config = load_config(repository / 'configs' / 'acm' / f'{name}.py', dataset=data)
    model = MODELS.build(config.model)
    channels = model.data_preprocessor.mean.numel()
    assert channels == model.backbone.in_channels == (3 if name.endswith('_published') else 1)
    # two factors and offsets and 72 or 144 weights for each channel of the image
    published = FORMS[CONFIGS[name]][0] - (148 if name == 'acm_fpn' else 0)
    assert checks.count_parameters(model) == published
    names = {config[f'{part}_dataloader'].dataset.name for part in ('train', 'test')}
    assert names == {DATA_SETS[data]}
    if name.endswith('_published'):
        assert config.optim_wrapper.optimizer == dict(type='Adagrad', lr=0.05, weight_decay=1e-4)
        assert config.train_cfg.max_epochs == 300


def test_initialisation_of_the_authors(repository):
    """MXNet's MSRAPrelu: variance 2 / (1 + 0.25²) / mean of fan-in and fan-out; biases 0."""
    config = load_config(repository / 'configs/acm/acm_published.py')
    model = MODELS.build(config.model)
    model.init_weights()
    for name, shape in (('backbone.stages.2.1.body.0', (64, 64, 3, 3)), ('neck.ups.1', (64, 32, 4, 4))):
        weight = model.get_submodule(name).weight
        assert weight.shape == shape
        mean_fan = (shape[0] + shape[1]) / 2 * shape[2] * shape[3]
        assert weight.std().item() == pytest.approx((2 / (1 + 0.25**2) / mean_fan) ** 0.5, rel=0.03)
    biases = [m.bias for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.bias is not None]
    assert len(biases) > 4
    assert all((bias == 0).all() for bias in biases)
