"""Every module of MAD-Net against the published code's values and gradients."""

import copy

import pytest
import torch
from torch import nn

import madnet.models  # noqa: F401
from madnet.models.checkpoints.blocks import DOUBLE_CONV, UP_CONV
from madnet.models.checkpoints.madnet import (
    ADADCM,
    DIFFERENTIAL_CONV,
    MEMA2M,
    MEMA2M_BLOCK,
    MEMORY_ATTENTION,
    PIXEL_ATTENTION,
)
from madnet.models.checkpoints.renaming import inverse, rename
from madnet.models.layers import (
    MLP,
    AdaDCM,
    DifferentialConv,
    DoubleConv,
    MemA2M,
    MemA2MBlock,
    MemoryAttention,
    PixelAttention,
    UpConv,
)
from madnet.models.layers.madnet_blocks import _as_windows


class Around(nn.Module):
    """A block that takes its maps in another form than the goldens'."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def load_state_dict(self, state):
        return self.block.load_state_dict(state)

    def named_parameters(self, *args, **kwargs):
        return self.block.named_parameters(*args, **kwargs)


class ChannelsFirst(Around):
    """The goldens' blocks take (B, C, H, W)."""

    def forward(self, x):
        return self.block(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Windows(Around):
    """The goldens' attention takes the tokens of windows, (N, L, C)."""

    def forward(self, x):
        return self.block(x[:, None, :, None, None])[:, 0, :, 0, 0]


def block(shift):
    return lambda: ChannelsFirst(MemA2MBlock(32, shift=shift))


CASES = {
    'deconv_d6': (lambda: DifferentialConv(6), DIFFERENTIAL_CONV),
    'pixelattention_d6': (lambda: PixelAttention(6), PIXEL_ATTENTION),
    'adadcm_3_8': (lambda: AdaDCM(3, 8), ADADCM),
    'adadcm_8_16': (lambda: AdaDCM(8, 16), ADADCM),
    'adadcm_3_8_hot': (lambda: AdaDCM(3, 8), ADADCM),
    'maattn_d32': (lambda: Windows(MemoryAttention(32)), MEMORY_ATTENTION),
    'maattn_d32_hot': (lambda: Windows(MemoryAttention(32)), MEMORY_ATTENTION),
    'mlp_d32': (lambda: MLP(32, 64), {'fc1': 'fc1', 'fc2': 'fc2'}),
    'mema2m_block_s0': (block(0), MEMA2M_BLOCK),
    'mema2m_block_s8': (block(8), MEMA2M_BLOCK),
    'mema2m_block_s8_nonsq': (block(8), MEMA2M_BLOCK),
    'mema2m_block_s0_hot': (block(0), MEMA2M_BLOCK),
    'mema2m_block_s8_hot': (block(8), MEMA2M_BLOCK),
    'MemA2M_8_32_16x16': (lambda: MemA2M(8, 32), MEMA2M),
    'MemA2M_8_32_32x32': (lambda: MemA2M(8, 32), MEMA2M),
    'MemA2M_8_32_32x32_hot': (lambda: MemA2M(8, 32), MEMA2M),
    'conv_block_6_4': (lambda: DoubleConv(6, 4), DOUBLE_CONV),
    'up_conv_6_4': (lambda: UpConv(6, 4), UP_CONV),
}
OTHER_ENTRIES = {'window', 'drop_path_schedule'}


@pytest.fixture(scope='module')
def goldens(golden_dir):
    return torch.load(golden_dir / 'madnet_modules.pt', weights_only=True)


def load(name, golden):
    build, names = CASES[name]
    module = build()
    module.load_state_dict(rename(golden['state_dict'], inverse(names)))
    return module, names


def tolerance(name):
    return 5e-5 if name.endswith('_hot') else 1e-5


def test_every_entry_is_used(goldens):
    assert set(goldens) == set(CASES) | OTHER_ENTRIES


@pytest.mark.parametrize('name', CASES)
def test_output_and_gradients(name, goldens):
    golden = goldens[name]
    module, names = load(name, golden)
    module.eval()
    x = golden['input'].clone().requires_grad_()
    y = module(x)
    torch.testing.assert_close(y, golden['output'], rtol=1e-5, atol=tolerance(name))

    y.square().sum().backward()
    scale = golden['input_grad'].abs().max().item()
    torch.testing.assert_close(x.grad, golden['input_grad'], rtol=1e-4, atol=1e-5 * scale)
    grads = rename({key: p.grad for key, p in module.named_parameters()}, names)
    assert set(grads) == set(golden['grad_norm'])
    for key, grad in grads.items():
        norm = golden['grad_norm'][key]
        assert grad.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-5), key
        # A sum may cancel to nothing, so what it may be off by follows from the norm.
        slack = 1e-5 * norm * grad.numel() ** 0.5 + 1e-5
        assert grad.sum().item() == pytest.approx(golden['grad_sum'][key], rel=1e-4, abs=slack), key


@pytest.mark.parametrize('name', ['MemA2M_8_32_16x16', 'conv_block_6_4', 'up_conv_6_4'])
def test_training_mode_without_drop_path(name, goldens):
    golden = goldens[name]
    module, names = load(name, golden)
    module.train()
    for part in module.modules():
        if hasattr(part, 'drop_path'):
            part.drop_path = 0.0
    y = module(golden['input'])
    torch.testing.assert_close(y, golden['output_train_nodrop'], rtol=1e-5, atol=2e-5)
    state = rename(module.state_dict(), names)
    for key, value in golden['state_after_train'].items():
        torch.testing.assert_close(state[key], value, rtol=1e-5, atol=1e-6)


def test_branch_kernels(goldens):
    golden = goldens['deconv_d6']
    conv, _ = load('deconv_d6', golden)
    published = {'horizontal': 'hd', 'vertical': 'vd', 'angular': 'ad', 'plain': 'vanilla'}
    for name in published:
        alone = copy.deepcopy(conv)
        for other, gamma in alone.gamma.items():
            torch.nn.init.constant_(gamma, float(other == name))
        weight, bias = alone.fused_kernel()
        assert torch.equal(weight, golden['branch_w'][published[name]])
        assert torch.equal(bias, golden['branch_b'][published[name]])
    weight, bias = conv.fused_kernel()
    torch.testing.assert_close(weight, golden['fused_w'], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(bias, golden['fused_b'], rtol=1e-6, atol=1e-6)


def test_window_order(goldens):
    golden = goldens['window']
    x = golden['input']
    windows = _as_windows(x, (16, 16))
    tokens = windows.transpose(2, 3).reshape(-1, 16 * 16, x.shape[3])
    assert torch.equal(tokens.sum(dim=(1, 2)), golden['partition16_sum'])
    assert torch.equal(tokens[:, 0, 0], golden['first_window_corner'])
    assert windows.data_ptr() == x.data_ptr()


def test_drop_path_schedule(goldens):
    found = MemA2M(8, 16).left_out.tolist()
    assert found == pytest.approx(goldens['drop_path_schedule'], abs=1e-7)
