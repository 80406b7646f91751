"""Checkpoints of the published RepISD-Net, to and from ours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from madnet.models.checkpoints.blocks import CONV_BN
from madnet.models.checkpoints.conversion import Converter, shape_of, to_ours, to_published
from madnet.models.checkpoints.fitting import unwrap, without_prefixes
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.template import skeleton
from madnet.models.deploy import switch_to_deploy

PUBLISHED = 'not a checkpoint of the published RepISD-Net'
OURS = 'not a state dict of our RepISD-Net'

ECB: Names = {
    'plain.conv': 'rbr_dense.conv',
    'plain.bn': 'rbr_dense.bn',
    'central': 'rbr_cdc.conv_cdc.conv1',
    'central_bn': 'rbr_cdc.conv_cdc.bn1',
    'point.conv': 'rbr_cdc.conv_cdc.conv2',
    'point.bn': 'rbr_cdc.conv_cdc.bn2',
    'identity_bn': 'rbr_identity',
    'fused': 'rbr_reparam',
}
REPISD: Names = {
    'backbone.stem.0.conv': 'backbone.inc.double_conv.0',
    'backbone.stem.0.bn': 'backbone.inc.double_conv.1',
    'backbone.stem.1.conv': 'backbone.inc.double_conv.3',
    'backbone.stem.1.bn': 'backbone.inc.double_conv.4',
    **nest('decode_head.reduce', 'cls', CONV_BN),
    'decode_head.conv_seg': 'cls.4',
}
for _i in range(2):
    REPISD |= nest(f'backbone.stages.0.{_i}', f'backbone.down1.maxpool_conv.1.double_conv.{_i}', ECB)
    REPISD |= nest(f'backbone.stages.1.{_i}', f'backbone.down2.maxpool_conv.1.double_conv.{_i}', ECB)
    REPISD |= nest(f'decode_head.decoders.1.{_i}', f'backbone.up3.conv.double_conv.{_i}', ECB)
    REPISD |= nest(f'decode_head.decoders.0.{_i}', f'backbone.up4.conv.double_conv.{_i}', ECB)
for _i in range(4):
    REPISD |= nest(f'decode_head.pooling.{_i}.1', f'ppm.features.{_i}', {'conv': '1', 'bn': '2'})


def convert_repisd(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our RepISD-Net from a checkpoint with the published key names.

    The published state dict is of the training form, of the "converted" form (central differences written
    into the kernels, the same function), or of the deployed form, which our network takes too and then is
    deployed. The branch of central differences is called ``cdc`` in the published code and ``pdc`` in the
    files beside it; both will do. The first of the two published maps, which neither loss nor test uses, is
    left out.
    """
    state = {
        key.replace('rbr_pdc.conv_pdc.', 'rbr_cdc.conv_cdc.'): value
        for key, value in without_prefixes(published, ('module.', 'model.')).items()
    }
    first = shape_of(state, 'backbone.inc.double_conv.0.weight', PUBLISHED)
    for leaf in ('weight', 'bias'):
        value = state.get(f'cls.4.{leaf}')
        if value is not None and len(value) == 2:
            state[f'cls.4.{leaf}'] = value[1:]
    deployed = any('.rbr_reparam.' in key for key in state)
    return to_ours(state, _template(first, deployed), REPISD, PUBLISHED)


def export_repisd(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_repisd`, from the training form or the deployed one; the unused first map
    gets zeros.
    """
    state = unwrap(state_dict)
    first = shape_of(state, 'backbone.stem.0.conv.weight', OURS)
    deployed = any('.fused.' in key for key in state)
    published = to_published(state, _template(first, deployed), REPISD, OURS)
    for leaf in ('weight', 'bias'):
        value = published[f'cls.4.{leaf}']
        published[f'cls.4.{leaf}'] = torch.cat([torch.zeros_like(value), value])
    return published


def _template(first: torch.Size, deployed: bool) -> dict[str, Tensor]:
    """Our state dict, by the shape of the first convolution."""
    backbone = dict(type='RepISDEncoder', in_channels=first[1], base_channels=first[0])
    model = skeleton(backbone, dict(type='RepISDHead'))
    with torch.device('meta'):
        return (switch_to_deploy(model) if deployed else model).state_dict()


CONVERTER = Converter(
    'repisd', 'RepISD-Net: as trained, converted, or deployed', convert_repisd, export_repisd
)
