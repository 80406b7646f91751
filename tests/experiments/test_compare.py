"""Comparisons from end to end: in one process, with crashes, stops and shares."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from mmseg.registry import DATASETS

from madnet.datasets import SIRSTDataset
from madnet.datasets.image_pipeline import channels_of
from madnet.datasets.splits import ids_sha256
from madnet.engine.folder_lock import own_folder
from madnet.engine.hooks import SafeCheckpointHook
from madnet.engine.test import run_test
from madnet.engine.train import train
from madnet.engine.training_stopped import TrainingStopped
from madnet.errors import UserError
from madnet.experiments import background, compare, cost, process, running
from madnet.experiments.plan import read_plan
from madnet.experiments.process import _environment, is_free
from madnet.experiments.running import _headline, run_all
from madnet.experiments.shard import Shard
from madnet.experiments.state import _ids_of, _is_set, model_sha256, read_cost, state_of, weights_of
from madnet.experiments.summary import summarise, tables_of
from madnet.records import (
    Comparison,
    ComparisonPlan,
    ComparisonRow,
    Cost,
    DatasetInfo,
    MetricsFile,
    RunFile,
    Spread,
)
from madnet.records.metrics_file import SetResults, TrainingInfo
from madnet.visualization.run_results import load_results


def states(plan):
    return [state_of(run) for run in plan.runs()]


def test_how_the_epoch_was_chosen_is_what_the_tests_recorded(monkeypatch, tmp_path):
    (tmp_path / 'weights.pth').touch()
    given = {'name': 'given', 'config': 'acm', 'checkpoint': str(tmp_path / 'weights.pth')}
    plan = read_plan(networks=['acm', given, 'tophat'], seeds=[1, 2])
    runs = plan.runs()
    best = 'best epoch on validation images'
    for said, chosen in (
        (("epoch 7 of 60, the best nIoU on 'val'",) * 2, best),
        (("epoch 7, the best basicirstd/IoU on 'validation'", None), best),
        (("epoch 7 of 60, the best nIoU on 'test'",) * 2, 'best epoch on the TEST images, as published'),
        (("epoch 7 of 60, the best nIoU on 'mine'",) * 2, "best epoch on 'mine' images"),
        # whose best.pth is gone
        (('epoch 60 of 60, chosen by nothing',) * 2, 'last epoch'),
        (
            ("epoch 7 of 60, the best nIoU on 'val'", 'epoch 60 of 60, chosen by nothing'),
            f'{best} or last epoch',
        ),
        ((None, None), None),
    ):
        words = dict(zip((1, 2), said, strict=True))

        def read(run, words=words):
            scored = {'results': {'native': {'IoU': 0.5}}, 'dataset': DatasetInfo('x', 'test', images=3)}
            training = TrainingInfo(epoch=words.get(run.seed))
            return {None: MetricsFile(**scored, training=training)}

        monkeypatch.setattr('madnet.experiments.summary.read_metrics', read)
        found = summarise(plan, runs)
        assert [row.chosen for row in found.rows] == [chosen, 'given weights', None]
        [(table, _)] = tables_of(found)
        assert f'common recipe, 60 epochs; {chosen}; mean' in table.caption or not chosen
        assert '; ;' not in table.caption
    assert found.rows[2].rule == 'mean+12std'


def test_a_caption_says_the_recipes_and_lengths_that_its_rows_had(repository, monkeypatch):
    monkeypatch.chdir(repository)
    scored = {'results': {'native': {'IoU': 0.5}}, 'dataset': DatasetInfo('x', 'test', images=3)}
    training = TrainingInfo(stopped='at epoch 3 of 60')
    report = SimpleNamespace(**scored, training=training, views=None, scales=None, sets=None, versions={})
    monkeypatch.setattr('madnet.experiments.summary.read_metrics', lambda run: {None: report})
    size = 'train_dataloader.batch_size'
    own = {'name': 'five', 'config': 'madnet_tiny', 'options': {'train_cfg.minutes': 5, size: 2}}
    plan = read_plan(networks=['acm', 'acm_toolbox', own, 'tophat'], options={size: 4})
    found = summarise(plan, plan.runs())
    had = [(row.network, row.recipe, row.epochs, row.budget) for row in found.rows]
    assert had == [
        ('acm', 'common', 60, None),
        ('acm_toolbox', 'toolbox', 400, None),
        ('five', None, None, 5),
        ('tophat', None, None, None),
    ]
    [(table, _)] = tables_of(found)
    how = 'common and toolbox recipes and configs that the plan names, 60 to 400 epochs or 5 minutes each'
    how += ' (stopped early by a hook at epoch 3 of 60);'
    assert how in table.caption
    assert 'batch size' not in table.caption, 'which one network has otherwise'
    assert found.plan.options == {size: 4}


def test_two_networks_by_two_seeds(plan_file, tmp_path, capsys):
    folder = tmp_path / 'comparison'
    compare(str(plan_file), shard='1/2', in_process=True)
    plan = read_plan(plan_file)
    assert states(plan) == ['done', 'new', 'done', 'new']
    assert not (folder / 'comparison.json').exists()
    assert '2 of 4 runs are left' in capsys.readouterr().out

    summary = compare(str(plan_file), in_process=True)
    out = capsys.readouterr().out
    assert out.count('done before') == 2
    narrow, wide = summary.rows
    assert (narrow.label, narrow.seeds, narrow.epochs) == ('narrow', [1, 2], 1)
    assert narrow.chosen == 'best epoch on validation images'
    assert wide.cost.parameters > narrow.cost.parameters > 0
    assert wide.cost.MACs > narrow.cost.MACs > 0
    assert 0 < wide.cost.latency < 10

    # the mean and the deviation are those of the runs' own files
    ious = [
        json.loads((folder / 'wide' / 'own' / f'seed{k}' / 'metrics.json').read_text())['results']['native'][
            'IoU'
        ]
        for k in (1, 2)
    ]
    mean, std, n = wide.results['native']['IoU']
    assert n == 2
    assert mean == pytest.approx(sum(ious) / 2)
    assert std == pytest.approx(abs(ious[0] - ious[1]) / 2**0.5)

    [table] = (folder / 'tables').glob('*.csv')
    lines = list(csv.reader(table.read_text().splitlines()))
    assert lines[0] == [
        'network', 'protocol', 'IoU %', 'nIoU %', 'F1 %', 'Pd %', 'Fa ×1e-6', 'parameters M', 'MACs G',
        'latency ms',
    ]  # fmt: skip
    assert lines[2][0] == 'wide'
    assert lines[2][2] == f'{100 * mean:.2f} ± {100 * std:.2f}'
    assert lines[2][7] == f'{wide.cost.parameters / 1e6:.3f}'
    assert '\\pm' in table.with_suffix('.tex').read_text()
    assert table.with_suffix('.md').read_text() in (folder / 'comparison.md').read_text()
    assert 'Protocol: native. Native resolution, one-to-one' in table.with_suffix('.tex').read_text()
    assert 'configs that the plan names, 1 epoch;' in (folder / 'comparison.md').read_text()
    assert len(list((folder / 'figures').glob('cost_*.png'))) == 1

    # madnet report takes the folder for its runs
    results = load_results([str(folder)])
    assert [r.label for r in results] == ['narrow', 'narrow', 'wide', 'wide']
    assert results[-1].cost == wide.cost
    assert results[-1].metrics['native']['IoU'] == ious[1]


def test_what_does_not_finish(plan_file, tmp_path, capsys):
    """A run that fails, and goes on once its cause is mended; one that is tested again, not trained again."""
    plan = read_plan(plan_file, seeds=[1])
    config = tmp_path / 'narrow.py'
    good = config.read_text()
    config.write_text(good + "load_from = 'gone.pth'\n")
    with pytest.raises(SystemExit):
        compare(str(plan_file), seeds=[1], in_process=True, cost=False)
    printed = capsys.readouterr()
    assert 'gone.pth' in printed.err
    assert '* failed: narrow own seed 1' in printed.out
    assert states(plan) == ['failed', 'done']
    assert json.loads((tmp_path / 'comparison' / 'comparison.json').read_text())['failed']
    # nothing is lost by it, so the mended config may have the folder
    config.write_text(good)
    run_all(plan.runs()[:1], Shard(), in_process=True)
    assert states(plan) == ['done', 'done']

    # another protocol: the trained network is tested again, not trained again
    trained = tmp_path / 'comparison' / 'wide' / 'own' / 'seed1' / 'last.pth'
    before = trained.stat().st_mtime_ns
    again = read_plan(plan_file, seeds=[1], protocols=['native', 'acm'])
    assert states(again)[1] == 'trained'
    run_all(again.runs()[1:], Shard(), in_process=True)
    assert states(again)[1] == 'done'
    assert trained.stat().st_mtime_ns == before

    # half a metrics.json is none
    metrics = tmp_path / 'comparison' / 'wide' / 'own' / 'seed1' / 'metrics.json'
    metrics.write_text(metrics.read_text()[:100])
    assert states(plan)[1] == 'trained'


def test_another_run_is_refused_by_what_differs(plan_file, tmp_path):
    compare(str(plan_file), seeds=[1], in_process=True, cost=False)
    for changed, words in (
        ({'options': ['train_cfg.max_epochs=7']}, 'train_cfg.max_epochs: 1 → 7.'),
        ({'options': ['replace_steps.RandomTargetCrop.size=32']}, 'RandomTargetCrop.size: 128 → 32.'),
        ({'amp': 'bf16'}, 'amp: None → bf16.'),
    ):
        with pytest.raises(UserError, match='what differs') as caught:
            compare(str(plan_file), seeds=[1], in_process=True, **changed)
        told = str(caught.value)
        assert words in told
        assert told.count('→') == 2  # one in the explanation, one for the one key
    # a change of the config file, too
    config = tmp_path / 'narrow.py'
    config.write_text(config.read_text().replace('base_channels=1', 'base_channels=3'))
    with pytest.raises(UserError, match=r'model\.backbone\.base_channels: 1 → 3\.'):
        compare(str(plan_file), seeds=[1], in_process=True)


def test_the_cost_of_another_network_is_not_shown(plan_file, tmp_path):
    """A network that is changed, as may be where nothing is lost, does not keep the cost that it had."""
    config = tmp_path / 'narrow.py'
    good = config.read_text()
    config.write_text(good + "load_from = 'gone.pth'\n")
    args = {'networks': [{'name': 'narrow', 'config': str(config)}], 'in_process': True}
    with pytest.raises(SystemExit):
        compare(str(plan_file), **args)
    kept = tmp_path / 'comparison/narrow/own/cost.json'
    before = json.loads(kept.read_text())['parameters']
    config.write_text(good.replace('base_channels=1', 'base_channels=2'))
    [row] = compare(str(plan_file), cost=False, **args).rows
    assert row.cost == Cost()
    [row] = compare(str(plan_file), **args).rows
    assert row.cost.parameters > before
    changed = kept.stat().st_mtime_ns
    compare(str(plan_file), **args)
    assert kept.stat().st_mtime_ns == changed


def test_the_cost_is_of_the_channels_that_the_loader_makes(plan_file):
    run = read_plan(plan_file, seeds=[1]).runs()[0]
    loaders = [[{'type': 'LoadSIRSTImage', 'channels': channels}] for channels in (1, 3)]
    settings = [{**run.settings, 'test_dataloader': {'dataset': {'pipeline': each}}} for each in loaders]
    one, three = (replace(run, settings=each) for each in settings)
    assert model_sha256(one) == model_sha256(three)
    Cost(channels=1, MACs=5, model_sha256=model_sha256(one)).write(Path(one.folder).parent / Cost.FILE)
    assert read_cost(one).MACs == 5
    assert read_cost(three) == Cost()


def test_tables_are_written_though_the_numbers_elsewhere_are_not(plan_file, tmp_path, monkeypatch):
    monkeypatch.setattr('madnet.experiments.expect_writable', Mock())  # the disk is full later
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'file/a\.json: cannot be written'):
        compare(str(plan_file), table=True, cost=False, json=str(tmp_path / 'file' / 'a.json'))
    assert (tmp_path / 'comparison' / 'comparison.md').exists()


def test_each_seeds_own_weights_make_no_other_network(plan_file):
    start = {'type': 'Pretrained', 'checkpoint': '{seed}.pth'}
    options = {f'model.backbone.init_cfg.{k}': v for k, v in start.items()}
    a, b = read_plan(plan_file, options=options).runs()[:2]
    assert a.settings['model'] != b.settings['model']
    assert model_sha256(a) == model_sha256(b)


def test_score_maps_are_kept(plan_file, tmp_path):
    plan = plan_file.read_text().replace('wide', 'narrow', 0)
    plan_file.write_text(plan)
    compare(str(plan_file), seeds=[1], in_process=True, cost=False)
    folder = tmp_path / 'comparison/narrow/own/seed1'
    trained = (folder / 'last.pth').stat().st_mtime_ns
    numbers = json.loads((folder / 'metrics.json').read_text())['results']
    assert not (folder / 'scores').exists()
    # asked for later, they are made without another training
    keeping = read_plan(plan_file, seeds=[1], save_scores=True, views=[1, 2])
    assert states(keeping) == ['trained', 'trained']
    run_all(keeping.runs()[:1], Shard(), in_process=True)
    assert states(keeping) == ['done', 'trained']
    assert (folder / 'last.pth').stat().st_mtime_ns == trained
    assert json.loads((folder / 'metrics.json').read_text())['results'] == numbers
    for maps in (folder / 'scores', folder / 'views2' / 'scores'):
        assert len(list(maps.iterdir())) == 3  # one for each test scene
    # maps are of the test whose numbers lie beside them: another one without them takes them away
    run_test(str(tmp_path / 'narrow.py'), str(weights_of(keeping.runs()[0])), out=str(folder))
    assert not (folder / 'scores').exists()
    assert states(keeping)[0] == 'trained'


def test_several_views(plan_file, tmp_path, capsys):
    """Each number of views is a line of its own, and asking for one more trains nothing again."""
    one = compare(str(plan_file), seeds=[1], in_process=True)
    trained = (tmp_path / 'comparison/wide/own/seed1/last.pth').stat().st_mtime_ns
    plan = read_plan(plan_file, seeds=[1], views=[1, 4])
    assert states(plan) == ['trained', 'trained']
    assert len(compare(str(plan_file), seeds=[1], views=[1, 4], table=True, cost=False).rows) == 2
    both = compare(str(plan_file), seeds=[1], views=[1, 4], in_process=True)
    assert states(plan) == ['done', 'done']
    assert (tmp_path / 'comparison/wide/own/seed1/last.pth').stat().st_mtime_ns == trained

    assert [row.label for row in both.rows] == ['narrow', 'narrow, 4 views', 'wide', 'wide, 4 views']
    assert [row.views for row in both.rows] == [1, 4, 1, 4]
    assert [row.results for row in both.rows[::2]] == [row.results for row in one.rows]
    wide, four = both.rows[2:]
    assert four.cost.MACs == 4 * wide.cost.MACs
    assert four.cost.latency is None
    report = json.loads((tmp_path / 'comparison/wide/own/seed1/views4/metrics.json').read_text())
    assert report['views'] == 4
    assert four.results['native']['IoU'][0] == report['results']['native']['IoU']
    assert '| wide, 4 views |' in capsys.readouterr().out
    shown = load_results([str(tmp_path / 'comparison')])
    assert [(r.label, r.report.views) for r in shown[2:]] == [('wide', 1), ('wide, 4 views', 4)]
    assert [r.cost for r in shown] == [row.cost for row in both.rows]


def test_numbers_of_other_weights_do_not_count(plan_file, tmp_path):
    """Someone looks in with madnet test while a run trains, or trains it anew."""
    compare(str(plan_file), seeds=[1], in_process=True, cost=False)
    plan = read_plan(plan_file, seeds=[1])
    folder = tmp_path / 'comparison/narrow/own/seed1'
    record = json.loads((folder / 'run.json').read_text())
    (folder / 'run.json').write_text(json.dumps({**record, 'trained': False, 'state': 'running'}))
    assert states(plan) == ['begun', 'done']
    (folder / 'run.json').write_text(json.dumps(record))
    assert states(plan) == ['done', 'done']
    best = folder / 'best.pth'
    best.write_bytes(best.read_bytes() + b' ')
    assert states(plan) == ['trained', 'done']
    # who deletes the weights to save space keeps the numbers
    for path in folder.glob('*.pth'):
        path.unlink()
    assert states(plan) == ['done', 'done']
    train(str(tmp_path / 'narrow.py'), str(folder), seed=7, options={'train_cfg.max_epochs': 1})
    assert states(plan) == ['new', 'done']
    compare(str(plan_file), seeds=[1], in_process=True, cost=False)
    assert MetricsFile.read(folder / MetricsFile.FILE).training.seed == 1
    # without a record nothing tells how they were trained
    (folder / 'run.json').unlink()
    assert states(plan) == ['new', 'done']
    [row] = compare(str(plan_file), seeds=[1], table=True, cost=False).rows
    assert row.network == 'wide'


def test_numbers_of_a_detector_without_a_record_do_not_count(make_set, tmp_path):
    make_set('a', ['i', 'j'], lists={'test.txt': ['i', 'j']})
    plan = read_plan(networks=['tophat'], datasets=[f'{tmp_path}/a'], work_dir=str(tmp_path / 'c'))
    [run] = plan.runs()
    folder = Path(run.folder)
    run_test(run.config, None, out=run.folder, options={**run.options, 'model.rule': 'mean+3std'})
    by_hand = (folder / 'metrics.json').read_text()
    assert states(plan) == ['new']
    run_all([run], Shard(), in_process=True)
    assert states(plan) == ['done']
    [kept] = folder.glob('before_*')
    assert (kept / 'metrics.json').read_text() == by_hand
    assert MetricsFile.read(folder / 'metrics.json').detector['rule'] == 'mean+12std'


@pytest.mark.parametrize('crashed', [False, True])
def test_a_run_goes_on_with_its_own_weights_alone(plan_file, monkeypatch, crashed):
    """However early its first attempt has ended, even before it could write its record."""
    resumed = []

    def stopped(*args, resume, **kwargs):
        resumed.append(resume)
        raise KeyboardInterrupt

    monkeypatch.setattr('madnet.engine.train.train', stopped)
    run = read_plan(plan_file, seeds=[1]).runs()[0]
    folder, others = Path(run.folder), {'last.pth', 'best.pth', 'metrics.json', 'views8'}
    for name in others:
        (folder / name).mkdir(parents=True)
    if crashed:
        process._say_crashed(run, -signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            running.do_run(run)
    [kept] = folder.glob('before_*')
    assert {path.name for path in kept.iterdir()} == others
    (folder / 'last.pth').touch()
    with pytest.raises(KeyboardInterrupt):
        running.do_run(run)
    assert resumed == [False, False, True]


def test_a_training_waits_for_the_one_whose_weights_it_begins_from(plan_file, tmp_path, monkeypatch):
    monkeypatch.setenv('RUNS', f'{tmp_path}/comparison')
    plan = plan_file.read_text().replace('wide.py"}', 'wide.py", options: {load_from: "X"}}')
    plan_file.write_text(plan.replace('X', '$RUNS/narrow/{dataset}/seed{seed}/last.pth'))
    narrow = tmp_path / 'narrow.py'
    good = narrow.read_text()
    narrow.write_text(
        good.replace('base_channels=1', 'base_channels=2').replace('max_epochs=1', 'max_epochs=2')
    )
    compare(str(plan_file), seeds=[1], shard='1/2', in_process=True, cost=False)
    record_file = tmp_path / 'comparison/narrow/own/seed1/run.json'
    record = json.loads(record_file.read_text())
    record_file.write_text(json.dumps({**record, 'trained': False, 'state': 'failed'}))
    runs = read_plan(plan_file, seeds=[1]).runs()
    run_all(runs[1:], Shard(), in_process=True)
    assert state_of(runs[1]) == 'failed'
    assert (
        'has not ended (failed)'
        in json.loads((tmp_path / 'comparison/wide/own/seed1/run.json').read_text())['error']
    )
    record_file.write_text(json.dumps(record))
    run_all(runs[1:], Shard(), in_process=True)
    assert state_of(runs[1]) == 'done'


def test_however_the_folder_is_written_in_which_a_run_begins(plan_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'link').symlink_to('comparison')
    plan = plan_file.read_text().replace('wide.py"}', 'wide.py", options: {load_from: "X"}}')
    for place in ('comparison', 'link', f'{tmp_path}/a/../link'):
        plan_file.write_text(plan.replace('X', f'{place}/narrow/{{dataset}}/seed{{seed}}/last.pth'))
        first, second = read_plan(plan_file, seeds=[1]).runs()
        assert process._first_ready([second], {first: None}) is None
        assert process._first_ready([second], {}) == second


def test_a_signal_after_the_last_batch_keeps_the_next_run_from_beginning(plan_file, monkeypatch):
    save = SafeCheckpointHook.after_train

    def save_and_ask(hook, runner):
        save(hook, runner)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(SafeCheckpointHook, 'after_train', save_and_ask)
    with pytest.raises(TrainingStopped, match=r'SIGTERM: the training has ended; .*last\.pth'):
        compare(str(plan_file), seeds=[1], in_process=True, cost=False)
    assert states(read_plan(plan_file, seeds=[1])) == ['begun', 'new']
    monkeypatch.undo()
    compare(str(plan_file), seeds=[1], in_process=True, cost=False)
    assert states(read_plan(plan_file, seeds=[1])) == ['done', 'done']


def test_a_process_of_its_own_that_is_stopped_and_goes_on(plan_file, tmp_path, repository):
    """SIGTERM to the comparison saves the training; the same command goes on where it stood."""
    config = tmp_path / 'wide.py'
    config.write_text(config.read_text().replace('max_epochs=1', 'max_epochs=40'))
    work = tmp_path / 'comparison' / 'wide' / 'own' / 'seed5'
    command = [sys.executable, str(repository / 'tools' / 'compare.py'), str(plan_file)]
    command += ['--seeds', '5', '--shard', '2/2', '--no-cost']
    process = subprocess.Popen(command, cwd=repository, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not (work / 'last.pth').exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert 'goes on' in err
    record = json.loads((work / 'run.json').read_text())
    assert (record['state'], record['trained']) == ('stopped', False)

    plan = read_plan(plan_file, seeds=[5])
    assert states(plan) == ['new', 'begun']
    import torch

    epoch = torch.load(work / 'last.pth', weights_only=True)['meta']['epoch']
    assert 0 < epoch < 40
    run_all(plan.runs()[1:], Shard(), in_process=True)
    assert states(plan) == ['new', 'done']
    assert torch.load(work / 'last.pth', weights_only=True)['meta']['epoch'] == 40


@pytest.mark.parametrize('how', ['in process', 'in processes', 'begun in the same moment'])
def test_a_run_that_another_command_does_is_left_alone(plan_file, tmp_path, monkeypatch, capfd, how):
    folder = tmp_path / 'comparison/wide/own/seed1'
    folder.mkdir(parents=True)
    (folder / 'run.json').write_text('{"state": "running", "wanted": {}}')
    (folder / 'console.log').write_text('epoch 1\n')
    if how == 'begun in the same moment':
        monkeypatch.setattr(running, 'is_free', lambda run: True)
    networks = [{'name': 'wide', 'config': f'{tmp_path}/wide.py'}]
    with ThreadPoolExecutor() as pool, own_folder(folder):  # which another thread is refused, too
        pool.submit(
            compare, str(plan_file), networks=networks, seeds=[1], in_process=how == 'in process'
        ).result()
    out, err = capfd.readouterr()
    assert f'left to another command: {folder}: is in use by process' in err
    assert '1 of 1 runs are left to others' in out
    assert 'failed' not in out + err
    assert json.loads((folder / 'run.json').read_text())['state'] == 'running'
    if how != 'begun in the same moment':
        assert (folder / 'console.log').read_text() == 'epoch 1\n'


def test_a_run_keeps_its_folder_while_it_is_tested(plan_file, monkeypatch):
    run = read_plan(plan_file, networks=['tophat']).runs()[0]
    free = []
    with ThreadPoolExecutor() as pool:
        monkeypatch.setattr(running, '_test', lambda run: free.append(pool.submit(is_free, run).result()))
        running.do_run(run)
    assert free == [False]
    assert is_free(run)


def test_a_run_stays_one_process_on_its_gpu(monkeypatch):
    for name, value in {'RANK': '3', 'WORLD_SIZE': '4', 'MASTER_PORT': '1', 'SLURM_PROCID': '3'}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,5')
    environment = _environment(Shard(3, 4, local_rank=3, source='torchrun'))
    assert environment['CUDA_VISIBLE_DEVICES'] == '5'
    assert not {'RANK', 'WORLD_SIZE', 'MASTER_PORT', 'SLURM_PROCID'} & set(environment)
    assert environment['PATH'] == os.environ['PATH']


def test_two_at_a_time(plan_file, tmp_path, capfd):
    """Both of a pair run before either has ended; who begins from another's weights waits for them."""
    plan = plan_file.read_text().replace('wide.py"}', 'wide.py", options: {load_from: "X"}}')
    plan_file.write_text(plan.replace('X', f'{tmp_path}/comparison/narrow/own/seed1/last.pth'))
    for name in ('narrow', 'wide'):
        config = tmp_path / f'{name}.py'
        config.write_text(config.read_text().replace('base_channels=2', 'base_channels=1'))
    compare(str(plan_file), seeds=[1], jobs=2, cost=False)
    assert states(read_plan(plan_file, seeds=[1])) == ['done', 'done']
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith('[')]
    assert [line.split(': ')[0].split()[1] for line in lines] == ['narrow', 'narrow', 'wide', 'wide']

    compare(str(plan_file), seeds=[2, 3], networks=[{'name': 'narrow', 'config': f'{tmp_path}/narrow.py'}],
            jobs=2, cost=False)  # fmt: skip
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith('[')]
    assert [line.endswith('begins …') for line in lines] == [True, True, False, False]
    with pytest.raises(UserError, match='--jobs'):
        compare(str(plan_file), jobs=2, in_process=True)


