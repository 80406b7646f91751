"""Networks with weights that come with the package, by name."""

from .loading import load_pretrained
from .table import PretrainedEntry, get_pretrained, list_pretrained

__all__ = ['PretrainedEntry', 'get_pretrained', 'list_pretrained', 'load_pretrained']
