"""YAML and JSON of users: a key that stands twice is refused, since the last would win without a word."""

import pytest

from madnet.errors import UserError
from madnet.files import read_json
from madnet.plain_yaml import read_yaml


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('seeds: [1]\nname: a\nseeds: [2]\n', "line 3: 'seeds' twice"),
        ('a:\n  - {x: 1, y: 2, x: 3}\n', "line 2: 'x' twice"),
        ('1: a\n1: b\n', "line 2: '1' twice"),
        ('a: !!python/object:os.system x\n', 'line 1: could not determine a constructor'),
        ('a: [1\n', 'line 2: '),
    ],
)
def test_what_yaml_is_refused_and_where(text, said):
    with pytest.raises(UserError) as e:
        read_yaml(text)
    assert said in str(e.value)
    assert '\n' not in str(e.value)


def test_yaml_that_repeats_nothing_in_one_mapping():
    text = 'a: &a {x: 1, y: 2}\nb: &b\n  <<: *a\n  x: 3\nc: {<<: [*a, *b], y: 4}\n"1": s\n1: n\n'
    assert read_yaml(text) == {
        'a': {'x': 1, 'y': 2},
        'b': {'x': 3, 'y': 2},
        'c': {'x': 1, 'y': 4},
        '1': 's',
        1: 'n',
    }


def test_json_with_a_key_twice(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('{"a": [{"x": 1, "y": {"x": 2}}, {"x": 2}]}')
    assert read_json(path) == {'a': [{'x': 1, 'y': {'x': 2}}, {'x': 2}]}
    path.write_text('{"a": [{"x": 1, "y": 2, "x": 3}]}')
    with pytest.raises(UserError, match="not readable as JSON \\('x' twice in one object\\)"):
        read_json(path)
