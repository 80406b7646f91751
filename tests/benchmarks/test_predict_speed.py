"""The benchmark of prediction: every form is measured, alone and from file to file."""

import pytest

from madnet.benchmarks.predict import FORMS, benchmark
from madnet.errors import UserError


def test_forms_in_turn(capsys):
    report = benchmark(sizes=[64], pixels=1, rounds=2, format='masks', forms=['trained', 'folded'])
    assert [(row['form'], row['frames'], len(row['rounds'])) for row in report['rows']] == [
        ('trained', 4, 2),
        ('folded', 4, 2),
    ]
    assert all(r[key] > 0 for row in report['rows'] for r in row['rounds'] for key in ('bare', 'files'))
    assert 'file to file' in capsys.readouterr().out


def test_an_unknown_form():
    with pytest.raises(UserError, match=f'expected {", ".join(FORMS)}'):
        benchmark(forms=['quick'])
