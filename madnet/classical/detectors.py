"""All detectors under their names."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from inspect import Parameter, signature
from typing import Any

import numpy as np

from madnet.classical.directional import max_mean, max_median
from madnet.classical.gaussian import dog, log
from madnet.classical.image import as_grey
from madnet.classical.ipi import ipi, ipi_alm
from madnet.classical.local_contrast import hb_mlcm, lcm, mpcm, rlcm
from madnet.classical.mean_difference import aadcdd, aagd, admd
from madnet.classical.morphology import ring_top_hat, top_hat
from madnet.classical.nram import nram
from madnet.classical.pstnn import pstnn
from madnet.classical.ript import ript
from madnet.classical.tri_layer import tllcm, wslcm
from madnet.errors import UserError, expect_number, expect_whole, nearest


@dataclass(frozen=True)
class Detector:
    """A named detector: a function from an image to a raw score map, and its parameters.

    Attributes:
        name: In configs and on command lines.
        title: In tables.
        function: Image (H, W) float64 on the 0–255 scale → raw score map (H, W), finite, higher is more
            target-like.
        parameters: What differs from the function's defaults.
        paper: Authors and year; the function's docstring says where.
    """

    name: str
    title: str
    function: Callable[..., np.ndarray]
    paper: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The raw score map (H, W) float64 of an image (H, W), (H, W, 1) or (H, W, 3) BGR on the 0–255 scale.

        Raises:
            UserError: It is no such image, or the function gives no finite number for each of its pixels.
        """
        grey = as_grey(image)
        scores = np.asarray(self.function(grey, **self.parameters))
        if scores.shape != grey.shape or scores.dtype.kind not in 'buif':
            raise UserError(
                f'detector {self.name!r}: found scores of shape {scores.shape} and type {scores.dtype}, '
                f"expected real numbers of the image's shape {grey.shape}."
            )
        if not np.isfinite(scores).all():
            raise UserError(f'detector {self.name!r}: found scores that are NaN or infinite.')
        return scores.astype(np.float64, copy=False)


_TABLE = (
    Detector('tophat', 'Top-hat 5×5', top_hat, 'Tom et al. 1993'),
    Detector('newtophat', 'New top-hat 13/9/13', ring_top_hat, 'Bai et al. 2008'),
    Detector(
        'newtophat_9_5_9',
        'New top-hat 9/5/9',
        ring_top_hat,
        'Bai et al. 2008',
        {'outer': 9, 'inner': 5, 'body': 9},
    ),
    Detector('maxmean', 'Max-mean L15', max_mean, 'Deshpande et al. 1999'),
    Detector('maxmean_5', 'Max-mean L5', max_mean, 'Deshpande et al. 1999', {'length': 5}),
    Detector('maxmedian', 'Max-median L15', max_median, 'Deshpande et al. 1999'),
    Detector('maxmedian_5', 'Max-median L5', max_median, 'Deshpande et al. 1999', {'length': 5}),
    Detector('log', 'LoG, 4 scales', log, 'Kim, Lee 2012'),
    Detector('dog', 'DoG 1/2', dog, 'Wang et al. 2012'),
    Detector('lcm', 'LCM', lcm, 'Chen et al. 2014'),
    Detector('rlcm', 'RLCM', rlcm, 'Han et al. 2018'),
    Detector('mpcm', 'MPCM, bright', mpcm, 'Wei et al. 2016'),
    Detector('mpcm_signed', 'MPCM, signed', mpcm, 'Wei et al. 2016', {'signed': True}),
    Detector('hbmlcm', 'HB-MLCM b9', hb_mlcm, 'Shi et al. 2018'),
    Detector('hbmlcm_5', 'HB-MLCM b5', hb_mlcm, 'Shi et al. 2018', {'boost': 5}),
    Detector('tllcm', 'TLLCM 5, 7, 9', tllcm, 'Han et al. 2020'),
    Detector('tllcm_9', 'TLLCM 9', tllcm, 'Han et al. 2020', {'scales': (9,)}),
    Detector('wslcm', 'WSLCM', wslcm, 'Han et al. 2021'),
    Detector('admd', 'ADMD', admd, 'Moradi et al. 2020'),
    Detector('aagd', 'AAGD, bright', aagd, 'Moradi et al. 2018'),
    Detector('aagd_signed', 'AAGD, signed', aagd, 'Moradi et al. 2018', {'signed': True}),
    Detector('aadcdd', 'AADCDD', aadcdd, 'Aghaziyarati et al. 2019'),
    Detector('ipi', 'IPI 50/10', ipi, 'Gao et al. 2013'),
    Detector('ipialm', 'IPI-ALM 30/10', ipi_alm, 'after Gao et al. 2013'),
    Detector('ript', 'RIPT', ript, 'Dai, Wu 2017'),
    Detector('pstnn', 'PSTNN', pstnn, 'Zhang, Peng 2019'),
    Detector('nram', 'NRAM', nram, 'Zhang et al. 2018'),
)
#: Name → detector, in the order of tables.
DETECTORS: dict[str, Detector] = {detector.name: detector for detector in _TABLE}


def get_detector(name: str, **parameters: Any) -> Detector:
    """The detector of that name, with other parameters where given.

    Raises:
        UserError: Unknown name, or a parameter that the detector does not have; the nearest are offered. A
            number out of its range.
    """
    if name not in DETECTORS:
        raise UserError(
            f'unknown detector {name!r}.{nearest(str(name), DETECTORS)} Known: {", ".join(DETECTORS)}.'
        )
    detector = DETECTORS[name]
    if not parameters:
        return detector
    _, *takes = signature(detector.function).parameters.values()  # first comes the image
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    known = [one.name for one in takes if one.kind in named]
    takes_any = any(one.kind is Parameter.VAR_KEYWORD for one in takes)
    for key in parameters:
        if key not in known and not takes_any:
            raise UserError(
                f'detector {name!r} has no parameter {key!r}.{nearest(key, known)} '
                f'It has: {", ".join(known) or "none"}.'
            )
        _check(key, parameters[key])
    changed = ', '.join(f'{key}={value}' for key, value in parameters.items())
    title = f'{detector.title} ({changed})'
    return replace(detector, title=title, parameters={**detector.parameters, **parameters})


def _check(key: str, value: Any) -> None:
    """Raise a UserError where a number is out of the range of its kind; sides are checked in use."""
    if key in ('count', 'patch', 'step', 'max_iterations'):
        expect_whole(value, key, least=1)
    elif key in ('gamma', 'weight', 'tolerance', 'least_spread'):
        expect_number(value, key, above=0, below=math.inf)
    elif key in ('eps', 'edge_weight'):
        expect_number(value, key, least=0, below=math.inf)
    elif key == 'counts':
        shape = [np.shape(pair) for pair in value] if isinstance(value, (list, tuple)) else []
        if set(shape) != {(2,)}:
            raise UserError(
                f'counts: found {value!r}, expected pairs of whole numbers, such as ((2, 4), (5, 9)).'
            )
        for number in (number for pair in value for number in pair):
            expect_whole(number, 'counts', least=1)
