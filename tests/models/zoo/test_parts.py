"""The networks' parts: in a plain mmseg model, and with each other."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from .checks import batch_of, build, check_sizes

#: network → its backbone, neck and head, made narrow
NETWORKS = {
    'abc': ({'type': 'ABCEncoder', 'base_channels': 4, 'side': 64}, None, 'ABCHead'),
    'acm': ({'type': 'ThinResNet', 'blocks': 1}, 'ACMUNetNeck', 'FCNSegHead'),
    'acm_fpn': ({'type': 'ThinResNet', 'blocks': 1}, 'ACMFPNNeck', 'FCNSegHead'),
    'alcnet': ({'type': 'ThinResNet', 'blocks': 1, 'stem_stride': 1}, 'ALCNetNeck', 'FCNSegHead'),
    'alcnet_basic': ({'type': 'ThinResNet', 'blocks': 1}, 'ALCNetBasicNeck', 'FCNSegHead'),
    'dnanet': ({'type': 'DNANetEncoder', 'base_channels': 4}, None, 'DNANetHead'),
    'isnet': ({'type': 'ISNetEncoder', 'base_channels': 4, 'blocks': 1}, None, 'ISNetHead'),
    'mshnet': ({'type': 'MSHNetEncoder', 'base_channels': 4}, None, 'MSHNetHead'),
    'rdian': ({'type': 'RDIANEncoder', 'base_channels': 4}, None, 'RDIANHead'),
    'repisd': ({'type': 'RepISDEncoder', 'base_channels': 4}, None, 'RepISDHead'),
    'sctransnet': ({'type': 'SCTransNetEncoder', 'base_channels': 4}, 'SCTransNetNeck', 'SCTransNetHead'),
    'uiunet': ({'type': 'UIUNetEncoder', 'base_channels': 4}, None, 'UIUNetHead'),
}
PYRAMID_HEADS = ['ABCHead', 'DNANetHead', 'MSHNetHead', 'RepISDHead', 'SCTransNetHead', 'UIUNetHead']
POOLING_ENCODERS = ['AdaDCMEncoder', 'DNANetEncoder', 'MSHNetEncoder', 'SCTransNetEncoder', 'UIUNetEncoder']


@pytest.fixture
def _mmseg_scope():
    init_default_scope('mmseg')


@pytest.mark.usefixtures('_mmseg_scope')
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('network', NETWORKS)
def test_every_network_is_a_plain_model_of_mmseg(network, channels):
    backbone, neck, head = NETWORKS[network]
    backbone = {**backbone, 'in_channels': channels}
    widths = MODELS.build(backbone).pyramid_channels
    if neck is not None:
        neck = {'type': neck, 'in_channels': widths}
        widths = MODELS.build(neck).pyramid_channels
    statistics = {'mean': [100.0] * channels, 'std': [50.0] * channels}
    torch.manual_seed(0)
    model = MODELS.build(
        ConfigDict(
            type='EncoderDecoder',
            data_preprocessor={'type': 'SegDataPreProcessor', 'size_divisor': 1, **statistics},
            backbone=backbone,
            neck=neck,
            decode_head={'type': head, 'in_channels': widths},
            test_cfg={'mode': 'whole'},
        )
    )
    data = model.train().data_preprocessor(batch_of(channels, (64, 64)), training=True)
    loss, log = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert loss.isfinite()
    assert any(name.startswith('decode.loss') for name in log)
    with torch.no_grad():
        found = model.eval().test_step(batch_of(channels, (64, 64)))
    assert [tuple(result.pred_sem_seg.shape) for result in found] == [(64, 64)] * 2


@pytest.mark.parametrize('head', PYRAMID_HEADS)
def test_every_decoder_takes_another_network_s_maps(head):
    backbone = {'type': 'AdaDCMEncoder', 'base_channels': 4, 'num_stages': 4}
    check_sizes(build(backbone, {'type': head}), 3, sizes=[(65, 97)])


@pytest.mark.parametrize('backbone', POOLING_ENCODERS)
def test_every_encoder_serves_another_network_s_decoder(backbone):
    check_sizes(build({'type': backbone, 'base_channels': 4}, {'type': 'RepISDHead'}), 3, sizes=[(65, 97)])