@pytest.mark.slow  # at this priority it takes as long as others leave it no time
@pytest.mark.skipif(not hasattr(os, 'SCHED_IDLE'), reason='needs the schedulers of Linux')
def test_in_the_background(plan_file, tmp_path, repository):
    """The command returns, its runs go on at the lowest priority; a second is refused; a stop is kept."""
    config = tmp_path / 'narrow.py'
    config.write_text(config.read_text().replace('max_epochs=1', 'max_epochs=400'))
    command = [sys.executable, str(repository / 'tools' / 'compare.py'), str(plan_file), '--seeds', '5']
    command += ['--networks', 'narrow', '--no-cost', '--background', '--configs', str(tmp_path / 'configs')]
    (tmp_path / 'configs' / 'narrow').mkdir(parents=True)
    config.rename(tmp_path / 'configs' / 'narrow' / 'narrow.py')
    started = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)
    assert started.returncode == 0, started.stderr
    number = int(started.stdout.split('process ')[1].split()[0])
    folder = tmp_path / 'comparison'
    try:
        deadline = time.monotonic() + 1200
        while not (folder / 'narrow' / 'own' / 'seed5' / 'last.pth').exists():
            assert time.monotonic() < deadline, (folder / 'background.log').read_text()
            time.sleep(0.2)
        assert os.getsid(number) == number
        workers = [int(p) for p in children_of(number)]
        for process in (number, *workers):
            assert os.sched_getscheduler(process) == os.SCHED_IDLE
            assert os.getpriority(os.PRIO_PROCESS, process) == 19
            group = Path(f'/proc/{process}/autogroup')
            assert not group.exists() or group.read_text().split()[-1] == '19'
        assert len(workers) == 1
        again = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)
        assert again.returncode == 2
        assert f'process {number} on' in again.stderr
    finally:
        os.kill(number, signal.SIGTERM)
    while 'goes on' not in (folder / 'background.log').read_text():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    record = json.loads((folder / 'narrow' / 'own' / 'seed5' / 'run.json').read_text())
    assert (record['state'], record['trained']) == ('stopped', False)


