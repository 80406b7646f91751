"""Names from outside: nothing in them reaches a terminal, a spreadsheet or a page as more than text."""

import csv
import io
import json
import os

import pytest

from madnet.errors import UserError
from madnet.files import json_text, write_whole
from madnet.records import MetricsFile, ResultTable, latex_escape, read_per_image, text_table, write_results
from madnet.text import counted, csv_text, encodable, from_cell, printable, score_text

LATIN = os.fsdecode(b'raw\xff.png')
EVIL = ['=HYPERLINK("http://x","y")', '+1+1', '-2+3', '@SUM(A1)', "'=1", "it's", '-5', '1e-3', 'plain', 'é']


def test_control_characters_and_bytes_are_shown():
    assert printable('a\x1b[31mb\x07\u202ec') == 'a\\x1b[31mb\\x07\\u202ec'
    assert printable(LATIN) == encodable(LATIN) == 'raw\\xff.png'
    assert printable('Grüße – 雪') == encodable('Grüße – 雪') == 'Grüße – 雪'
    assert str(UserError(f'{LATIN} \x1b]0;title\x07')) == 'raw\\xff.png \\x1b]0;title\\x07'
    assert '\x1b' not in text_table([['a\x1b[2J', 'b']])


def test_names_that_are_not_utf8_can_be_written(tmp_path):
    assert json.loads(json_text({LATIN: [LATIN]})) == {'raw\\xff.png': ['raw\\xff.png']}
    assert write_whole(tmp_path / 'a', f'ü{LATIN}').read_text(encoding='utf-8') == 'üraw\\xff.png'


def test_no_cell_is_a_formula_and_each_comes_back():
    rows = list(csv.reader(io.StringIO(csv_text([[name, -1.5, '-2.5'] for name in EVIL]))))
    assert [from_cell(name) for name, *_ in rows] == EVIL
    for name, number, text in rows:
        assert (number, text) == ('-1.5', '-2.5')
        assert name[0] not in '=+@'
        assert name[0] != '-' or name == '-5'


def test_names_of_images_come_back_from_their_table(tmp_path):
    rows = [{'protocol': 'native', 'name': name, 'IoU': -0.25} for name in EVIL]
    write_results(tmp_path, MetricsFile(results={}), rows)
    assert read_per_image(tmp_path / 'per_image.csv') == rows


@pytest.mark.parametrize('label', ['<img src=x onerror=alert(1)>', 'a|b', '=1+1\x1b[31m'])
def test_labels_are_only_text_in_every_form(label):
    table = ResultTable('c <b>', 'native', {label: {'IoU': 0.5}})
    assert '<img' not in table.markdown()
    assert '<b>' not in table.markdown()
    assert all('\x1b' not in text for text in (table.markdown(), table.csv(), table.latex()))
    assert not any(line.startswith('=') for line in table.csv().splitlines())
    assert len(table.markdown().splitlines()) == 5


def test_marks_of_markdown_and_latex_are_only_text():
    label = r'*a* $b$ `c` [d](e) _f_ g_h \| <i>'
    table = ResultTable('c', 'native', {label: {'IoU': 0.5}})
    shown = r'| \*a\* \$b\$ \`c\` \[d\](e) \_f\_ g_h \\\| &lt;i&gt; |'
    assert table.markdown().splitlines()[-1].startswith(shown)
    assert latex_escape('$a$ <b> | ~') == (r'\$a\$ \textless{}b\textgreater{} \textbar{} \textasciitilde{}')


def test_numbers_and_their_nouns():
    assert [counted(n, 'image') for n in (0, 1, 2)] == ['0 images', '1 image', '2 images']
    assert counted(2, 'kind of error', 'kinds of error') == '2 kinds of error'


@pytest.mark.parametrize(
    ('score', 'said'),
    [(0.5, '0.5'), (1.0, '1'), (0.9999, '0.9999'), (1 - 3e-8, '1 − 3e-08')],
)
def test_a_score_is_called_1_only_where_it_is(score, said):
    assert score_text(score) == said
