"""SCTransNet: published outputs, cost, sizes, learning, checkpoints."""

import pytest
import torch
from mmseg.registry import MODELS

from madnet.errors import UserError
from madnet.models.checkpoints.sctransnet import convert_sctransnet, export_sctransnet
from madnet.models.input_check import InputError
from madnet.models.layers import ChannelNorm, CrossChannelAttention

from . import checks

# Parameters that the published network never reads: position embeddings of 256 pixels, and sixteen scalars in
# each of four blocks.
UNUSED = 256 * (32 + 64 + 128 + 256) + 4 * 16


def build_sctransnet(in_channels=1, base_channels=32, depth=4, head=None, **kwargs):
    return checks.build(
        {'type': 'SCTransNetEncoder', 'base_channels': base_channels},
        {'type': 'SCTransNetHead', **(head or {})},
        in_channels,
        neck={'type': 'SCTransNetNeck', 'depth': depth},
        **kwargs,
    )


STAGES = {
    'backbone.stages.0': 'inc',
    'backbone.stages.3': 'down_encoder3',
    'backbone.stages.4': 'down_encoder4',
    'neck.patches.0': 'mtc.embeddings_1',
    'neck.patches.3': 'mtc.embeddings_4',
    'neck.blocks.0.joined_norm': 'mtc.encoder.layer.0.attn_norm',
    'neck.blocks.0.attention': 'mtc.encoder.layer.0.channel_attn',
    'neck.blocks.0.ffns.0': 'mtc.encoder.layer.0.ffn1',
    'neck.blocks.0': 'mtc.encoder.layer.0',
    'neck.blocks.3': 'mtc.encoder.layer.3',
    'neck.maps.0': 'mtc.reconstruct_1',
    'neck.maps.3': 'mtc.reconstruct_4',
    'decode_head.gates.3': 'up_decoder4.coatt',
    'decode_head.decoders.3': 'up_decoder4',
    'decode_head.decoders.2': 'up_decoder3',
    'decode_head.decoders.1': 'up_decoder2',
    'decode_head.decoders.0': 'up_decoder1',
}


@pytest.mark.parametrize('name', ['sctransnet', 'sctransnet_c3'])
def test_equals_the_published_network(golden_dir, name):
    golden = checks.load_golden(golden_dir, name)
    for case in golden['cases'].values():
        tag, (_, in_channels, *size) = case['input_recipe']
        x = checks.golden_input(golden_dir, in_channels, *size, tag=tag)
        assert x.norm().item() == pytest.approx(case['input_l2'], rel=1e-6)
        published = checks.published_state(golden_dir, golden['keys'], case['gain'])
        model = build_sctransnet(in_channels)
        model.load_state_dict(convert_sctransnet(published))
        stages = STAGES if case.get('taps') else {}
        with checks.record(model, stages) as found, checks.side_maps(model), torch.no_grad():
            maps = model(x)
        outputs = case['outputs']
        assert set(outputs) == {'gt5', 'gt4', 'gt3', 'gt2', 'd0', 'out'}
        for key, logits in zip(('gt5', 'gt4', 'gt3', 'gt2', 'd0', 'out'), maps, strict=True):
            checks.assert_golden(logits, outputs[key])
        for ours, theirs in stages.items():
            value = found[ours][0]
            value = value[0] if isinstance(value, list) else value
            checks.assert_golden(value, case['taps'][theirs])
            assert checks.relative_error(value[0, :2, ::8, ::8], case['taps'][theirs]['sample']) < 1e-4
        with torch.no_grad():
            assert torch.equal(model(x), maps[-1])


@pytest.mark.parametrize(
    ('in_channels', 'parameters', 'gmacs'), [(1, 11_325_939, 10.494), (3, 11_326_579, 10.536)]
)
def test_cost(in_channels, parameters, gmacs):
    assert UNUSED == 122_944
    model = build_sctransnet(in_channels)
    assert checks.count_parameters(model) == parameters - UNUSED
    assert checks.count_gmacs(model, in_channels, every_map=True) == pytest.approx(gmacs, rel=0.01)


@pytest.mark.parametrize('in_channels', [1, 3])
def test_learns(in_channels):
    checks.check_learns(build_sctransnet(in_channels, base_channels=4, depth=2), in_channels)


def test_any_size():
    checks.check_sizes(build_sctransnet(base_channels=4, depth=1), 1)


