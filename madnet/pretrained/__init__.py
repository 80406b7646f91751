"""Networks with weights that come with the package, by name."""

from madnet import _quiet_import  # isort: skip
from madnet.pretrained.loading import load_pretrained
from madnet.records import PretrainedEntry, get_pretrained, list_pretrained
