"""The gates of convolutional block attention, and the residual block around them, written out."""

import pytest
import torch
import torch.nn.functional as F
from small_models import stir

from madnet.models.layers import CBAMBlock, ChannelGate, SpatialGate, cbam_stage


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_channel_gate():
    gate, x = ChannelGate(32), torch.randn(2, 32, 5, 7)
    squeeze, expand = gate.squeeze.weight[:, :, 0, 0], gate.expand.weight[:, :, 0, 0]
    assert squeeze.shape == (2, 32)

    def m(values):
        return (values @ squeeze.T).clamp(min=0) @ expand.T

    expected = torch.sigmoid(m(x.mean(dim=(2, 3))) + m(x.amax(dim=(2, 3))))
    torch.testing.assert_close(gate(x), expected[:, :, None, None])


@pytest.mark.parametrize('channels', [4, 16, 31])
def test_narrow_channel_gates_keep_one_hidden_channel(channels):
    assert ChannelGate(channels).squeeze.out_channels == 1


@pytest.mark.parametrize('kernel_size', [3, 7])
@pytest.mark.parametrize('mean_first', [True, False])
def test_spatial_gate(mean_first, kernel_size):
    gate, x = SpatialGate(kernel_size, mean_first), torch.randn(2, 6, 9, 8)
    mean, peak = x.mean(dim=1), x.max(dim=1).values
    summary = torch.stack([mean, peak] if mean_first else [peak, mean], dim=1)
    expected = F.conv2d(summary, gate.conv.weight, padding=kernel_size // 2).sigmoid()
    torch.testing.assert_close(gate(x), expected)


@pytest.mark.parametrize('in_channels', [5, 8])
def test_block(in_channels):
    block, x = CBAMBlock(in_channels, 8), torch.randn(2, in_channels, 9, 10)
    stir(block)
    block.eval()
    y = block.body(x)
    y = y * block.channel_gate(y)
    y = y * block.spatial_gate(y)
    shortcut = x if in_channels == 8 else block.shortcut[1](block.shortcut[0](x))
    torch.testing.assert_close(block(x), (y + shortcut).clamp(min=0))
    assert all(block.body[i].bias is not None for i in (0, 3))


def test_stage_changes_the_channels_once():
    stage = cbam_stage(3, 8, depth=3)
    assert [b.body[0].in_channels for b in stage] == [3, 8, 8]
    assert stage(torch.randn(1, 3, 6, 6)).shape == (1, 8, 6, 6)
