"""Reports from files, and their front ends."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from madnet.cli import parse
from madnet.config_files import SHIPPED
from madnet.engine.evaluate import evaluate_folder
from madnet.errors import UserError
from madnet.evaluation.components import find_components
from madnet.evaluation.targets import Least
from madnet.records import DatasetInfo, MetricsFile, write_results
from madnet.visualization.gallery import can_draw, draw_gallery, rank_images
from madnet.visualization.grid import build_grid, grid_rows, parse_methods
from madnet.visualization.material import Material, detect, read_score_map
from madnet.visualization.report import _differences, build_report
from madnet.visualization.run_results import RunResult, load_result, load_results


@pytest.fixture(scope='module')
def report(run_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp('report')
    folders = {'images': run_folder / 'images', 'masks': run_folder / 'masks'}
    results = load_results([f'Net A={run_folder / "a"}', f'B={run_folder / "b" / "metrics.json"}'], **folders)
    page = build_report(results, out, title='A <title>', gallery=2)
    return page, page.read_text(encoding='utf-8')


def test_page_holds_all_sections(report):
    _, html = report
    sections = re.findall(r'<section id="(\w+)"', html)
    shown = ['tables', 'training', 'curves', 'strata', 'gallery', 'grid', 'surfaces']
    assert sections == ['summary', 'runs', *shown]
    for anchor in re.findall(r'href="#(\w+)"', html):
        assert anchor in sections
    assert '<title>A &lt;title&gt;</title>' in html


def test_page_needs_nothing_from_elsewhere(report):
    page, html = report
    bare = re.sub(r'data:image/webp;base64,[A-Za-z0-9+/=]+', 'DATA', html)
    assert not re.search(r'(https?:)?//|@import|<script|<link|url\(', bare)
    assert set(re.findall(r'src="([^"]+)"', bare)) == {'DATA'}
    for link in re.findall(r'href="([^#"]+)"', bare):
        assert (page.parent / link).is_file()


def test_tables_name_protocols_and_agree_with_metrics_json(report, run_folder):
    page, html = report
    results = json.loads((run_folder / 'a' / 'metrics.json').read_text())['results']
    for protocol in ('native', 'abc'):
        text = (page.parent / f'tables/made_up_test_6_images_{protocol}.csv').read_text()
        assert f'Net A,{protocol},{100 * results[protocol]["IoU"]:.2f},' in text
        assert re.search(f'id="tables-made_up_test_6_images_{protocol}">Protocol {protocol}<', html)
    assert '>All protocols in one table, not comparable with each other<' in html
    # said once, above the tables of these images
    tables = html.partition('<section id="tables">')[2].partition('</section>')[0]
    assert tables.count('made_up test, 6 images') == 1
    for ending in ('md', 'csv', 'tex'):
        assert len(list((page.parent / 'tables').glob(f'*.{ending}'))) == 3


def test_captions_and_the_page_say_how_each_was_made(run_folder, tmp_path):
    ways = {
        'a': {
            'training': {
                'seed': 3,
                'recipe': '3 epochs',
                'epoch': 'epoch 2 of 3, chosen by nothing',
                'stopped': 'at epoch 2 of 3',
            }
        },
        'b': {'detector': {'title': 'B of 2020', 'rule': 'mean+12std', 'formula': 'score > mean + 12 std'}},
    }
    for method, way in ways.items():
        record = json.loads((run_folder / method / 'metrics.json').read_text())
        record['config'] = str(SHIPPED / 'acm' / 'acm.py')
        (tmp_path / method).mkdir()
        (tmp_path / method / 'metrics.json').write_text(json.dumps(record | way))
    page = build_report(load_results([str(tmp_path / method) for method in ways]), tmp_path / 'report')
    text = (page.parent / 'tables/made_up_test_6_images_native.tex').read_text()
    assert 'Native resolution, one-to-one matching, false alarms by component identity.' in text
    assert 'Training: 3 epochs. Epoch: the last. Stopped early by a hook at epoch 2 of 3. Seed 3. ' in text
    assert 'Training-free detectors: mean+12std of each score map.' in text
    tested = page.read_text(encoding='utf-8').partition('id="runs"')[2].partition('</section>')[0]
    for said in (
        '<dd>acm</dd>',
        'score &gt; mean + 12 std (rule mean+12std)',
        'native, abc',
        "protocols' own",
    ):
        assert said in tested.replace('&#39;', "'"), said


def test_figures_lie_beside_the_page(report):
    page, _ = report
    stems = {p.stem for p in (page.parent / 'figures').glob('*.pdf')}
    assert stems == {p.stem for p in (page.parent / 'figures').glob('*.png')}
    assert {'training', 'grid_made_up_test_6_images', 'by_size_made_up_test_6_images_native'} <= stems
    assert all(p.stat().st_size > 5000 for p in (page.parent / 'figures').iterdir())


def test_gallery_of_worst_and_best(report):
    _, html = report
    assert html.count('type="checkbox"') == 8  # two of each, of two methods
    assert 'IoU 28.6 %, 1 of 2 targets, 6 false-alarm pixels' in html


def test_page_says_who_is_best_and_that_few_images_are_no_proof(report, run_folder):
    page, html = report
    a, b = (
        json.loads((run_folder / m / 'metrics.json').read_text())['results']['native']['IoU'] for m in 'ab'
    )
    text = ' '.join(re.search(r'<section id="summary">(.*?)</section>', html, re.DOTALL)[1].split())
    assert (
        f'Net A has the highest IoU of 2 methods: {100 * a:.2f} %, {100 * (a - b):.2f} points more than B'
        in text
    )
    assert 'So few images, 6, cannot tell' in text
    assert 'Compare rows of one table only' in text
    # pictures that one looks at last do not stand open
    assert html.count('<details><summary>Net A: the 2 worst and the 2 best') == 1
    assert page.stat().st_size < 3e6


def test_columns_of_tables(bare_folder, tmp_path):
    build_report([load_result(bare_folder)], tmp_path / 'out', columns=('nIoU', 'AUC'))
    head = (tmp_path / 'out/tables/made_up_test_6_images_native.csv').read_text().splitlines()[0]
    assert head == 'method,protocol,nIoU %,AUC %'


def test_other_images_under_one_name_are_not_compared(tmp_path):
    runs = [
        result(label, tmp_path, dataset={'name': 'x', 'split': 'test', 'images': 6, 'split_sha256': label})
        for label in 'AB'
    ]
    # two sets of one's own with one folder name and ids
    more = [
        result(label, tmp_path, results={'native': {'IoU': 0.5, 'targets': targets, 'pixels': 100}})
        for label, targets in (('A', 3), ('B', 4))
    ]
    for pair in (runs, more):
        html = build_report(pair, tmp_path / 'out').read_text()
        assert 'not tested on the same images' in html
        assert 'highest IoU' not in html


def test_several_sets_are_said_not_to_compare(tmp_path):
    runs = [
        result('A', tmp_path, dataset={'name': name, 'split': 'test', 'images': 6})
        for name in ('x', 'NUDT-SIRST')
    ]
    html = ' '.join(build_report(runs, tmp_path / 'out').read_text().split())
    assert 'the 2 sets of images below are not comparable with each other' in html
    assert html.count('not comparable with the tables before') == 1


def test_rank_images():
    rows = [
        {'name': n, 'IoU': i, 'targets': t, 'missed': m, 'false_pixels': 0}
        for n, i, t, m in (
            ('a', 0.5, 1, 0),
            ('b', 0, 3, 3),
            ('c', 0, 1, 1),
            ('d', 1, 0, 0),
            ('e', 0.9, 1, 0),
            ('f', 0.7, 1, 0),
        )
    ]
    worst, best = rank_images(rows, 2)
    assert [r['name'] for r in worst] == ['b', 'c']
    assert [r['name'] for r in best] == ['e', 'f']
    assert [len(part) for part in rank_images(rows[:1], 3)] == [1, 0]


@pytest.fixture
def bare_folder(run_folder, tmp_path):
    """A folder with nothing but a metrics.json of the least content."""
    report = json.loads((run_folder / 'a' / 'metrics.json').read_text())
    del report['details'], report['config'], report['checkpoint']
    (tmp_path / 'bare').mkdir()
    (tmp_path / 'bare/metrics.json').write_text(json.dumps(report))
    return tmp_path / 'bare'


def test_seeds_of_one_method_become_mean_and_deviation(bare_folder, run_folder, tmp_path):
    report = json.loads((run_folder / 'b' / 'metrics.json').read_text())
    del report['details']
    (tmp_path / 'metrics.json').write_text(json.dumps(report))
    results = load_results([f'Net={bare_folder}', f'Net={tmp_path}'])
    build_report(results, tmp_path / 'out')
    text = (tmp_path / 'out/tables/made_up_test_6_images_native.md').read_text()
    a, b = (r.metrics['native']['IoU'] for r in results)
    expected = f'{100 * (a + b) / 2:.2f} ± {100 * abs(a - b) / 2**0.5:.2f}'
    assert f'| Net (2 runs) | {expected} |' in text


def test_a_bare_metrics_json_is_enough(bare_folder, tmp_path):
    html = build_report([load_result(bare_folder)], tmp_path / 'out').read_text()
    assert re.findall(r'<section id="(\w+)"', html) == ['summary', 'runs', 'tables']
    assert 'bare: IoU ' in html


def test_curves_without_a_point_are_left_out(bare_folder, tmp_path):
    path = bare_folder / 'metrics.json'
    report = json.loads(path.read_text())
    unknown = {'threshold': [0.1, 0.5], 'recall': [None, None], 'precision': [0.0, 0.0]}
    pd_fa = {'threshold': [0.1, 0.5], 'Pd': [None, None], 'Fa': [1e-5, 0.0]}
    curves = {'roc': {'threshold': [], 'fpr': [], 'tpr': []}, 'pr': unknown, 'pd_fa': pd_fa, 'ranked': {}}
    path.write_text(json.dumps({**report, 'details': {'native': curves}}))
    html = build_report([load_result(bare_folder)], tmp_path / 'out').read_text()
    assert 'id="curves"' not in html
    assert not (tmp_path / 'out/figures').exists()


def test_pictures_are_of_the_part_that_was_scored(make_set, monkeypatch):
    """Ids may be those of other images in another part, as where each part is numbered from one."""
    root = make_set('mine', ['train/a', 'test/a', 'test/b'])
    for kind in ('images', 'masks'):
        for part in ('train', 'test'):
            (root / part).mkdir(exist_ok=True)
            (root / kind / part).rename(root / part / kind)
        (root / kind).rmdir()
    monkeypatch.setenv('MADNET_DATA_ROOT', str(root.parent))
    for split in ('train', 'test'):
        material = Material.from_dataset(DatasetInfo('mine', split, 'folder'))
        assert material.images['a'].parts[-3] == split
    for split, lists in ((None, None), ('all', 'all')):
        assert [*Material.from_dataset(DatasetInfo('mine', split, lists)).images] == ['b']


def test_overlays_drawn_before_serve_where_score_maps_lack(bare_folder, run_folder, tmp_path):
    shutil.copy(run_folder / 'a' / 'per_image.csv', bare_folder)
    (bare_folder / 'overlays').mkdir()
    cv2.imwrite(str(bare_folder / 'overlays/scene_3.png'), np.zeros((5, 5), np.uint8))
    html = build_report([load_result(bare_folder)], tmp_path / 'out').read_text()
    assert html.count('type="checkbox"') == 1


def test_results_that_are_none(run_folder, tmp_path):
    with pytest.raises(UserError, match='no such file or folder'):
        load_result(tmp_path / 'nowhere')
    with pytest.raises(UserError, match='found neither'):
        load_result(tmp_path)
    with pytest.raises(UserError, match=r'There is one in a/metrics\.json, b/metrics\.json'):
        load_result(run_folder)
    (tmp_path / 'metrics.json').write_text('{"results"')
    with pytest.raises(UserError, match='not readable as JSON'):
        load_result(tmp_path)
    (tmp_path / 'metrics.json').write_text('[]')
    with pytest.raises(UserError, match=r'found \[\], expected an object'):
        load_result(tmp_path)
    (tmp_path / 'metrics.json').write_text('{}')
    with pytest.raises(UserError, match="found no key 'results'"):
        load_result(tmp_path)
    (tmp_path / 'metrics.json').write_text('{"schema": 9, "results": {}}')
    with pytest.raises(UserError, match='schema 9'):
        load_result(tmp_path)
    with pytest.raises(UserError, match='go together'):
        load_result(run_folder / 'a', images=run_folder / 'images')
    with pytest.raises(UserError, match='nothing to report'):
        build_report([], tmp_path)


def test_resumed_training_counts_once(run_folder, tmp_path):
    (path,) = run_folder.rglob('scalars.json')
    for stamp in ('20260101_000000', '20260102_000000'):
        (tmp_path / stamp / 'vis_data').mkdir(parents=True)
        shutil.copy(path, tmp_path / stamp / 'vis_data/scalars.json')
    assert len(load_result(tmp_path).scalars) == 6


def test_a_training_that_was_not_tested_is_shown(run_folder, tmp_path):
    shutil.copytree(run_folder / 'a', tmp_path / 'trained', ignore=shutil.ignore_patterns('*.json', '*.csv'))
    (path,) = run_folder.rglob('scalars.json')
    shutil.copy(path, next(tmp_path.rglob('vis_data')))
    found = load_results([f'New={tmp_path / "trained"}'])
    html = build_report(found, tmp_path / 'out').read_text()
    assert '<dd>not tested yet</dd>' in html
    assert '<section id="training"' in html


def test_masks_that_changed_after_the_test_are_named(run_folder, tmp_path, caplog):
    root = shutil.copytree(run_folder, tmp_path / 'runs')
    folders = {'images': root / 'images', 'masks': root / 'masks'}
    load_result(root / 'a', **folders)
    assert not caplog.text
    changed, metrics = root / 'masks/scene_3.png', root / 'a/metrics.json'
    os.utime(changed, (2e9, 2e9))
    load_result(root / 'a', **folders)
    assert f'{changed}: newer than {metrics}, which does not record what was there' in caplog.text
    caplog.clear()
    maps, given = root / 'a/scores', {'image_dir': str(root / 'images')}
    evaluate_folder(str(maps), str(root / 'masks'), 'native', str(root / 'a'), **given)
    os.utime(metrics, (1e9, 1e9))
    load_result(root / 'a', **folders)
    assert not caplog.text, 'the same, only newer'
    changed.write_bytes(changed.read_bytes() + b'?')
    os.utime(changed, (1, 1))
    load_result(root / 'a', **folders)
    assert f'{root / "masks"}: other masks, by their bytes, than {metrics} was made with' in caplog.text


def test_grid_from_folders(run_folder, tmp_path):
    methods = parse_methods([f'{m.upper()}={run_folder / m / "scores"}' for m in 'ab'])
    folders = (run_folder / 'images', run_folder / 'masks')
    pdf, png = build_grid(*folders, methods, tmp_path / 'grid', ids=['scene_2', 'scene_0'])
    assert pdf.is_file()
    assert cv2.imread(str(png)).shape[1] == 2148
    with pytest.raises(UserError, match=r"'scene_22' has no image or no mask.*'scene_2'"):
        build_grid(*folders, methods, tmp_path / 'grid', ids=['scene_22'])
    with pytest.raises(UserError, match='no folder'):
        build_grid(*folders, {'A': run_folder / 'nowhere'}, tmp_path / 'grid')
    cv2.imwrite(str(tmp_path / 'frame.png'), np.zeros((4, 4), np.uint8))
    with pytest.raises(UserError, match=r"agree, but 'frame' is an image, 'scene_0' is a mask, .* map of A"):
        build_grid(tmp_path, folders[1], methods, tmp_path / 'grid')
    ones = tmp_path / 'ones'
    ones.mkdir()
    for path in folders[1].iterdir():
        cv2.imwrite(str(ones / path.name), (cv2.imread(str(path), 0) > 127).astype(np.uint8))
    with pytest.raises(UserError, match='--mask-values 0 1'):
        build_grid(folders[0], ones, methods, tmp_path / 'grid', ids=['scene_0'])
    build_grid(folders[0], ones, methods, tmp_path / 'told', ids=['scene_2', 'scene_0'], mask_values=[0, 1])
    assert (tmp_path / 'told.png').read_bytes() == png.read_bytes()
    with pytest.raises(UserError, match=r'ones: 2 files of whole numbers 0 and 1, .* --labels'):
        build_grid(*folders, {'A': ones}, tmp_path / 'unseen', ids=['scene_2', 'scene_0'])
    with pytest.raises(UserError, match="no method 'a'"):
        build_grid(*folders, {'A': ones}, tmp_path / 'unseen', labels=['a'])
    assert not list(tmp_path.glob('unseen*'))
    told = [
        build_grid(*folders, {'A': maps}, tmp_path / 'labels', ids=['scene_2'], labels=labels)[1].read_bytes()
        for maps, labels in ((ones, ['A']), (folders[1], ()))
    ]
    assert told[0] == told[1]
    with pytest.raises(UserError, match='METHOD=DIR'):
        parse_methods(['A'])
    with pytest.raises(UserError, match='twice'):
        parse_methods(['A=x', 'A=y'])


def test_score_maps_of_logits_and_of_wrong_size(tmp_path):
    np.save(tmp_path / 'a.npy', np.array([[-3.0, 0.0], [3.0, -200.0]], np.float32))
    score = read_score_map(tmp_path / 'a.npy', (2, 2))
    np.testing.assert_allclose(score, [[1 / (1 + np.exp(3)), 0.5], [1 / (1 + np.exp(-3)), 0]], rtol=1e-5)
    np.save(tmp_path / 'b.npy', np.array([[-0.02, 0.3], [1.0001, 0.9]], np.float32))
    np.testing.assert_allclose(read_score_map(tmp_path / 'b.npy', (2, 2)), [[0, 0.3], [1, 0.9]], rtol=1e-5)
    with pytest.raises(UserError, match='2x2, its image 4x3'):
        read_score_map(tmp_path / 'a.npy', (3, 4))
    # as the evaluation does
    np.save(tmp_path / 'c.npy', np.array([[0.0, np.nan]], np.float32))
    with pytest.raises(UserError, match=r'c\.npy: 1 NaN value, expected numbers'):
        read_score_map(tmp_path / 'c.npy', (1, 2))


@pytest.mark.parametrize('held', ['labels', 'from_logits'])
def test_pictures_read_predictions_as_they_were_scored(run_folder, tmp_path, held):
    store = {
        'labels': lambda found: found.astype(np.uint8),
        'from_logits': lambda found: np.where(found, 0.3, -0.1).astype(np.float32),  # might be scores
        'scores': lambda found: found.astype(np.uint8) * np.uint8(255),
    }
    folders = {'images': str(run_folder / 'images'), 'masks': str(run_folder / 'masks')}
    results = []
    for kind in (held, 'scores'):
        maps = tmp_path / kind
        maps.mkdir()
        for path in (run_folder / 'a' / 'scores').glob('*.png'):
            np.save(maps / f'{path.stem}.npy', store[kind](cv2.imread(str(path), 0) > 127))
        out = str(tmp_path / 'run' / kind)
        evaluate_folder(str(maps), folders['masks'], 'native', out, **({held: True} if kind == held else {}))
        results.append(load_result(out, **folders))
    names = [row['name'] for row in results[0].rows('native')]
    rows = grid_rows(results[0].material, dict(zip('ab', results, strict=True)), names)
    for row in rows:
        a, b = (row.methods[m] for m in 'ab')
        np.testing.assert_array_equal(a.pred.labels, b.pred.labels)
        assert len(a.pred) == 2
    if held == 'labels':
        pictures = [draw_gallery(r, 'native', 1) for r in results]
        assert pictures[0] == pictures[1] != ([], [])


@pytest.mark.parametrize(
    ('tool', 'args', 'words'),
    [
        ('report.py', ['nowhere', '--out', 'x'], 'error: nowhere: no such file or folder'),
        ('panel.py', ['none', 'none', 'A', '--out', 'x'], "error: found 'A', expected METHOD=DIR"),
    ],
)
def test_tools_tell_a_users_mistake_in_one_line(repository, monkeypatch, capsys, tool, args, words):
    monkeypatch.setattr('sys.argv', [tool, *args])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(repository / 'tools' / tool), run_name='__main__')
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(words)


def test_tool_makes_the_report(repository, bare_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['report.py', f'Net={bare_folder}', '--out', str(tmp_path / 'out')])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(repository / 'tools' / 'report.py'), run_name='__main__')
    assert stop.value.code == 0
    assert str(tmp_path / 'out' / 'index.html') in capsys.readouterr().out
    assert '| Net |' in (tmp_path / 'out/tables/made_up_test_6_images_abc.md').read_text()


def test_the_command_says_what_pictures_need(run, run_folder, tmp_path):
    metrics = json.loads((run_folder / 'a/metrics.json').read_text())
    metrics['dataset'] = {'name': str(run_folder / 'masks')}
    shutil.copytree(run_folder / 'a', tmp_path / 'a')
    (tmp_path / 'a/metrics.json').write_text(json.dumps(metrics))
    args = ('report', f'Net={tmp_path / "a"}', '--gallery', 1, '--out', tmp_path / 'out')
    assert 'no pictures of Net: give --images' in run(*args)[1]
    assert 'no pictures' not in run(*args, '--images', run_folder / 'images')[1]


@pytest.mark.parametrize(
    ('out', 'stem'), [('grid', 'grid'), ('g.png', 'g'), ('g.PDF', 'g'), ('v1.2', 'v1.2'), ('.png', '.png')]
)
def test_a_figures_own_ending_is_not_doubled(out, stem):
    assert parse('panel', ['i', 'm', 'A=a', '--out', f'to/{out}']).out == f'to/{stem}'


def test_help_imports_nothing_heavy(repository):
    code = (
        'import runpy, sys\n'
        "sys.argv = [sys.argv[1], '--help']\n"
        'try:\n'
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        'finally:\n'
        "    assert not {'torch', 'mmengine', 'matplotlib', 'cv2'} & set(sys.modules)"
    )
    for tool in ('report.py', 'panel.py'):
        subprocess.run([sys.executable, '-c', code, str(repository / 'tools' / tool)], check=True)


def result(label, folder, **content):
    dataset = {'name': 'made_up', 'split': 'test', 'images': 6}
    report = MetricsFile.from_json({'results': {'native': {'IoU': 0.5}}, 'dataset': dataset, **content})
    return RunResult(label, folder / 'metrics.json', report)


def training(**changes):
    return {
        'seed': 1,
        'recipe': 'words',
        'epoch': 'last',
        'digests': {'model': 'a', 'optim_wrapper': 'b'} | changes,
    }


@pytest.mark.parametrize(
    ('first', 'second', 'said'),
    [
        ({'config': 'x/nano.py'}, {'config': 'tiny.py'}, 'config (nano.py, tiny.py)'),
        ({'views': 1}, {'views': 8}, 'views (1, 8)'),
        ({}, {'scales': [1, 0.5], 'merge': 'max'}, 'scales (; max of 1, 0.5)'),
        ({'training': training()}, {'training': training(optim_wrapper='c')}, 'seed: optim_wrapper.'),
        ({'detector': {'method': 'tophat'}}, {'detector': {'method': 'pstnn'}}, 'detector'),
    ],
)
def test_what_differs_in_more_than_the_seed_is_not_averaged(tmp_path, first, second, said):
    runs = [result('A', tmp_path / 'one', **first), result('A', tmp_path / 'two', **second)]
    with pytest.raises(UserError, match=re.escape(said)) as e:
        build_report(runs, tmp_path / 'out')
    assert f'{tmp_path / "one"}/metrics.json and' in str(e.value)
    assert not (tmp_path / 'out').exists()


def test_scales_in_another_order_are_no_difference(tmp_path):
    said = ({'views': 1, 'scales': [1, 0.5]}, {'scales': [0.5, 1], 'merge': 'mean'})
    assert _differences(*(result('A', tmp_path, **one).report for one in said)) == []


def test_what_an_earlier_version_did_not_record_is_no_difference(tmp_path):
    before, now, other = training(), training(EMAHook='c'), training(EMAHook='d')
    reports = [result('A', tmp_path, training=one).report for one in (before, now, other)]
    assert _differences(reports[0], reports[1]) == _differences(reports[1], reports[0]) == []
    assert _differences(reports[1], reports[2]) == ['EMAHook']


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ({'checkpoint': {'path': 'best.pth', 'sha256': 'f00d' * 16}}, 'same checkpoint'),
        ({'detector': dict.fromkeys(('title', 'formula', 'rule'), 'x')}, 'same training-free detector'),
    ],
)
def test_one_checkpoint_tested_twice_is_not_averaged(tmp_path, content, said):
    def runs(*protocols):
        parts = [{**content, 'results': {protocol: {'IoU': 0.5}}} for protocol in protocols]
        return [result('A', tmp_path / str(k), **part) for k, part in enumerate(parts)]

    with pytest.raises(UserError, match=f'0/metrics.json and .*2/metrics.json are both .*{said}'):
        build_report(runs('native', 'abc', 'native'), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    assert '(2 runs)' not in build_report(runs('native', 'abc'), tmp_path / 'out').read_text()


def test_seeds_of_one_recipe_are_averaged_and_their_training_is_listed(tmp_path):
    runs = [
        result('A', tmp_path, training=training() | {'seed': seed, 'epoch': f'epoch {seed} of 9'})
        for seed in (41, 42)
    ]
    html = build_report(runs, tmp_path / 'out').read_text()
    assert 'A (2 runs)' in html
    for fact in ('<dt>seed</dt><dd>41</dd>', '<dd>epoch 42 of 9</dd>', '<dt>recipe</dt><dd>words</dd>'):
        assert fact in html


def test_another_threshold_has_a_table_of_its_own(tmp_path):
    runs = [result('A', tmp_path), result('A', tmp_path, threshold=0.25)]
    assert [r.dataset for r in runs] == ['made_up test, 6 images', 'made_up test, 6 images, threshold 0.25']
    assert '(2 runs)' not in build_report(runs, tmp_path / 'out').read_text()


def test_left_out_components_have_a_table_of_their_own_and_are_not_drawn(tmp_path, run_folder):
    least = {'min_area': 9, 'min_scr': 0.0, 'min_rank': 0.0}
    runs = [result('A', tmp_path), result('A', tmp_path, least=least)]
    assert runs[1].dataset == 'made_up test, 6 images, left out: components with area below 9'
    assert '(2 runs)' not in build_report(runs, tmp_path / 'out').read_text()
    score = np.zeros((20, 20), np.float32)
    score[2:4, 2:4] = score[10:14, 10:14] = 0.9
    none = find_components(np.zeros((20, 20), bool))
    assert [len(detect(score, none, *how)[0]) for how in ((), (0.95,), (0.5, Least(**least)))] == [2, 0, 1]
    whole = load_result(run_folder / 'a', images=run_folder / 'images', masks=run_folder / 'masks')
    some = replace(whole, report=replace(whole.report, least={**least, 'min_rank': 3.0}))
    name = whole.per_image[0]['name']
    assert (can_draw(whole, name), can_draw(some, name)) == (True, False)  # what counted is not known


def test_a_test_of_several_sets_is_a_result_for_each_and_one_over_all(tmp_path):
    part = {'results': {'native': {'IoU': 0.4}}, 'dataset': {'name': 'one', 'split': 'test', 'images': 2}}
    other = {**part, 'dataset': {'name': 'two', 'split': 'test', 'images': 4}}
    content = {'results': {'native': {'IoU': 0.3}}, 'dataset': {'name': 'one + two', 'images': 6}}
    report = MetricsFile.from_json({**content, 'sets': {'one': part, 'two': other}})
    rows = [
        {'dataset': name, 'protocol': 'native', 'name': 'x', 'IoU': iou}
        for name, iou in (('one', 0.1), ('two', 0.2))
    ]
    write_results(tmp_path / 'run', report, rows)
    for name in ('one', 'two'):
        (tmp_path / 'run/scores' / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f'run/scores/{name}/x.png'), np.zeros((8, 8), np.uint8))
    found = load_results([str(tmp_path / 'run')])
    assert [r.dataset for r in found] == ['one test, 2 images', 'two test, 4 images', 'one + two, 6 images']
    assert [[row['IoU'] for row in r.per_image] for r in found] == [[0.1], [0.2], [0.1, 0.2]]
    assert [r.scores['x'].parent.name for r in found[:2]] == ['one', 'two']
    html = build_report(found, tmp_path / 'out').read_text()
    assert 'one + two, 6 images' in html


def test_two_sets_of_one_name_are_no_two_runs(tmp_path):
    part = {'results': {'native': {'IoU': 0.4}}, 'dataset': {'name': 'own', 'split': 'test', 'images': 2}}
    content = {'results': {'native': {'IoU': 0.4}}, 'dataset': {'name': 'own #1 + own #2', 'images': 4}}
    MetricsFile.from_json({**content, 'sets': {'own #1': part, 'own #2': part}}).write(
        tmp_path / 'metrics.json'
    )
    found = load_results([str(tmp_path)])
    assert [r.dataset for r in found[:2]] == ['own #1 test, 2 images', 'own #2 test, 2 images']


def test_a_path_may_hold_the_sign_that_ends_a_label(tmp_path, bare_folder):
    odd = tmp_path / 'lr=1' / 'run'
    shutil.copytree(bare_folder, odd)
    for spec, label in ((odd, 'run'), (f'A={odd}', 'A'), (f'{odd}/metrics.json', 'run')):
        assert [r.label for r in load_results([str(spec)])] == [label]
    with pytest.raises(UserError, match=r"given twice as 'A'"):
        load_results([f'A={odd}', f'A={odd}/metrics.json'])
    with pytest.raises(UserError, match=r'^gone: no such file'):
        load_results(['A=gone'])
