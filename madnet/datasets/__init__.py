"""Datasets: the catalogue of known ones, one class for all of them, synthetic scenes, and the transforms.

Names are imported when they are first used: the catalogue and its lists need neither torch nor mmseg.
"""

from typing import TYPE_CHECKING

from madnet.lazy import importing

if TYPE_CHECKING:
    from madnet.datasets.catalogue import Entry, find_entry, get_entry, known_datasets, split_ids
    from madnet.datasets.duplicates import find_near_duplicates
    from madnet.datasets.layouts import LAYOUTS, read_folder
    from madnet.datasets.scenes import Scene, synth_scene
    from madnet.datasets.sirst_dataset import SIRSTDataset
    from madnet.datasets.splits import SPLITS, ids_sha256
    from madnet.datasets.synthetic import SyntheticSIRSTDataset

__all__ = [
    'LAYOUTS', 'SPLITS', 'Entry', 'SIRSTDataset', 'Scene', 'SyntheticSIRSTDataset', 'find_entry',
    'find_near_duplicates', 'get_entry', 'ids_sha256', 'known_datasets', 'read_folder', 'split_ids',
    'synth_scene',
]  # fmt: skip

__getattr__ = importing(
    __name__,
    {
        **dict.fromkeys(('Entry', 'find_entry', 'get_entry', 'known_datasets', 'split_ids'), 'catalogue'),
        'find_near_duplicates': 'duplicates',
        **dict.fromkeys(('LAYOUTS', 'read_folder'), 'layouts'),
        **dict.fromkeys(('Scene', 'synth_scene'), 'scenes'),
        'SIRSTDataset': 'sirst_dataset',
        **dict.fromkeys(('SPLITS', 'ids_sha256'), 'splits'),
        'SyntheticSIRSTDataset': 'synthetic',
    },
)