@pytest.mark.parametrize('word', ['--background', '--backgr'])
def test_what_runs_in_the_background_does_not_start_itself_again(word, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(sys, 'argv', ['compare', 'plan.yaml', word, '--jobs', '2'])
    monkeypatch.setattr(subprocess, 'Popen', lambda command, **_: started.append(command) or Mock(pid=1))
    background.start(tmp_path)
    assert started[0][-4:] == ['compare', 'plan.yaml', '--jobs', '2']


def children_of(process):
    return Path(f'/proc/{process}/task/{process}/children').read_text().split()


def test_left_out_sets_are_rows_of_their_own(repository, make_set, tmp_path):
    """Trained on b, tested on a and the additional c; another additional set costs a test, no training."""
    ids = [f'i{n}' for n in range(8)]
    for name in 'abcd':
        make_set(name, ids, lists={'train.txt': ids[:6], 'test.txt': ids[6:]})
    path = tmp_path / 'plan.yaml'
    path.write_text(
        'networks:\n'
        f'  - {{name: nano, config: "{repository}/configs/madnet/madnet_nano.py", train_on: others}}\n'
        f'datasets: ["{tmp_path}/a", "{tmp_path}/b"]\n'
        f'also_test_on: ["{tmp_path}/c"]\n'
        f'work_dir: {tmp_path}/comparison\n'
        'options: {selection: last, model.backbone.base_channels: 1, train_cfg.max_epochs: 1,\n'
        '  train_dataloader.num_workers: 0, train_dataloader.persistent_workers: false,\n'
        '  train_dataloader.batch_size: 3, test_dataloader.num_workers: 0,\n'
        '  replace_steps.RandomTargetCrop.size: 32}\n'
    )
    compare(str(path), in_process=True, cost=False)
    plan = read_plan(path)
    assert states(plan) == ['done', 'done']
    summary = json.loads((tmp_path / 'comparison' / 'comparison.json').read_text())
    assert [row['dataset']['name'] for row in summary['rows']] == ['a', 'c', 'b', 'c']
    metrics = json.loads((tmp_path / 'comparison/nano/a/seed42/metrics.json').read_text())
    assert list(metrics['sets']) == ['a', 'c']
    metrics['sets']['a']['results']['native']['IoU'] = 0.125
    written = tmp_path / 'comparison/nano/a/seed42/metrics.json'
    kept = written.read_text()
    written.write_text(json.dumps(metrics))
    assert 'IoU 12.50' in _headline(plan.runs()[0]), 'of the set in its name, not of all'
    written.write_text(kept)
    metrics = json.loads(kept)
    for row, name in zip(summary['rows'][:2], 'ac', strict=True):
        own = metrics['sets'][name]['results']['native']
        assert row['results']['native']['Fa'][0] == own['Fa']
        assert row['results']['native']['false_per_image'][0] == own['false_per_image']
    more = read_plan(path, also_test_on=[f'{tmp_path}/c', f'{tmp_path}/d'])
    assert states(more) == ['trained', 'trained']
    gone = read_plan(path, seeds=[1], also_test_on=['gone'])
    run_all(gone.runs()[:1], Shard(), in_process=True)  # fails before the training
    folder = tmp_path / 'comparison' / 'nano' / 'a' / 'seed1'
    assert "found 'gone'" in json.loads((folder / 'run.json').read_text())['error']
    assert not (folder / 'last.pth').exists()


def test_a_test_that_was_made_otherwise_than_planned_does_not_count(make_set, tmp_path, repository):
    ids = [f'i{n}' for n in range(4)]
    make_set('a', ids, lists={'train.txt': ids[:2], 'test.txt': ids[2:]})
    plan = read_plan(networks=['tophat'], datasets=[f'{tmp_path}/a'], work_dir=str(tmp_path / 'c'))
    run_all(plan.runs(), Shard(), in_process=True)
    assert states(plan) == ['done']
    written = tmp_path / 'c/tophat/a/test/metrics.json'
    kept = json.loads(written.read_text())
    for changed in (
        {'threshold': 0.3},
        {'least': {'min_area': 3}},
        {'fa_budget': {'budget': 1e-5}},
        {'scales': [1, 0.5], 'merge': 'mean'},
        {'views': 8},
        {'dataset': kept['dataset'] | {'name': 'b'}},
        {'dataset': kept['dataset'] | {'split': 'train'}},
        {'sets': {n: {'results': {}, 'dataset': kept['dataset']} for n in 'ab'}},
    ):
        written.write_text(json.dumps(kept | changed))
        assert states(plan) != ['done'], changed
    wanted = {'type': 'SIRSTDataset', 'name': 'NUAA-SIRST', 'split': 'test'}
    for lists, fits in ((None, True), ('idx_427', True), ('basicirstd', False)):
        assert _is_set({**wanted, 'split_set': lists}, DatasetInfo('NUAA-SIRST', 'test', 'idx_427')) is fits
    for kind in ('SIRSTDataset', 'mmseg.SIRSTDataset'):
        assert not _is_set({**wanted, 'type': kind}, DatasetInfo('NUAA-SIRST', 'test', 'basicirstd'))


@DATASETS.register_module()
class ChoosesItself(SIRSTDataset):
    pass


def test_of_which_images_a_test_was(make_set):
    root = make_set('a', ['i', 'j'], lists={'test.txt': ['i', 'j']})
    here = {'type': 'SIRSTDataset', 'data_root': str(root), 'split': 'test'}
    same, other = ids_sha256('ij'), ids_sha256('ik')
    assert _ids_of(here) == same
    found = DatasetInfo('a', 'test', 'lists', split_sha256=same)
    assert _is_set(here, found)
    assert not _is_set(here, replace(found, split_sha256=other))
    assert _is_set(here, replace(found, split_sha256=None)), 'of an older record no more is known'
    for unlike in ({'name': 'b'}, {'split': 'val'}):
        assert not _is_set(here, replace(found, **unlike))
    # which may be others than those of the files
    for unknown in ({'indices': 1}, {'type': 'ChoosesItself'}, {'data_root': f'{root}/none'}):
        assert _ids_of({**here, **unknown}) is None
    derived = {**here, 'type': 'ChoosesItself'}
    assert _is_set(derived, replace(found, split_sha256=other))
    assert not _is_set(derived, replace(found, name='b'))
    assert not _is_set({**here, 'split_set': 'mine'}, found)
    assert _is_set({'type': 'ADE20KDataset'}, DatasetInfo('x'))


def test_numbers_of_another_folder_of_the_same_name_do_not_count(make_set, tmp_path):
    for place, ids in (('x', ['i', 'j']), ('y', ['i', 'k'])):
        make_set(f'{place}/a', ids, lists={'test.txt': ids})
    make_set('b', ['i'], lists={'test.txt': ['i']})
    args = {'networks': ['tophat'], 'datasets': [f'{tmp_path}/b'], 'work_dir': str(tmp_path / 'c')}
    here, there = (read_plan(**args, also_test_on=[f'{tmp_path}/{place}/a']) for place in 'xy')
    run_all(here.runs(), Shard(), in_process=True)
    assert (states(here), states(there)) == (['done'], ['begun'])
    (tmp_path / 'x/a/test.txt').write_text('i')
    assert states(here) == ['begun'], 'scored on images that the list no longer has'
    shutil.rmtree(tmp_path / 'x/a/masks')
    assert states(here) == ['done'], 'of what is not at hand no more is known'


def test_a_network_that_was_trained_on_two_sets_has_two_rows_on_a_third(make_set, tmp_path, repository):
    for name in 'abc':
        make_set(name, ['i', 'j'], lists={'train.txt': ['i'], 'test.txt': ['j']})
    plan = read_plan(
        networks=[{'name': 'nano', 'config': f'{repository}/configs/madnet/madnet_nano.py'}],
        datasets=[f'{tmp_path}/a', f'{tmp_path}/b'],
        also_test_on=[f'{tmp_path}/b', f'{tmp_path}/c'],
        options={'selection': 'last'},
        protocols='native, acm',
        work_dir=str(tmp_path / 'w'),
    )
    assert plan.protocols == ('native', 'acm')
    numbers = {p: {'IoU': 0.5} for p in plan.protocols}
    for run in plan.runs():
        names = [Path(folder).name for folder in run.test_on]
        sets = {n: SetResults(numbers, DatasetInfo(n, 'test', 'folder')) for n in names}
        MetricsFile(numbers, sets=sets).write(Path(run.folder, 'metrics.json'))
        RunFile(run.wanted(), trained=True).write(Path(run.folder, 'run.json'))
    assert [len(run.test_on) for run in plan.runs()] == [3, 2]
    tables = [table for table, _ in tables_of(summarise(plan, plan.runs()))]
    assert [[*t.rows] for t in tables if 'c folder' in t.caption] == 2 * [
        ['nano, trained on a', 'nano, trained on b']
    ]
    summarise(plan, plan.runs()).write(tmp_path / 'w' / 'comparison.json')
    shown = [(r.label, r.report.dataset.name) for r in load_results([f'{tmp_path}/w'])]
    assert len(shown) == len(set(shown)) == 7  # each set once, and all of a run's together
    # one set fewer is no longer this plan's test
    fewer = replace(plan, also_test_on=(f'{tmp_path}/c',))
    assert states(fewer)[0] != 'done'


def test_tables_of_two_parts_have_two_names_and_say_how_long_was_trained():
    rows = [
        ComparisonRow(
            'a', 'A', DatasetInfo('x', part, images=3), 'a.py', {'native': {'IoU': Spread(0.5, None, 1)}},
            recipe='common', chosen='best epoch on the TEST images, as published', seeds=[1], budget=5,
        )
        for part in ('test', 'val')
    ]  # fmt: skip
    plan = ComparisonPlan(['x'], [1], 'common')
    tables = tables_of(Comparison(plan, rows))
    assert [stem for _, stem in tables] == ['x_test_native', 'x_val_native']
    how = 'common recipe, 5 minutes each; best epoch on the TEST images, as published; one seed (1)'
    assert tables[0][0].caption == f'x test, 3 images; {how}'


def test_costs_that_were_measured_otherwise_are_left_out_of_a_table():
    costs = {
        'A': Cost(256, 1, 10, 100, 0.5, 'a GPU'),
        'B': Cost(256, 1, 20, 200, 0.1, 'a faster GPU'),
        'C': Cost(64, 1, 30, 20, 0.2, 'a GPU'),
        'D': Cost(256, 1, 40, 300, 0.6, 'a GPU'),
        'D, 8 views': Cost(256, 1, 40, 2400),
    }
    image, numbers = DatasetInfo('x', 'test', images=3), {'native': {'IoU': Spread(0.5, None, 1)}}

    def table_of(names):
        rows = [ComparisonRow(name, name, image, 'a.py', numbers, cost=costs[name]) for name in names]
        [(table, _)] = tables_of(Comparison(ComparisonPlan(['x'], [1]), rows))
        return table

    table = table_of(costs)
    assert [cells[-1].text for _, cells in table.cells()] == ['500.0', '–', '–', '600.0', '–']
    assert [row.get('MACs') for row in table.rows.values()] == [100, 200, None, 300, 2400]
    assert [row.get('parameters') for row in table.rows.values()] == [10, 20, 30, 40, 40]
    said = '; MACs of one 256×256 image, latency of it on a GPU'
    assert table.caption.endswith(f'{said} (left out where measured at another size or on another device)')
    assert table_of(['A', 'D', 'D, 8 views']).caption.endswith(said)
    costs['A'] = Cost()
    assert 'MACs' not in table_of(['A']).caption


def test_a_cost_is_there_until_it_is_measured_anew(plan_file, monkeypatch):
    """Another command on the same folder may make its tables meanwhile."""
    run = read_plan(plan_file, seeds=[1]).runs()[0]
    file = Path(run.folder).parent / Cost.FILE
    before = Cost(64, channels_of(run.settings), 10, 100, model_sha256=model_sha256(run))
    before.write(file)
    meanwhile = []

    def measure(*_, **__):
        meanwhile.append(read_cost(run))
        raise RuntimeError('out of memory')

    monkeypatch.setattr(cost, 'measure_cost', measure)
    cost.measure_costs([run], 32)
    assert meanwhile == [before]
    assert not file.exists()


def test_shares_in_the_background_lie_beside_each_other(plan_file, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr('madnet.experiments.background.start', started.append)
    for shard in (None, '1/2', '2/2'):
        compare(str(plan_file), shard=shard, background=True)
    folder = tmp_path / 'comparison'
    assert started == [folder, folder / 'share_1_of_2', folder / 'share_2_of_2']
