"""Networks with their weights by name: those that come with the package, and those that are fetched."""

from madnet import _quiet_import  # noqa: F401  # isort: skip
from madnet.pretrained.loading import load_pretrained
from madnet.pretrained.teaching import TeacherHook
from madnet.records import PretrainedEntry, get_pretrained, list_pretrained, list_registered

__all__ = [
    'PretrainedEntry',
    'TeacherHook',
    'get_pretrained',
    'list_pretrained',
    'list_registered',
    'load_pretrained',
]
