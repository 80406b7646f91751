"""Published checkpoints and ours: one file for each network, one record for each converter."""

from madnet.models.checkpoints import (
    abc,
    acm,
    alcnet,
    dnanet,
    isnet,
    madnet,
    mim,
    mshnet,
    rdian,
    repisd,
    sctransnet,
    uiunet,
)
from madnet.models.checkpoints.conversion import Converter

#: network → its converter
CONVERTERS: dict[str, Converter] = {
    network.CONVERTER.name: network.CONVERTER
    for network in (abc, acm, alcnet, dnanet, isnet, madnet, mim, mshnet, rdian, repisd, sctransnet, uiunet)
}
__all__ = ['CONVERTERS', 'Converter']
