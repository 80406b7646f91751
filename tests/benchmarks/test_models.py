"""What the benchmark of networks reports, on networks whose figures are known."""

import json
import subprocess
import sys

import pytest
import torch
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.benchmarks import models
from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.experiments.cost import measure_cost
from madnet.images import notices
from madnet.models.layers import SS2D, DeformConv2d, DifferentialConv, deform_conv, deform_conv2d


def test_multiply_adds_of_convolutions_and_scans_apart():
    dim, inner, states, rank = 32, 64, 4, 2
    found = models.multiply_adds(SS2D(dim, states=states), torch.zeros(2, 6, 5, dim))
    pixels = 2 * 6 * 5
    projections = dim * 2 * inner + inner * 4 * (rank + 2 * states) + 4 * rank * inner + inner * dim
    dense = pixels * (projections + 9 * inner)
    assert found == {'dense': dense, 'scan': pixels * 4 * inner * states * 4}


def test_a_scan_over_sequences_counts_alike():
    from madnet.ops import selective_scan

    class Scan(nn.Module):
        def forward(self, u):
            B = torch.ones(2, 3, 4, 7)
            return selective_scan(u, u, -torch.ones(6, 4), B, B)

    assert models.multiply_adds(Scan(), torch.zeros(2, 6, 7)) == {'dense': 0, 'scan': 2 * 6 * 7 * 4 * 4}


def test_multiply_adds_do_not_depend_on_torchvision(monkeypatch):
    """Whose operator no counter knows."""
    layer, images = DeformConv2d(3, 5, (3, 3), modulated=True), torch.rand(2, 3, 8, 6)

    @torch.library.custom_op('test::deform', mutates_args=())
    def opaque(
        x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor, padding: list[int], mask: Tensor
    ) -> Tensor:
        return deform_conv2d(x, offset, weight, bias, tuple(padding), mask, backend='torch').clone()

    def compiled(x, offset, weight, bias, padding, mask):
        return opaque(x, offset, weight, bias, list(padding), mask)

    monkeypatch.setattr(deform_conv, '_compiled', lambda: compiled)
    # what moves and weighs the nine taps, then the convolution itself
    dense = 2 * 8 * 6 * 9 * 3 * (3 * 9 + 5)
    assert models.multiply_adds(layer, images) == {'dense': dense, 'scan': 0}


def test_a_layer_of_anyone_may_say_how_it_is_counted():
    class Looked(nn.Module):
        by_convolution = False

        def make_countable(self):
            self.by_convolution = True

        def forward(self, x):
            kernel = torch.ones(1, 1, 3, 3)
            return (
                nn.functional.conv2d(x, kernel)
                if self.by_convolution
                else nn.functional.avg_pool2d(x, 3, 1) * 9
            )

    layer = nn.Sequential(Looked())
    assert models.multiply_adds(layer, torch.rand(1, 1, 6, 5))['dense'] == 4 * 3 * 9
    assert not layer[0].by_convolution


def test_weights_that_are_changed_for_the_count_are_as_before():
    class Scaled(nn.Conv2d):
        def make_countable(self):
            with torch.no_grad():
                self.weight.mul_(0)
            self.bias.data += 1

    layer = Scaled(1, 2, 3)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            models.multiply_adds(layer, torch.rand(1, 1, 6, 5))
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    layer(torch.rand(1, 1, 6, 5)).sum().backward()


def test_operators_of_unknown_cost_are_named(caplog, monkeypatch):
    monkeypatch.setattr(notices, '_said', set())

    @torch.library.custom_op('test::unknown', mutates_args=())
    def unknown(x: Tensor) -> Tensor:
        return x + 1

    class Own(nn.Module):
        def forward(self, x):
            return unknown(x)

    assert (
        models.multiply_adds(nn.Sequential(nn.Conv2d(1, 1, 3), Own()), torch.rand(1, 1, 6, 5))['dense'] == 108
    )
    [line] = caplog.messages
    assert line.startswith('multiply-adds: without those in test.unknown, ')
    models.multiply_adds(SS2D(4), torch.zeros(1, 6, 5, 4))
    assert len(caplog.messages) == 1


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x, need_weights=False)[0]


@pytest.mark.parametrize(
    ('layer', 'each'),
    [
        (Attention(), 4 * 32 * 32 + 2 * 64 * 32),
        (nn.TransformerEncoderLayer(32, 4, 48, batch_first=True), 4 * 32**2 + 2 * 64 * 32 + 2 * 32 * 48),
        (nn.LSTM(32, 32, batch_first=True), 8 * 32 * 32),
        (nn.GRU(32, 32, batch_first=True), 6 * 32 * 32),
    ],
)
def test_fused_layers_of_torch_are_counted(layer, each):
    x = torch.rand(1, 64, 32)
    for mode in (True, False):
        assert models.multiply_adds(layer.train(mode), x) == {'dense': 64 * each, 'scan': 0}
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mkldnn.enabled


