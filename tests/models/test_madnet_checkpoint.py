"""Published checkpoints of MAD-Net to ours and back."""

import pytest
import torch
from small_models import build_madnet

from madnet.errors import UserError
from madnet.models import switch_to_deploy
from madnet.models.checkpoints.madnet import convert_madnet, export_madnet, published_width


@pytest.fixture(scope='module')
def model():
    return build_madnet(base_channels=4, in_channels=1)


@pytest.fixture(scope='module')
def published(model):
    return export_madnet(model.state_dict())


def test_published_form_has_the_published_names(published):
    assert len(published) == 288
    names = {key.removeprefix('decode_head.') for key in published}
    assert names >= {
        'Conv1.conv.0.weight',
        'Convtans2.conv1.gamma1',
        'Convtans4.conv1.conv3.conv.bias',
        'Convtans3.pa.pa2.weight',
        'Conv5.conv1.1.running_mean',
        'Conv5.mema2m.3.attns.mb',
        'Up_conv5.mema2m.0.attns.subnet.0.weight',
        'Up5.up.1.weight',
        'Up2.up.2.num_batches_tracked',
        'Up_conv4.conv.3.weight',
        'Conv.weight',
        'conv1.weight',
        'conv5.bias',
    }
    assert published['decode_head.Conv5.conv1.0.weight'].shape == (64, 32, 3, 3)
    assert published['decode_head.Up5.up.1.weight'].shape == (32, 64, 3, 3)
    assert published['decode_head.conv5.weight'].shape == (1, 64, 3, 3)
    assert published['decode_head.conv1.weight'].shape == (1, 4, 3, 3)


@pytest.mark.parametrize('form', ['prefixed', 'bare', 'nested', 'data parallel'])
def test_round_trip(model, published, form):
    if form == 'bare':
        published = {key.removeprefix('decode_head.'): value for key, value in published.items()}
    elif form == 'nested':
        published = {'state_dict': published, 'epoch': 3}
    elif form == 'data parallel':
        published = {f'module.{key}': value for key, value in published.items()}
    assert published_width(published) == (1, 4)
    ours = convert_madnet(published)
    state = model.state_dict()
    assert set(ours) == set(state)
    assert all(torch.equal(ours[key], state[key]) for key in state)
    build_madnet(base_channels=4, in_channels=1, seed=1).load_state_dict(ours)


def test_what_does_not_fit_is_named(published):
    short = dict(published)
    del short['decode_head.Up3.up.1.bias']
    with pytest.raises(UserError, match=r'of 288 keys 1 missing: Up3\.up\.1\.bias'):
        convert_madnet(short)
    with pytest.raises(UserError, match=r'1 unknown: decode_head\.extra\.weight|1 unknown: extra\.weight'):
        convert_madnet({**published, 'decode_head.extra.weight': torch.zeros(1)})
    other = {**published, 'decode_head.conv2.weight': torch.zeros(1, 9, 3, 3)}
    with pytest.raises(UserError, match=r'conv2\.weight \(1, 9, 3, 3\) instead of \(1, 8, 3, 3\)'):
        convert_madnet(other)
    with pytest.raises(UserError, match=r'first keys are layer\.weight'):
        convert_madnet({'layer.weight': torch.zeros(2, 2)})
    with pytest.raises(UserError, match='not a checkpoint'):
        convert_madnet({})


def test_export_refuses_other_state_dicts(model):
    with pytest.raises(UserError, match='not a state dict of our MAD-Net'):
        export_madnet({'layer.weight': torch.zeros(2, 2)})
    folded = build_madnet(base_channels=4, in_channels=1)
    with pytest.raises(UserError, match='folded'):
        export_madnet(switch_to_deploy(folded).state_dict())
