"""Files of images, masks and score maps to arrays: one reader for each, which every part of the package uses.

Needs NumPy, OpenCV and Pillow, nothing of PyTorch.
"""

from madnet.images.encoding import encode_jpeg, encode_png, encode_webp
from madnet.images.frames import EXTENSIONS, count_frames, image_size, read_image
from madnet.images.loader import LARGE, ArrayWindows, FrameLoader, LoadedWindows, Windows
from madnet.images.masks import MaskRule, fit_mask, read_mask
from madnet.images.score_maps import read_scores
from madnet.images.values import check_value_range, finite, luma, measure_range, to_channels
from madnet.images.videos import VIDEO_EXTENSIONS
from madnet.images.windows import FrameWindows

__all__ = [
    'EXTENSIONS',
    'LARGE',
    'VIDEO_EXTENSIONS',
    'ArrayWindows',
    'FrameLoader',
    'FrameWindows',
    'LoadedWindows',
    'MaskRule',
    'Windows',
    'check_value_range',
    'count_frames',
    'encode_jpeg',
    'encode_png',
    'encode_webp',
    'finite',
    'fit_mask',
    'image_size',
    'luma',
    'measure_range',
    'read_image',
    'read_mask',
    'read_scores',
    'to_channels',
]  # fmt: skip