def test_a_network_that_cannot_be_copied_is_counted_and_left_as_it_was():
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.mixed = DifferentialConv(2)
            self.normed = nn.utils.weight_norm(nn.Conv2d(2, 3, 1))

        def forward(self, x):
            self.last = self.normed(self.mixed(x))
            return self.last

    network, x, seen = Keeps().eval(), torch.rand(1, 2, 8, 6), []
    first = network.mixed.register_forward_hook(lambda *_: seen.append('first'))
    expected, names = network(x), list(network.state_dict())  # and a map that no copy is made of
    assert models.multiply_adds(network, x)['dense'] == 8 * 6 * (9 * 2 * 2 + 2 * 3)
    assert list(network.state_dict()) == names
    first.remove()
    network.mixed.register_forward_hook(lambda *_: seen.append('later'))
    del seen[:]
    assert torch.equal(network(x), expected)
    assert seen == ['later']
    network(x).sum().backward()


@MODELS.register_module()
class OneConvolution(BaseModel):
    """A network without a backbone, whose config does not say how many channels it takes."""

    def __init__(self, taken):
        super().__init__()
        self.layer = nn.Conv2d(taken, 1, 3, bias=False)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.layer(inputs)


@pytest.mark.parametrize('taken', [1, 3])
def test_images_have_the_channels_that_the_loader_gives(tmp_path, taken):
    config = tmp_path / 'one.py'
    config.write_text(
        "_base_ = 'madnet_nano'\n"
        f"model = dict(_delete_=True, type='OneConvolution', taken={taken})\n"
        f'replace_steps = dict(LoadSIRSTImage=dict(channels={taken}))\n'
    )
    entry = models.measure_network(str(config), [], [8], 'cpu', batch=0, budget=0)
    assert entry['channels'] == taken
    assert entry['sizes']['8']['MACs'] == {'dense': 6 * 6 * 9 * taken, 'scan': 0}
    cost = measure_cost(load_config(config), size=8)
    assert (cost.channels, cost.MACs) == (taken, 6 * 6 * 9 * taken)


@pytest.fixture
def folder(tmp_path, repository):
    """Configs of two narrow networks, and one without a network."""
    base = repository / 'configs/_base_/models'
    narrow = "_base_ = '{}'\nmodel = dict(backbone=dict({}))\n"
    (tmp_path / 'small.py').write_text(narrow.format(base / 'madnet.py', 'base_channels=2'))
    (tmp_path / 'mamba.py').write_text(narrow.format(base / 'mim.py', 'base_channels=8, word_channels=2'))
    (tmp_path / 'schedule.py').write_text('train_cfg = dict(max_epochs=3)\n')
    return tmp_path


def test_the_tool(folder, repository):
    command = [
        sys.executable, 'tools/benchmark.py', 'models', str(folder / 'small.py'), str(folder / 'mamba.py'),
        '--sizes', '64', '--budget', '0', '--json', str(folder / 'out.json'),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / 'out.json').read_text())
    small, mamba = report['networks']
    built, channels = models.build(folder / 'small.py')
    assert channels == small['channels'] == 3
    assert small['parameters'] == sum(p.numel() for p in built.parameters())
    for entry in (small, mamba):
        row = entry['sizes']['64']
        assert row['MACs']['dense'] > 0
        for part in ('forward', 'training_step'):
            assert row[part]['cpu'] > 0
            assert row[part]['wall'] > 0
        assert row['training_step']['cpu'] > row['forward']['cpu']
    assert small['sizes']['64']['MACs']['scan'] == 0
    assert 'plain_loop' not in small['sizes']['64']
    assert mamba['sizes']['64']['MACs']['scan'] > 0
    assert mamba['sizes']['64']['plain_loop']['cpu'] > 0
    assert 'small' in done.stdout
    assert 'plain loop' in done.stdout


def test_published_widths(repository):
    """4,861,617 parameters: the published network without those that never do anything."""
    model, _ = models.build(repository / 'configs/mim/mim_published.py')
    assert sum(p.numel() for p in model.parameters()) == 4_861_617


def test_the_plain_loop_leaves_the_network_as_it_was():
    layer = SS2D(dim=8, states=4, backend='torch').eval()
    seen = []
    models._with_plain_loop([layer], lambda: seen.append(layer.backend), 'cpu')
    assert set(seen) == {'reference'}
    assert layer.backend == 'torch'


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='the system does not tell the peak')
def test_memory_is_what_a_function_held_at_once():
    def hold():
        for _ in range(3):
            torch.ones(16 << 20)  # 64 MiB, each freed before the next

    assert 60 << 20 < models.measure(hold, 'cpu', 0)['bytes'] < 80 << 20


class TestUsersMistakes:
    def test_a_config_without_a_model(self, folder):
        with pytest.raises(UserError, match='has no model'):
            models.build(folder / 'schedule.py')

    def test_a_network_that_takes_other_images(self, tmp_path):
        config = tmp_path / 'one.py'
        config.write_text(
            "_base_ = 'madnet_nano'\nmodel = dict(_delete_=True, type='OneConvolution', taken=2)\n"
        )
        said = r'one\.py: the network fails on an image of 1 channel and 8×8 pixels \(.*2 channels.*LoadSIRST'
        with pytest.raises(UserError, match=said):
            models.measure_network(str(config), [], [8], 'cpu', batch=0, budget=0)

    def test_no_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
        with pytest.raises(UserError, match='no GPU'):
            models.benchmark([], device='cuda')
