"""ABC: published outputs, cost, sizes, learning, checkpoints."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.models.checkpoints.abc import convert_abc, export_abc, published_abc_shape
from madnet.models.input_check import InputError
from madnet.models.layers import CLFT, BilinearCorrelation

from . import checks

WIDTHS = {'abc_s': 16, 'abc_b': 32, 'abc_l': 64}
# The attention's biases that the softmax cancels: one for each channel of the three maps that it sees.
DEAD = {name: d + 2 * d + 4 * d for name, d in WIDTHS.items()}


def build_abc(in_channels=3, base_channels=16, side=256, **kwargs):
    return checks.build(
        {'type': 'ABCEncoder', 'base_channels': base_channels, 'side': side},
        {'type': 'ABCHead'},
        in_channels,
        **kwargs,
    )


def load_abc(golden_dir, name):
    published = checks.published_state(golden_dir, checks.published_keys(golden_dir, name))
    shape = published_abc_shape(published)
    model = build_abc(*shape)
    model.load_state_dict(convert_abc(published))
    return model, shape


def stage_names():
    names = {f'backbone.stages.{i}': name for i, name in enumerate(('Conv1', 'Convtans2', 'Convtans3'))}
    names |= {'backbone.stages.3': 'Convtans4', 'backbone.stages.4': 'Conv5', 'decode_head.conv_seg': 'Conv'}
    for i in range(4):
        names |= {f'decode_head.ups.{i}': f'Up{i + 2}', f'decode_head.decoders.{i}': f'Up_conv{i + 2}'}
    return names | {f'decode_head.sides.{i}': f'conv{i + 1}' for i in range(5)}


@pytest.mark.parametrize('name', WIDTHS)
def test_equals_the_published_network(golden_dir, name):
    model, shape = load_abc(golden_dir, name)
    assert shape == (3, WIDTHS[name], 256)
    golden = checks.load_golden(golden_dir, name)['runs']['256x256']
    stages = stage_names()
    assert set(stages.values()) == set(golden['stage_stats'])
    with checks.record(model, stages) as found, checks.side_maps(model), torch.no_grad():
        maps = model(checks.golden_input(golden_dir, 3, 256, 256))
    for logits, expected in zip(maps, golden['outputs'], strict=True):
        checks.assert_golden(logits, expected)
    for ours, theirs in stages.items():
        checks.assert_golden(found[ours][0], golden['stage_stats'][theirs][0])


@pytest.mark.parametrize(('side', 'norm'), [(128, 982.0920), (512, 7185.6537)])
def test_equals_the_published_network_of_another_side(golden_dir, side, norm):
    model, shape = load_abc(golden_dir, f'abc_s_{side}')
    assert shape == (3, 16, side)
    with torch.no_grad():
        logits = model.encode_decode(checks.golden_input(golden_dir, 3, side, side))
    assert logits.norm().item() == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize(
    ('width', 'side', 'parameters'),
    [
        (16, 256, 9_090_991 - DEAD['abc_s']),
        (32, 256, 21_980_559 - DEAD['abc_b']),
        (64, 256, 73_509_199 - DEAD['abc_l']),
        (16, 128, 4_904_655 - DEAD['abc_s']),
        (16, 512, 42_580_335 - DEAD['abc_s']),
    ],
)
def test_published_parameters(width, side, parameters):
    with torch.device('meta'):
        backbone = MODELS.build({'type': 'ABCEncoder', 'base_channels': width, 'side': side})
        head = MODELS.build({'type': 'ABCHead', 'in_channels': backbone.pyramid_channels})
    assert checks.count_parameters(backbone) + checks.count_parameters(head) == parameters


@pytest.mark.parametrize(('side', 'gmacs'), [(256, 5.257), (128, 1.308)])
def test_published_cost(side, gmacs):
    model = build_abc(side=side)
    assert checks.count_gmacs(model, size=(side, side), every_map=True) == pytest.approx(gmacs, rel=0.001)


def test_attention_is_what_its_formula_says():
    """Written out: one score at a time, then rows mixed one by one."""
    torch.manual_seed(0)
    block = CLFT(2, 3, side=4).eval()
    torch.nn.init.constant_(block.gamma, 0.7)
    correlation, x = block.correlation, torch.randn(2, 2, 4, 4)
    with torch.no_grad():
        weights = correlation(x)
        for image, attention in zip(x, weights, strict=True):
            query, key = (
                (conv.weight.view(1, 2) @ image.view(2, 16) + conv.bias[:, None])[0]
                for conv in (correlation.query, correlation.key)
            )
            a = correlation.query_line.weight @ query + correlation.query_line.bias
            b = correlation.key_line.weight @ key + correlation.key_line.bias
            for c, w in enumerate(correlation.expand.weight.flatten()):
                scores = torch.tensor([[w * a[i] * b[j] for j in range(4)] for i in range(4)])
                torch.testing.assert_close(attention[c], scores.softmax(dim=1))
        v = block.conv(x) + block.dilated(x)
        mixed = torch.stack(
            [sum(weights[:, :, i, m, None] * v[:, :, m] for m in range(4)) for i in range(4)], dim=2
        )
        y = 0.7 * mixed + v + x
        torch.testing.assert_close(block(x), block.feedforward(y) + block.shortcut(y))
    assert BilinearCorrelation(5, 3)(torch.randn(1, 5, 3, 3)).shape == (1, 5, 3, 3)


@pytest.mark.parametrize('in_channels', [1, 3])
def test_learns(in_channels):
    model = build_abc(in_channels, base_channels=4, side=64)
    # γ starts at zero and lets no gradient through to the attention before it has moved.
    checks.check_learns(model, in_channels, silent=('.correlation.',))
    checks.losses_of(model, in_channels, (64, 64))[0].backward()
    checks.check_gradients(model)


def test_smaller_images_are_padded():
    model = build_abc(1, base_channels=2, side=64)
    assert model.backbone.padded_size(33, 64) == (64, 64)
    checks.check_sizes(model, 1, sizes=((64, 64), (33, 50)))
    x = torch.randn(1, 1, 33, 50)
    with torch.no_grad():
        padded = model.encode_decode(F.pad(x, (0, 14, 0, 31), mode='reflect'))
        assert torch.equal(model.encode_decode(x), padded[..., :33, :50])


def test_larger_images_are_refused_or_cut_into_tiles():
    model = build_abc(1, base_channels=2, side=64)
    with pytest.raises(UserError, match=r'65×40.*mode="slide", crop_size=\(64, 64\), stride=\(48, 48\)'):
        model.encode_decode(torch.zeros(1, 1, 65, 40))
    with pytest.raises(InputError, match=r'image of 64×48 pixels.*side=64: pad it to 64×64'):
        model.backbone(torch.zeros(1, 1, 64, 48))
    tiled = build_abc(
        1, base_channels=2, side=64, test_cfg={'mode': 'slide', 'crop_size': (64, 64), 'stride': (48, 48)}
    )
    with torch.no_grad():
        found = tiled.test_step(checks.batch_of(1, (100, 40)))
    assert found[0].seg_logits.data.shape == (1, 100, 40)


@pytest.mark.parametrize(
    ('cfg', 'words'),
    [({'side': 250}, 'multiple of 16'), ({'side': 16}, 'at least 32'), ({'base_channels': 3}, 'even')],
)
def test_wrong_shapes_are_refused(cfg, words):
    with pytest.raises(UserError, match=words):
        MODELS.build({'type': 'ABCEncoder', **cfg})


@pytest.mark.parametrize('prefix', ['', 'decode_head.'])
def test_checkpoints_round_trip(prefix):
    model = build_abc(1, base_channels=2, side=64)
    state = model.state_dict()
    published = export_abc({'state_dict': state}, prefix=prefix)
    assert len(published) == 367
    assert published[f'{prefix}Convtans4.attention.att.s_conv.bias'].tolist() == [0] * 8
    assert published_abc_shape(published) == (1, 2, 64)
    again = convert_abc({'state_dict': published, 'epoch': 7})
    assert set(again) == set(state)
    assert all(torch.equal(again[key], state[key]) for key in state)


def test_other_checkpoints_are_refused():
    published = export_abc(build_abc(1, base_channels=2, side=32).state_dict(), prefix='')
    with pytest.raises(
        UserError, match=r'the published ABC: it has no convolution Conv1\.conv\.0\.weight.*are other'
    ):
        convert_abc({'other': torch.zeros(1)})
    with pytest.raises(UserError, match='1 unknown: extra'):
        convert_abc(published | {'extra': torch.zeros(1)})
    with pytest.raises(UserError, match='not a state dict of our ABC'):
        export_abc(published)


@pytest.mark.parametrize('data_set', checks.DATA_SETS)
def test_configs(repository, data_set):
    narrow = {'base_channels': 2, 'side': 64}
    paper = checks.check_config(repository, 'abc/abc_published', narrow, data_set)
    # Images come at the catalogue's size, which is the side.
    assert paper.model.backbone.side == (512 if data_set in ('nuaa', 'irstd1k') else 256)
    assert paper.model.test_cfg.mode == 'whole'
    assert paper.param_scheduler == [{'type': 'PublishedPolyLR', 'warmup': 5, 'power': 0.9, 'by_epoch': True}]
    common = checks.check_config(repository, 'abc/abc', narrow, data_set)
    assert common.model.backbone.in_channels == 1
    assert common.model.test_cfg.crop_size == (common.model.backbone.side,) * 2
    small = checks.DATA_SETS[data_set] in ('NUDT-SIRST', 'SIRST-AUG')
    for size, width, batch in (('b', 32, 16), ('l', 64, 16 if small else 4)):
        wider = load_config(repository / f'configs/abc/abc_{size}_published.py', dataset=data_set)
        assert wider.train_dataloader.batch_size == batch
        wider.train_dataloader.batch_size = paper.train_dataloader.batch_size
        assert wider.model.backbone == {**paper.model.backbone, 'base_channels': width}
        wider.model.backbone = paper.model.backbone
        assert {**wider, 'work_dir': None} == {**paper, 'work_dir': None}
