"""The terminal's table."""

import math

import madnet  # noqa: F401
from madnet.engine.console import metrics_table


def test_percent_and_units_and_what_is_not_defined():
    text = metrics_table(
        {
            'native': {'IoU': 0.76543, 'nIoU': 0.5, 'Fa': 1.234e-5, 'targets': 12},
            'acm': {'IoU': 1.0, 'nIoU': math.nan},
        }
    )
    header, native, acm = (line.split('|')[1:-1] for line in text.splitlines() if line.startswith('|'))
    assert [c.strip() for c in header] == ['protocol', 'IoU %', 'nIoU %', 'Fa 1e-6', 'targets']
    assert [c.strip() for c in native] == ['native', '76.54', '50.00', '12.34', '12']
    assert [c.strip() for c in acm] == ['acm', '100.00', '–', '–', '–']