def test_sizes_that_the_encoder_takes():
    model = build_sctransnet(base_channels=2, depth=1)
    assert model.backbone.padded_size(33, 64) == (48, 64)
    with pytest.raises(InputError, match=r'33×64 pixels.*multiples of 16: pad it to 48×64'):
        model.backbone(torch.zeros(1, 1, 33, 64))


def test_attention_is_the_formula():
    torch.manual_seed(0)
    attention = CrossChannelAttention([4, 6])
    levels = [torch.randn(2, c, 5, 7) for c in (4, 6)]
    joined = torch.randn(2, 10, 5, 7)
    found = attention(levels, joined)
    for b in range(2):
        k, v = (f(joined)[b].reshape(10, 35).double() for f in (attention.keys, attention.values))
        k = k / k.square().sum(dim=1, keepdim=True).sqrt()
        for i, x in enumerate(levels):
            q = attention.queries[i](x)[b].reshape(-1, 35).double()
            q = q / q.square().sum(dim=1, keepdim=True).sqrt()
            a = q @ k.T / 10**0.5
            a = (a - a.mean()) / (a.var(unbiased=False) + 1e-5).sqrt()
            a = a.exp() / a.exp().sum(dim=1, keepdim=True)
            expected = attention.outputs[i]((a @ v).float().view(1, -1, 5, 7))[0]
            torch.testing.assert_close(found[i][b], expected, rtol=1e-4, atol=1e-5)


def test_channel_norm_is_the_formula():
    x = 3 + 2 * torch.randn(2, 6, 4, 5)
    norm = ChannelNorm(6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    spread = (x.var(dim=1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    expected = (x - x.mean(dim=1, keepdim=True)) / spread
    expected = expected * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(x), expected)


def test_without_deep_supervision():
    full = build_sctransnet(base_channels=2, depth=1)
    alone = build_sctransnet(base_channels=2, depth=1, head={'deep_supervision': False})
    missing = alone.load_state_dict(full.state_dict(), strict=False)
    assert not missing.missing_keys
    x = torch.randn(2, 1, 32, 48)
    with torch.no_grad():
        assert torch.equal(alone(x), full(x))
    assert alone.decode_head.map_names == ['out']
    assert full.decode_head.map_names == ['g5', 'g4', 'g3', 'g2', 'd0', 'out']


@pytest.mark.parametrize(
    ('channels', 'words'), [([4], 'at least 2 maps'), ([3, 4], 'even number'), ([4, 6, 9], None)]
)
def test_neck_names_what_it_takes(channels, words):
    cfg = {'type': 'SCTransNetNeck', 'in_channels': channels, 'depth': 1}
    if words:
        with pytest.raises(UserError, match=words):
            MODELS.build(cfg)
        return
    neck = MODELS.build(cfg)
    maps = [torch.randn(1, c, 16 // 2**i, 24 // 2**i) for i, c in enumerate(channels)]
    assert [x.shape for x in neck(maps)] == [x.shape for x in maps]
    with pytest.raises(UserError, match=r'got a map of 15×24, expected 16×24, 4 times the deepest'):
        neck([maps[0][:, :, :15], *maps[1:]])


def test_checkpoints_round_trip():
    model = build_sctransnet(3, base_channels=2, depth=2)
    state = model.state_dict()
    published = export_sctransnet({'state_dict': state})
    assert published['mtc.embeddings_2.position_embeddings'].shape == (1, 256, 4)
    assert published['mtc.encoder.layer.1.channel_attn.q4_attn1'] == 0.2
    for variant in (published, {f'model.{key}': value for key, value in published.items()}):
        again = convert_sctransnet({'state_dict': variant})
        assert set(again) == set(state)
        assert all(torch.equal(again[key], state[key]) for key in state)


def test_exports_every_published_key(golden_dir):
    published = export_sctransnet(build_sctransnet().state_dict())
    keys = checks.load_golden(golden_dir, 'sctransnet')['keys']
    assert {key: tuple(value.shape) for key, value in published.items()} == {
        key: tuple(shape) for key, shape in keys.items()
    }


def test_other_checkpoints_are_refused():
    published = export_sctransnet(build_sctransnet(base_channels=2, depth=1).state_dict())
    with pytest.raises(UserError, match=r'published SCTransNet.*inc\.0\.conv1\.weight.*first keys are other'):
        convert_sctransnet({'other': torch.zeros(1)})
    with pytest.raises(UserError, match=r'1 missing: outc\.bias'):
        convert_sctransnet({key: value for key, value in published.items() if key != 'outc.bias'})
    with pytest.raises(UserError, match='not a state dict of our SCTransNet'):
        export_sctransnet(published)
