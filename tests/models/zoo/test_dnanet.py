"""DNANet: published outputs, cost, sizes, learning, checkpoints."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import DATASETS, MODELS
from small_models import stir

from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.models.checkpoints.dnanet import convert_dnanet, export_dnanet, published_dnanet_shape

from . import checks


def build_dnanet(in_channels=3, base_channels=16, depths=(1, 2, 2, 2, 2), head=None, **kwargs):
    return checks.build(
        {'type': 'DNANetEncoder', 'base_channels': base_channels, 'depths': depths},
        {'type': 'DNANetHead', 'depths': depths[:-1], **(head or {})},
        in_channels,
        **kwargs,
    )


@pytest.fixture(scope='module')
def published(golden_dir):
    return checks.published_state(golden_dir, checks.published_keys(golden_dir, 'dnanet'))


@pytest.fixture(scope='module')
def model(published):
    model = build_dnanet()
    model.load_state_dict(convert_dnanet(published))
    return model


def test_equals_the_published_network(golden_dir, model):
    stages = {'decode_head.fuse': 'conv0_4_final'}
    for level in range(5):
        for column in range(5 - level):
            ours = f'decode_head.columns.{column - 1}.{level}' if column else f'backbone.stages.{level}'
            stages[ours] = f'conv{level}_{column}'
    runs = checks.load_golden(golden_dir, 'dnanet')['runs']
    assert '256x256' in runs
    for size, golden in runs.items():
        x = checks.golden_input(golden_dir, 3, *(int(n) for n in size.split('x')))
        with checks.record(model, stages) as found, checks.side_maps(model), torch.no_grad():
            maps = model(x)
        for logits, expected in zip(maps, golden['outputs'], strict=True):
            checks.assert_golden(logits, expected)
        for ours, theirs in stages.items():
            checks.assert_golden(found[ours][0], golden['stage_stats'][theirs][0])
    with torch.no_grad():
        assert torch.equal(model.encode_decode(x), maps[-1])


@pytest.mark.parametrize(
    ('in_channels', 'base_channels', 'depths', 'parameters'),
    [
        (3, 16, (1, 2, 2, 2, 2), 4_696_888),
        (1, 16, (1, 2, 2, 2, 2), 4_696_568),
        (3, 16, (1, 1, 1, 1, 1), 2_612_196),
        (3, 16, (1, 3, 4, 6, 3), 8_792_702),
        (3, 32, (1, 2, 2, 2, 2), 18_751_992),
    ],
    ids=['published', 'grey', 'as ResNet-10', 'as ResNet-34', 'twice as wide'],
)
def test_published_parameters(in_channels, base_channels, depths, parameters):
    with torch.device('meta'):
        backbone = MODELS.build(
            {
                'type': 'DNANetEncoder',
                'in_channels': in_channels,
                'base_channels': base_channels,
                'depths': depths,
            }
        )
        head = MODELS.build(
            {'type': 'DNANetHead', 'in_channels': backbone.pyramid_channels, 'depths': depths[:-1]}
        )
    assert checks.count_parameters(backbone) + checks.count_parameters(head) == parameters


def test_published_cost():
    assert checks.count_gmacs(build_dnanet(), every_map=True) == pytest.approx(13.930, rel=0.001)


@pytest.mark.parametrize('in_channels', [1, 3])
def test_learns(in_channels):
    checks.check_learns(build_dnanet(in_channels, base_channels=4), in_channels)


@pytest.mark.parametrize('deep_supervision', [True, False])
def test_any_size(deep_supervision):
    model = build_dnanet(1, base_channels=2, head={'deep_supervision': deep_supervision})
    checks.check_sizes(model, 1, sizes=((64, 64), (33, 50)))


def test_maps_and_their_weights():
    head = {'type': 'DNANetHead', 'in_channels': [4, 8, 16], 'loss_weights': [0.5, 0.5]}
    assert MODELS.build(head).map_names == ['x1', 'out']
    with pytest.raises(UserError, match='x1, out'):
        MODELS.build({**head, 'loss_weights': [1]})


@pytest.mark.parametrize(
    ('cfg', 'words'),
    [
        ({'type': 'DNANetHead', 'in_channels': [4, 8, 16], 'depths': (1, 2, 2)}, 'expected 2 number'),
        ({'type': 'DNANetHead', 'in_channels': [4, 8, 16], 'depths': (1, 0)}, 'at least 1'),
        ({'type': 'DNANetEncoder', 'depths': (1, 0, 2)}, 'at least one block'),
    ],
)
def test_wrong_depths_are_refused(cfg, words):
    with pytest.raises(UserError, match=words):
        MODELS.build(cfg)


def test_grid_is_what_its_formula_says():
    head = MODELS.build({'type': 'DNANetHead', 'in_channels': [4, 6, 8, 10]})
    stir(head)
    head.eval()
    pyramid = [torch.randn(2, c, 32 >> i, 48 >> i) for i, c in enumerate((4, 6, 8, 10))]

    def fit(x, factor):
        return F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=True)

    @cache
    def node(i, k):
        if k == 0:
            return pyramid[i]
        inputs = [*(node(i, j) for j in range(k)), fit(node(i + 1, k - 1), 2)]
        if i:
            inputs.append(fit(node(i - 1, k), 0.5))
        return head.columns[k - 1][i](torch.cat(inputs, dim=1))

    with torch.no_grad():
        last = [fit(head.reduce[i - 1](node(i, 3 - i)), 2**i) for i in (3, 2, 1)]
        fused = head.fuse(torch.cat([*last, node(0, 3)], dim=1))
        expected = [head.sides[0](node(0, 1)), head.sides[1](node(0, 2)), head.conv_seg(fused)]
        torch.testing.assert_close(head(pyramid), expected[-1])
        head.training = True
        for found, wanted in zip(head(pyramid), expected, strict=True):
            torch.testing.assert_close(found, wanted)


def test_any_pyramid_will_do():
    """Nodes fit each other by size, so maps need not halve."""
    head = MODELS.build({'type': 'DNANetHead', 'in_channels': [4, 3, 5]}).eval()
    with torch.no_grad():
        out = head([torch.randn(1, 4, 21, 20), torch.randn(1, 3, 21, 20), torch.randn(1, 5, 4, 6)])
    assert out.shape == (1, 1, 21, 20)


@pytest.mark.parametrize('deep_supervision', [True, False])
@pytest.mark.parametrize('depths', [(1, 2, 2, 2, 2), (2, 1, 3)])
def test_checkpoints_round_trip(depths, deep_supervision):
    model = build_dnanet(1, 2, depths, {'deep_supervision': deep_supervision})
    state = model.state_dict()
    published = export_dnanet({'state_dict': state, 'epoch': 3})
    last = 'final' if not deep_supervision else f'final{len(depths) - 1}'
    assert {'conv0_0.0.ca.fc1.weight', 'conv0_1_1x1.bias', f'{last}.weight'} <= set(published)
    assert published_dnanet_shape(published) == (1, 2, depths, deep_supervision)
    wrapped = {'state_dict': {f'model.{key}': value for key, value in published.items()}, 'mean_IOU': 0.7}
    again = convert_dnanet(wrapped)
    assert set(again) == set(state)
    assert all(torch.equal(again[key], state[key]) for key in state)


def test_other_checkpoints_are_refused():
    model = build_dnanet(1, 2, (1, 1, 1))
    published = export_dnanet(model.state_dict())
    with pytest.raises(UserError, match=r'published DNANet.*conv0_0\.0\.conv1\.weight.*first keys are other'):
        convert_dnanet({'other': torch.zeros(1)})
    with pytest.raises(UserError, match=r'1 unknown: extra'):
        convert_dnanet(published | {'extra': torch.zeros(1)})
    with pytest.raises(UserError, match=r'1 missing: conv0_1\.0\.conv1\.weight'):
        convert_dnanet({key: value for key, value in published.items() if key != 'conv0_1.0.conv1.weight'})
    with pytest.raises(UserError, match='not a state dict of our DNANet'):
        export_dnanet(published)


@pytest.mark.parametrize('data_set', checks.DATA_SETS)
def test_configs(repository, data_set):
    paper = checks.check_config(repository, 'dnanet/dnanet_published', {'base_channels': 2}, data_set)
    assert paper.optim_wrapper.optimizer == {'type': 'Adagrad', 'lr': 0.05}
    assert paper.train_dataloader.batch_size == 16
    assert paper.train_dataloader.dataset.base_size == 256
    assert paper.model.decode_head.loss_weights == [0.25] * 4
    common = checks.check_config(repository, 'dnanet/dnanet', {'base_channels': 2}, data_set)
    assert common.model.backbone.in_channels == 1


def test_kernels_start_as_published(repository):
    """Xavier-normal on every convolution, the gates' too: variance 2 / (fan in + fan out)."""
    torch.manual_seed(0)
    model = MODELS.build(load_config(repository / 'configs/dnanet/dnanet_published.py').model)
    model.init_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 2000:
            taps = module.weight[0, 0].numel()
            expected = (2 / (taps * (module.in_channels + module.out_channels))) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.1)


def test_the_papers_pipeline_on_real_images(repository, data_root):
    config = load_config(repository / 'configs/dnanet/dnanet_published.py')
    train = DATASETS.build(config.train_dataloader.dataset)
    assert len(train) == 213
    assert train[0]['inputs'].shape == (3, 256, 256)
    test = DATASETS.build(config.test_dataloader.dataset)
    assert len(test) == 214
    assert test[0]['inputs'].shape == (3, 256, 256)
