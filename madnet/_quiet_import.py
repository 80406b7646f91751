"""Imports mmseg without the lines that it and its parts print on import.

They speak of compiled operations and a plotting service that nothing here uses. Every room that uses mmseg
imports this module first.
"""

import contextlib
import io
import warnings

with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
    warnings.simplefilter('ignore')
    import mmseg.datasets
    import mmseg.models  # noqa: F401
