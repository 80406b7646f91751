"""UIU-Net: published outputs, cost, sizes, learning, checkpoints."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.models.checkpoints.uiunet import convert_uiunet, export_uiunet
from madnet.models.layers import RSU, InteractiveCrossAttention

from . import checks

STAGES = {
    **{f'backbone.stages.{i}': f'stage{i + 1}' for i in range(6)},
    **{f'decode_head.decoders.{i}': f'stage{i + 1}d' for i in range(5)},
    **{f'decode_head.fusions.{i}': f'fuse{i + 2}' for i in range(4)},
}


def build_uiunet(in_channels=3, base_channels=64):
    return checks.build(
        {'type': 'UIUNetEncoder', 'base_channels': base_channels}, {'type': 'UIUNetHead'}, in_channels
    )


def test_equals_the_published_network(golden_dir):
    published = checks.published_state(golden_dir, checks.published_keys(golden_dir, 'uiunet'))
    assert len(published) == 942
    with torch.device('meta'):
        model = build_uiunet()
    state = convert_uiunet(published)
    # No second copy of 50 million parameters, nor their initialisation.
    model.load_state_dict(state, assign=True)
    runs = checks.load_golden(golden_dir, 'uiunet')['runs']
    assert '256x256' in runs
    for size, golden in runs.items():
        x = checks.golden_input(golden_dir, 3, *(int(n) for n in size.split('x')))
        with checks.record(model, STAGES) as found, checks.side_maps(model), torch.no_grad():
            *sides, out = model(x)
        for logits, expected in zip([out, *sides], golden['logits'], strict=True):
            checks.assert_golden(logits, expected)
        for ours, theirs in STAGES.items():
            # The published fusion returns its two halves apart.
            expected = golden['stage_stats'][theirs]
            for part, stats in zip(found[ours][0].chunk(len(expected), dim=1), expected, strict=True):
                checks.assert_golden(part, stats)
    exported = export_uiunet(model.state_dict())
    assert set(exported) == set(published)
    assert all(torch.equal(exported[key], published[key]) for key in published)


@pytest.mark.parametrize(('in_channels', 'parameters'), [(3, 50_541_461), (1, 50_540_309)])
def test_published_cost(in_channels, parameters):
    with torch.device('meta'):
        model = build_uiunet(in_channels)
        assert checks.count_parameters(model) == parameters
        if in_channels == 3:
            assert checks.count_gmacs(model) == pytest.approx(54.298, rel=0.01)


def test_residual_u_block_level_by_level():
    """The block with four levels, written out, at a size that halves to odd ones."""
    torch.manual_seed(0)
    block = RSU(3, 4, 6, depth=4).eval()
    x = torch.randn(1, 3, 11, 14)
    with torch.no_grad():
        h = block.conv_in(x)
        e1 = block.down[0](h)
        e2 = block.down[1](F.max_pool2d(e1, 2, ceil_mode=True))
        e3 = block.down[2](F.max_pool2d(e2, 2, ceil_mode=True))
        e4 = F.conv2d(e3, block.down[3].conv.weight, block.down[3].conv.bias, padding=2, dilation=2)
        e4 = block.down[3].bn(e4).relu()
        assert [tuple(e.shape[2:]) for e in (e1, e2, e3, e4)] == [(11, 14), (6, 7), (3, 4), (3, 4)]
        t = block.up[2](torch.cat([e4, e3], dim=1))
        t = block.up[1](torch.cat([F.interpolate(t, (6, 7), mode='bilinear'), e2], dim=1))
        t = block.up[0](torch.cat([F.interpolate(t, (11, 14), mode='bilinear'), e1], dim=1))
        torch.testing.assert_close(block(x), t + h)


def test_dilated_block_keeps_its_size_inside():
    block = RSU(3, 4, 6, depth=4, dilated=True)
    assert [conv.conv.dilation[0] for conv in block.down] == [1, 2, 4, 8]
    assert [conv.conv.dilation[0] for conv in block.up] == [1, 2, 4]
    assert block(torch.randn(2, 3, 5, 4)).shape == (2, 6, 5, 4)


def test_attention_needs_two_images_to_train():
    attention = InteractiveCrossAttention(8)
    maps = torch.randn(2, 1, 8, 4, 4)
    with pytest.raises(UserError, match=r'InteractiveCrossAttention .* batch of 1'):
        attention(*maps)
    assert attention.eval()(*maps).shape == (1, 16, 4, 4)


@pytest.mark.parametrize('in_channels', [1, 3])
def test_learns(in_channels):
    checks.check_learns(build_uiunet(in_channels, base_channels=8), in_channels)


def test_takes_any_size():
    checks.check_sizes(build_uiunet(1, base_channels=8), 1)


def test_decodes_the_maps_of_other_encoders():
    model = checks.build({'type': 'AdaDCMEncoder', 'base_channels': 8}, {'type': 'UIUNetHead'})
    with torch.no_grad():
        assert model.encode_decode(torch.zeros(1, 3, 40, 33)).shape == (1, 1, 40, 33)


def test_what_does_not_fit_is_named():
    state = export_uiunet(build_uiunet(1, base_channels=8).state_dict())
    wrapped = {'state_dict': {f'module.{key}': value for key, value in state.items()}}
    assert set(convert_uiunet(wrapped)) == set(convert_uiunet(state))
    with pytest.raises(UserError, match=r'of 942 keys 1 missing: outconv\.bias'):
        convert_uiunet({key: value for key, value in state.items() if key != 'outconv.bias'})
    with pytest.raises(UserError, match=r'first keys are layer\.weight'):
        convert_uiunet({'layer.weight': torch.zeros(2, 2)})
    with pytest.raises(UserError, match='not a state dict of our UIU-Net'):
        export_uiunet({'layer.weight': torch.zeros(2, 2)})


@pytest.mark.parametrize('data', ['nuaa', 'nudt', 'irstd1k', 'sirstaug'])
def test_configs(repository, data):
    for name, parameters in (('uiunet_published', 50_541_461), ('uiunet', 50_540_309)):
        config = load_config(repository / 'configs' / 'uiunet' / f'{name}.py', dataset=data)
        with torch.device('meta'):
            model = MODELS.build(config.model)
        assert checks.count_parameters(model) == parameters
        assert model.data_preprocessor.mean.numel() == model.backbone.in_channels
        for part in ('train', 'test'):
            assert config[f'{part}_dataloader'].dataset.name == checks.DATA_SETS[data]
