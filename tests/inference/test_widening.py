"""A wider network that begins as a narrower one: the same results, copies that part in training."""

import pytest
import torch
from mmseg.registry import MODELS

from madnet.cli import main
from madnet.config_files import find_config_file
from madnet.engine.checkpoint_file import read_checkpoint
from madnet.engine.config import load_config
from madnet.engine.training_record import training_parts
from madnet.errors import UserError
from madnet.pretrained import load_pretrained, widening
from madnet.pretrained.widening import widen


def madnet(width):
    cfg = load_config(find_config_file('madnet_nano'), {'model.backbone.base_channels': width})
    torch.manual_seed(width)
    return MODELS.build(cfg.model)


def test_it_computes_the_same_until_it_is_trained():
    narrow, wide = load_pretrained('madnet_nano')[0], madnet(12)
    wide.load_state_dict(widen(narrow, wide))
    frame = torch.randn(1, 1, 70, 52)
    ours, theirs = (model.eval()(frame, mode='tensor') for model in (wide, narrow))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    wide(frame, mode='tensor').sum().backward()
    gradient = wide.backbone.stages[0].conv_in.weight.grad
    assert gradient.shape[0] == 12
    for k in range(0, 12, 3):  # three copies of each channel
        assert not torch.allclose(gradient[k], gradient[k + 1], rtol=1e-2)


def test_what_cannot_be_widened_is_refused():
    with pytest.raises(UserError, match=r'conv_in\.weight: \(6, 1, 3, 3\) is no multiple of \(4, 1, 3, 3\)'):
        widen(madnet(4), madnet(6))
    with pytest.raises(UserError, match='only one of the two networks has it'):
        widen(madnet(4), torch.nn.Conv2d(1, 4, 3))


class Peaked(torch.nn.Module):
    """A network of which copies of channels change the result."""

    def __init__(self, width):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, width, 3)

    def forward(self, x, mode):
        return self.conv(x).softmax(dim=1)[:, :1]


def test_another_result_is_seen():
    torch.manual_seed(0)
    narrow, wide = Peaked(2), Peaked(4)
    wide.load_state_dict(widen(narrow, wide))
    assert widening._apart(narrow, narrow, 1) == 0
    assert widening._apart(narrow, wide, 1) > 0.1


def test_the_command(tmp_path, capsys):
    out = tmp_path / 'wide.pth'
    assert main(['pretrained', 'widen', 'madnet_nano', 'madnet_tiny', str(out)]) == 0
    assert '243,686 → 945,078 parameters; logits differ by ' in capsys.readouterr().out
    assert training_parts(str(out)) == training_parts('madnet_nano') != []
    content = out.read_bytes()
    assert main(['pretrained', 'widen', 'no_such', 'madnet_tiny', str(out)]) == 2  # before a network is built
    assert capsys.readouterr().err.endswith('wide.pth: is there already; --force replaces it.\n')
    assert main(['pretrained', 'widen', 'no_such', 'madnet_tiny', str(out), '--force']) == 2
    assert 'no_such' in capsys.readouterr().err
    assert out.read_bytes() == content
    saved = read_checkpoint(out)
    assert saved['meta']['data_preprocessor']['mean'] == [99.423]  # so that training goes on by it
    assert saved['state_dict']['decode_head.conv_seg.weight'].shape == (1, 8, 1, 1)
    assert main(['pretrained', 'widen', 'madnet_nano', 'madnet_published', str(tmp_path / 'b.pth')]) == 2
    assert '--cfg-options model.backbone.in_channels=1' in capsys.readouterr().err
    assert main(['pretrained', 'widen', 'madnet_tiny', 'madnet_nano', str(tmp_path / 'b.pth')]) == 2
    assert 'is no multiple of' in capsys.readouterr().err
    assert not (tmp_path / 'b.pth').exists()


@MODELS.register_module()
class KeepsNoNumber(torch.nn.Module):
    """A backbone that does not say how many channels it takes."""

    def __init__(self, in_channels=1, width=2):
        super().__init__()
        self.pyramid_channels = [width, 2 * width, 4 * width, 8 * width]
        widths = zip([in_channels, *self.pyramid_channels], self.pyramid_channels, strict=False)
        self.stages = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 3, 2, 1) for a, b in widths)

    def forward(self, x):
        maps = []
        for stage in self.stages:
            maps.append(x := stage(x).relu())
        return maps


def test_a_backbone_of_ones_own_is_widened(tmp_path):
    config, weights, out = tmp_path / 'own.py', tmp_path / 'narrow.pth', tmp_path / 'wide.pth'
    backbone = "model = dict(backbone=dict(_delete_=True, type='KeepsNoNumber', width=2))"
    config.write_text(f"_base_ = 'madnet_synthetic'\n{backbone}\n")
    torch.manual_seed(0)
    narrow = MODELS.build(load_config(config).model)
    torch.save({'state_dict': narrow.state_dict()}, weights)
    said = widening.write_widened(str(config), config, out, weights, options=['model.backbone.width=4'])
    assert 'parameters; logits differ by' in said
    options = ['model.backbone.in_channels=3']
    with pytest.raises(UserError, match=r'takes 3 channels, .* takes 1; give both the same'):
        widening.write_widened(str(config), config, out, weights, options=options, force=True)
