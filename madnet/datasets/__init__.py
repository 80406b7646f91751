"""Datasets: the catalogue of known ones, one class for all of them, synthetic scenes, and the transforms."""

from madnet import _quiet_import  # isort: skip
from . import transforms
from .catalogue import Entry, find_entry, get_entry, known_datasets, split_ids
from .duplicates import find_near_duplicates
from .layouts import LAYOUTS, read_folder
from .scenes import Scene, synth_scene
from .sirst_dataset import SIRSTDataset
from .splits import SPLITS, ids_sha256
from .synthetic import SyntheticSIRSTDataset
