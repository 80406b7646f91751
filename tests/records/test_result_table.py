"""Tables, to the letter."""

import csv

import pytest

from madnet.errors import UserError
from madnet.records import ResultTable, get_columns, latex_escape, metrics_text
from madnet.records.result_table import slug, unused

ROWS = {
    'A_1': {'IoU': 0.7612, 'Pd': 0.98, 'Fa': 1.2e-5, 'targets': 20},
    'B': {'IoU': 0.7499, 'Pd': None, 'Fa': 1.1e-5, 'targets': 20},
    'C': {'IoU': (0.74, 0.0123, 3), 'Pd': 0.9, 'Fa': 1e-6, 'targets': 20},
}
TABLE = ResultTable('NUAA-SIRST test, 86 images', 'native', ROWS, keys=('IoU', 'nIoU', 'Pd', 'Fa', 'targets'))


def test_markdown():
    assert TABLE.markdown() == (
        'NUAA-SIRST test, 86 images. Protocol: native.\n'
        '\n'
        '| method | IoU % ↑ | Pd % ↑ | Fa ×1e-6 ↓ | targets |\n'
        '| --- | ---: | ---: | ---: | ---: |\n'
        '| A_1 | **76.12** | **98.00** | 12.00 | 20 |\n'
        '| B | <u>74.99</u> | – | <u>11.00</u> | 20 |\n'
        '| C | 74.00 ± 1.23 | 90.00 | **1.00** | 20 |\n'
    )


def test_csv():
    text = TABLE.csv()
    assert text == (
        'method,protocol,IoU %,Pd %,Fa ×1e-6,targets\n'
        'A_1,native,76.12,98.00,12.00,20\n'
        'B,native,74.99,,11.00,20\n'
        'C,native,74.00 ± 1.23,90.00,1.00,20\n'
    )
    assert {len(row) for row in csv.reader(text.splitlines())} == {6}


def test_latex():
    assert TABLE.latex('tab:x') == (
        '% needs \\usepackage{booktabs}\n'
        '\\begin{table}[t]\n'
        '  \\centering\n'
        '  \\caption{NUAA-SIRST test, 86 images. Protocol: native. '
        'Bold: best of its column; underlined: second. '
        '$\\pm$: sample standard deviation over training runs.}\n'
        '  \\label{tab:x}\n'
        '  \\begin{tabular}{lrrrr}\n'
        '    \\toprule\n'
        '    method & IoU (\\%) $\\uparrow$ & $P_d$ (\\%) $\\uparrow$ & '
        '$F_a$ ($10^{-6}$) $\\downarrow$ & targets \\\\\n'
        '    \\midrule\n'
        '    A\\_1 & \\textbf{76.12} & \\textbf{98.00} & 12.00 & 20 \\\\\n'
        '    B & \\underline{74.99} & -- & \\underline{11.00} & 20 \\\\\n'
        '    C & 74.00\\,$\\pm$\\,1.23 & 90.00 & \\textbf{1.00} & 20 \\\\\n'
        '    \\bottomrule\n'
        '  \\end{tabular}\n'
        '\\end{table}\n'
    )


def ranks(*values, key='IoU', **options):
    table = ResultTable('', 'native', {str(i): {key: v} for i, v in enumerate(values)}, (key,), **options)
    return [cells[0].rank for _, cells in table.cells()]


def test_ranks():
    assert ranks(0.3, 0.5, 0.4, 0.1) == [0, 1, 2, 0]
    assert ranks(0.3, 0.5, 0.4, key='Fa') == [1, 0, 2]
    # equal as printed: nobody is best, or second
    assert ranks(0.50001, 0.5, 0.4) == [0, 0, 0]
    assert ranks(0.5, 0.4, 0.4) == [1, 0, 0]
    # the second of two is the last
    assert ranks(0.5, 0.4) == [1, 0]
    # filters and low-rank methods cannot be compared by it
    assert ranks(0.5, 0.4, 0.3, key='AUC') == [0, 0, 0]
    assert ranks(0.5) == [0]
    assert ranks(0.5, float('nan')) == [0, 0]
    assert ranks(5, 7, key='targets') == [0, 0]
    assert ranks(0.5, 0.4, ranked=False) == [0, 0]
    rows = {'A': {'IoU': 0.0, 'targets': 0, 'MACs': 1.0}, 'B': {'IoU': 0.5, 'targets': 2, 'MACs': 1.0}}
    assert [*ResultTable('', 'native', rows).cost_points('IoU')] == ['B']


def test_many_columns_take_both_columns_of_a_page():
    row = dict.fromkeys(('IoU', 'nIoU', 'F1', 'Pd', 'Fa'), 0.5)
    text = ResultTable('x', 'native', {'a': row}, notes=('Said once.',)).latex()
    assert text.startswith('% needs \\usepackage{booktabs}\n% table* spans both columns')
    assert text.count('table*}') == 2
    assert '\\caption{x. Protocol: native. Said once.}' in text


def test_a_caption_has_quotes_for_latex_and_says_nothing_twice():
    rows = {'a': {'IoU': (0.5, 0.1, 3)}}
    text = ResultTable(
        'x; mean ± standard deviation over "seeds" 1, 2', 'native', rows, notes=('', 'Once.')
    ).latex()
    assert "deviation over ``seeds'' 1, 2. Protocol: native. Once.}" in text
    assert text.count('standard deviation') == 1


def test_a_table_of_several_protocols_has_no_column_for_one():
    table = ResultTable('All protocols', '', {'a, abc': {'IoU': 0.5}}, ('IoU',))
    assert table.title == 'All protocols.'
    assert table.csv() == 'method,IoU %\n"a, abc",50.00\n'


def test_columns_by_name():
    assert get_columns('iou, nIoU,F1,IoU') == ('IoU', 'nIoU', 'F1')
    with pytest.raises(UserError, match=r"no column 'F2': .*'F1'"):
        get_columns('IoU,F2')
    with pytest.raises(UserError, match='no column in'):
        get_columns(' , ')


def test_intervals_belong_to_their_cell():
    table = ResultTable(
        '',
        'native',
        {'a': {'IoU': 0.5, 'Fa': 1e-6}},
        intervals={'a': {'IoU': [0.4, 0.61], 'Fa': [None, None]}},
    )
    ((_, cells),) = table.cells()
    assert [c.interval for c in cells] == ['40.00 – 61.00', '']


def test_terminal_table_has_units_and_every_row():
    head, row = metrics_text({'native': {'IoU': 0.5, 'Fa': 2e-6}}).splitlines()
    assert head.split() == ['protocol', 'IoU', '%', 'Fa', '×1e-6']
    assert row.split() == ['native', '50.00', '2.00']


def test_file_names_keep_letters_of_any_script_and_stay_apart():
    assert [*map(slug, ('红外 test', '弱小 test', 'A–b_C!'))] == ['红外_test', '弱小_test', 'a_b_c']
    taken = set()
    assert [unused(stem, taken) for stem in ('a', 'b', 'a', 'a')] == ['a', 'b', 'a_2', 'a_3']


def test_latex_escape():
    assert latex_escape('a_b & 5% {#} \\') == r'a\_b \& 5\% \{\#\} \textbackslash{}'
