"""The benchmark of prediction: every form is measured, alone and from file to file."""

import pytest

from madnet.benchmarks import predict
from madnet.benchmarks.predict import FORMS, benchmark
from madnet.errors import UserError


def test_forms_in_turn(capsys):
    report = benchmark(sizes=[64, 64], pixels=1, rounds=2, format='masks', forms=['trained', 'folded'])
    assert [(row['form'], row['frames'], len(row['rounds'])) for row in report['rows']] == [
        ('trained', 4, 2),
        ('folded', 4, 2),
    ]
    assert all(r[key] > 0 for row in report['rows'] for r in row['rounds'] for key in ('bare', 'files'))
    assert 'file to file' in capsys.readouterr().out


def test_a_mistake_is_said_before_a_form_is_built(monkeypatch):
    known = ', '.join(FORMS)
    monkeypatch.setattr(predict, 'FORMS', dict.fromkeys(FORMS, pytest.fail))
    for wrong, said in (
        ({'forms': ['quick']}, f'expected {known}'),
        ({'sizes': [64, 47]}, '--sizes 47: expected 48 or more'),
        ({'model': 'mine.py'}, "found 'mine.py', expected the name of a shipped network"),
        ({'format': 'bmp'}, "--format: found 'bmp'"),
    ):
        with pytest.raises(UserError, match=said):
            benchmark(**wrong)
