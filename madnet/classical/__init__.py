"""Training-free detectors: from an image to a score map, by the formulas of their papers.

Each is a function of an image, (H, W) grey or (H, W, 3) BGR on the 0–255 scale, and gives a score map (H, W)
float64, higher where a target is more likely. All of them raise a :class:`~madnet.errors.UserError` where the
image, a side or a name is not as it is stated; :func:`get_detector` checks all other numbers. Arguments that
several have in common:

* ``scales``, ``outer``: odd sides, in pixels, of the cells around each pixel and of the window around a cell.
* ``border``: how pixels outside the image are made up, a key of :data:`~madnet.classical.image.BORDERS`.
* ``eps``: added to the denominator of a ratio of means, since pure black cells exist.
* ``patch``, ``step``: side of the patches of a low-rank model, and pixels from one patch to the next.
* ``reassembly``: ``'median'``, ``'mean'`` or ``'last'`` of the patches over a pixel.
* ``tolerance``, ``max_iterations``: the relative residual at which its solver ends, and at the latest when.
"""

from madnet.classical.detectors import DETECTORS, Detector, get_detector
from madnet.classical.directional import max_mean, max_median
from madnet.classical.gaussian import dog, log
from madnet.classical.ipi import ipi, ipi_alm
from madnet.classical.local_contrast import hb_mlcm, lcm, mpcm, rlcm
from madnet.classical.mean_difference import aadcdd, aagd, admd
from madnet.classical.morphology import ring_top_hat, top_hat
from madnet.classical.nram import nram
from madnet.classical.pstnn import pstnn
from madnet.classical.ript import ript
from madnet.classical.thresholds import DEFAULT_RULE, ThresholdRule, get_rule
from madnet.classical.tri_layer import tllcm, wslcm

__all__ = [
    'DEFAULT_RULE', 'DETECTORS', 'Detector', 'ThresholdRule', 'aadcdd', 'aagd', 'admd', 'dog',
    'get_detector', 'get_rule', 'hb_mlcm', 'ipi', 'ipi_alm', 'lcm', 'log', 'max_mean', 'max_median',
    'mpcm', 'nram', 'pstnn', 'ring_top_hat', 'ript', 'rlcm', 'tllcm', 'top_hat', 'wslcm',
]  # fmt: skip
