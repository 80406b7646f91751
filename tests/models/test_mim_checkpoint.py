"""Published checkpoints of MiM-ISTD to ours and back."""

import pytest
import torch
from test_mim import build_mim

from madnet.engine.convert import convert_checkpoint
from madnet.errors import UserError
from madnet.models.checkpoints.mim import convert_mim, export_mim, published_mim_shape


@pytest.fixture(scope='module')
def model():
    return build_mim(base_channels=4, word_channels=2, in_channels=1)


@pytest.fixture(scope='module')
def published(model):
    """As published: parameters without effect among the others."""
    state = export_mim(model.state_dict())
    for i, (heads, n) in enumerate(((2, 64), (4, 16), (8, 4), (16, 1))):
        state[f'stages.{i}.relative_pos'] = torch.zeros(1, heads, n, n)
    return state | {'norm.weight': torch.ones(32), 'norm.bias': torch.zeros(32)}


def equal(a, b):
    return set(a) == set(b) and all(torch.equal(a[key], b[key]) for key in a)


def other_containers(published):
    """The same blocks in containers of other names."""
    moved = {}
    for key, value in published.items():
        inside = not key.startswith(('deconv', 'uplayer', 'head'))
        key = key.replace('patch_embed', 'stem').replace('up_blocks', 'ups').replace('word_merges', 'wm')
        key = key.replace('stages.', 'layers.').replace('.blocks.', '.').replace('uplayer', 'dec.r')
        moved[f'module.net.{"encoder." if inside else ""}{key}'] = value
    return moved


@pytest.mark.parametrize('form', ['bare', 'nested', 'other containers'])
def test_round_trip(model, published, form):
    if form == 'nested':
        published = {'state_dict': published, 'epoch': 3}
    elif form == 'other containers':
        published = other_containers(published)
    shape = published_mim_shape(published)
    assert (shape.in_channels, shape.base_channels, shape.word_channels) == (1, 4, 2)
    assert (shape.depths, shape.inner_blocks, shape.head_blocks) == ((2, 2, 2, 2), 1, 2)
    ours = convert_mim(published)
    assert equal(ours, model.state_dict())
    build_mim(base_channels=4, word_channels=2, in_channels=1, seed=1).load_state_dict(ours)
    # With the published checkpoint as a template, nothing of it is missing on the way back.
    assert equal(export_mim(ours, like=published), published.get('state_dict', published))


def test_the_order_of_keys_and_two_digits_do_not_matter():
    model = build_mim(base_channels=4, word_channels=2, depths=(12, 2), inner_blocks=2, head={'blocks': 3})
    published = export_mim(model.state_dict())
    backwards = dict(sorted(published.items(), reverse=True))
    assert published_mim_shape(backwards).depths == (12, 2)
    assert equal(convert_mim(backwards), model.state_dict())


def test_published_names(published):
    assert set(published) >= {
        'patch_embed.common_conv.0.weight',
        'patch_embed.outer_convs.7.running_mean',
        'stages.0.blocks.0.inner_attn.A_logs',
        'stages.3.blocks.1.outer_mlp.conv1x1_gelu_bn.conv3x3_gelu_bn.2.bias',
        'word_merges.2.conv.0.weight',
        'sentence_merges.0.reduction.weight',
        'up_blocks.1.batch_norm2.num_batches_tracked',
        'deconv3.expand.weight',
        'uplayer1.1.body.4.weight',
        'head.block.4.bias',
    }
    assert published['deconv3.expand.weight'].shape == (64, 32)
    assert published['deconv1.norm.weight'].shape == (4,)


def test_deep_supervision_is_left_out(model, published):
    other = build_mim(base_channels=4, word_channels=2, in_channels=1, head={'deep_supervision': True})
    assert set(export_mim(other.state_dict(), like=published)) == set(published)


def test_what_does_not_fit_is_named(published):
    short = {key: value for key, value in published.items() if key != 'stages.1.blocks.0.outer_attn.Ds'}
    with pytest.raises(UserError, match=r'keys 1 missing: stages\.1\.blocks\.0\.outer_attn\.Ds$'):
        convert_mim(short)
    with pytest.raises(UserError, match=r'1 unknown: extra\.weight$'):
        convert_mim({**published, 'extra.weight': torch.zeros(1)})
    with pytest.raises(UserError, match=r'proj\.weight \(4, 9\) instead of \(4, 32\)'):
        convert_mim({**published, 'stages.0.blocks.0.proj.weight': torch.zeros(4, 9)})
    without = {key: value for key, value in published.items() if not key.startswith('deconv2')}
    with pytest.raises(UserError, match=r'3 missing: deconv2\.expand\.weight'):
        convert_mim(without)
    with pytest.raises(UserError, match=r'first keys are layer\.weight'):
        convert_mim({'layer.weight': torch.zeros(2, 2)})
    with pytest.raises(UserError, match='not a checkpoint of the published MiM-ISTD'):
        convert_mim({})
    blocks = {key: value for key, value in published.items() if '.blocks.' not in key}
    with pytest.raises(UserError, match=r'stages of \[\] blocks'):
        convert_mim(blocks)
    with pytest.raises(UserError, match='not a state dict of our MiM-ISTD'):
        export_mim({'layer.weight': torch.zeros(2, 2)})
    wider = build_mim(base_channels=8, word_channels=2).state_dict()
    with pytest.raises(UserError, match='base_channels=4'):
        export_mim(wider, like=published)


def test_files(tmp_path, model, published):
    torch.save({'state_dict': published}, tmp_path / 'theirs.pth')
    convert_checkpoint('mim', str(tmp_path / 'theirs.pth'), str(tmp_path / 'ours.pth'))
    ours = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    assert equal(ours, model.state_dict())
    convert_checkpoint('mim', str(tmp_path / 'ours.pth'), str(tmp_path / 'back.pth'), reverse=True)
    back = torch.load(tmp_path / 'back.pth', weights_only=True)['state_dict']
    assert set(published) - set(back) == {f'stages.{i}.relative_pos' for i in range(4)} | {
        'norm.weight',
        'norm.bias',
    }


def test_names_of_a_published_file(tmp_path, model, published):
    """What our names are called there, parameters without effect included: nothing is missing in the copy."""
    theirs = {key.removeprefix('module.'): value for key, value in other_containers(published).items()}
    torch.save(theirs, tmp_path / 'theirs.pth')
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'ours.pth')
    like, ours, out = (str(tmp_path / name) for name in ('theirs.pth', 'ours.pth', 'back.pth'))
    convert_checkpoint('mim', ours, out, reverse=True, like=like)
    assert equal(torch.load(out, weights_only=True)['state_dict'], theirs)
    with pytest.raises(UserError, match='goes with --reverse only'):
        convert_checkpoint('mim', like, str(tmp_path / 'other.pth'), like=like)
    with pytest.raises(UserError, match='names of madnet are known'):
        convert_checkpoint('madnet', ours, str(tmp_path / 'other.pth'), reverse=True, like=like)
    with pytest.raises(UserError, match='no such file'):
        convert_checkpoint('mim', ours, str(tmp_path / 'other.pth'), reverse=True, like=f'{like}.not')
