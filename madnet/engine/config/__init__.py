"""Experiments as configs: read, completed and checked.

:func:`load_config` gives a static config, which any mmengine ``Runner`` takes. It understands these keys, and
leaves none of them in what it gives:

* ``dataset``: a name of the catalogue, a folder, or a list of those; ``data_root``: a folder, instead of the
  ``dataset`` of a base config; ``split_set``, ``base_size``: instead of the catalogue's.
* ``selection``: which part trains and which chooses the best epoch (:data:`SELECTIONS`).
* ``per_dataset``: name of a set → changes of the config for that set.
* ``replace_steps``: type of a pipeline step → changed arguments, None to leave the step out, or a list of
  steps to put in its place.
* helper variables, whose names begin with an underscore or end with ``_pipeline``.
"""

from madnet.engine.config.checking import check_config
from madnet.engine.config.dataset import SELECTIONS
from madnet.engine.config.reading import load_config, require_parts

__all__ = ['SELECTIONS', 'check_config', 'load_config', 'require_parts']
