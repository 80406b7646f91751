"""Checkpoint files: whole, plain, and refused in one line where they can't serve."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import nn

import madnet  # noqa: F401
from madnet.engine.checkpoint import (
    LAST,
    PREVIOUS,
    find_whole_checkpoint,
    from_plain,
    load_weights,
    read_checkpoint,
    state_dict_of,
    to_plain,
)
from madnet.engine.hooks import SafeCheckpointHook
from madnet.engine.random_state import get_random_state, preserved_random_state, set_random_state
from madnet.errors import UserError
from madnet.records.columns import COLUMNS, COST, may_lead


def _draw():
    import random

    return random.random(), np.random.rand(), torch.rand(1).item()


def test_random_state_survives_a_file(tmp_path):
    torch.save(to_plain({'state': get_random_state()}), tmp_path / 'a.pth')
    expected = _draw()
    _draw()
    set_random_state(from_plain(read_checkpoint(tmp_path / 'a.pth'))['state'])
    assert _draw() == expected


def test_what_is_drawn_inside_leaves_no_trace():
    state = get_random_state()
    expected = _draw()
    set_random_state(state)
    with preserved_random_state():
        _draw()
    assert _draw() == expected


def test_plain_content_needs_no_unpickling_and_comes_back(tmp_path):
    content = {
        'message_hub': {'loss': HistoryBuffer([1.0, 2.0], [1, 1])},
        'score': np.float64(0.5),
        'array': np.arange(3),
        'nested': [1, (2, 'x'), None, {'t': torch.ones(2)}],
    }
    torch.save(to_plain(content), tmp_path / 'a.pth')
    back = from_plain(read_checkpoint(tmp_path / 'a.pth'))
    assert back['message_hub']['loss'].mean() == 1.5
    assert back['score'] == 0.5
    assert type(back['score']) is float
    assert back['array'].tolist() == [0, 1, 2]
    assert back['nested'][1] == (2, 'x')


@pytest.mark.parametrize('keep', [0.1, 0.5, 0.99])
def test_a_truncated_last_is_named_and_passed_over(tmp_path, keep):
    for name, epoch in ((LAST, 2), (PREVIOUS, 1)):
        torch.save({'epoch': epoch, 'w': torch.rand(1000)}, tmp_path / name)
    data = (tmp_path / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(data[: int(len(data) * keep)])
    said = []
    path, content = find_whole_checkpoint(tmp_path, said.append)
    assert path.name == PREVIOUS
    assert content['epoch'] == 1
    assert len(said) == 1
    assert LAST in said[0]
    assert 'truncated' in said[0]


def test_nothing_whole_left(tmp_path):
    (tmp_path / LAST).write_bytes(b'no checkpoint')
    with pytest.raises(UserError, match='nothing to resume from'):
        find_whole_checkpoint(tmp_path, lambda line: None)
    assert find_whole_checkpoint(tmp_path / 'elsewhere', lambda line: None) is None


class _Runs:
    """Would touch a file when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


def test_pickled_objects_are_not_run(tmp_path):
    torch.save({'state_dict': {}, 'evil': _Runs(tmp_path / 'ran')}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='--trust-checkpoint'):
        read_checkpoint(tmp_path / 'a.pth')
    assert not (tmp_path / 'ran').exists()
    read_checkpoint(tmp_path / 'a.pth', trust=True)
    assert (tmp_path / 'ran').exists()


@pytest.mark.parametrize('content', [b'', b'hello', pickle.dumps([1, 2])])
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path, content):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(UserError, match=r'a\.pth') as e:
        read_checkpoint(tmp_path / 'a.pth')
    assert '\n' not in str(e.value)


def test_tensors_that_are_not_dense_are_refused():
    weight = torch.eye(3)
    for odd in (weight.to_sparse(), weight.to_sparse_csr()):
        with pytest.raises(UserError, match=r'its tensor a\.weight is stored as .*, expected dense'):
            state_dict_of({'a.weight': odd, 'a.bias': torch.zeros(3)}, 'x.pth')


def test_another_architecture_is_told_by_its_keys():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = {'0.weight': torch.zeros(3, 5), '0.bias': torch.zeros(3), 'head.weight': torch.zeros(1)}
    with pytest.raises(UserError) as e:
        load_weights(model, state, 'x.pth')
    message = str(e.value)
    assert '2 missing: 1.weight, 1.bias;' in message
    assert '1 unknown: head.weight;' in message
    assert '0.weight (3, 5) instead of (3, 2)' in message
    load_weights(model, {f'module.{k}': v for k, v in model.state_dict().items()}, 'x.pth')


@pytest.mark.parametrize('rule', ['greater', 'less'])
@pytest.mark.parametrize(
    ('best_from', 'epochs', 'kept'),
    [(0.0, 5, [1, 2]), (0.6, 5, [1, 2, 4, 5]), (0.8, 5, [1, 2, 5]), (0.8, 3, [1, 2, 3]), (0.8, 1, [1])],
)
def test_from_when_on_the_best_is_chosen(tmp_path, monkeypatch, rule, best_from, epochs, kept):
    sign = 1 if rule == 'greater' else -1
    hook, written = SafeCheckpointHook(rule=rule, best_from=best_from), []
    monkeypatch.setattr(hook, '_write', lambda runner, name, meta, **_: written.append((name, meta['epoch'])))
    hub = MessageHub(tmp_path.name)
    for epoch, score in enumerate([0.5, 0.9, 0.6, 0.7, 0.8][:epochs], start=1):
        runner = SimpleNamespace(epoch=epoch, max_epochs=epochs, iter=epoch, message_hub=hub)
        hook._save_if_best(runner, {'nIoU': sign * score})
    assert written == [('best.pth', epoch) for epoch in kept]
    assert hub.get_info('best_epoch') == kept[-1]


@pytest.mark.parametrize(
    ('metric', 'scores', 'kept'),
    [
        ('nIoU', [0.5, 0.4, 0.6], [1, 3]),
        ('Fa', [5e-6, 6e-6, 4e-6], [1, 3]),
        ('abc/false_pixels', [5, 6, 4], [1, 3]),
        ('seg_merging_error', [0.5, 0.6, 0.4], [1, 3]),
    ],
)
def test_the_metric_says_which_epoch_is_the_best(tmp_path, monkeypatch, metric, scores, kept):
    hook, written = SafeCheckpointHook(save_best=metric), []
    monkeypatch.setattr(hook, '_write', lambda runner, name, meta, **_: written.append(meta['epoch']))
    hub = MessageHub(f'{tmp_path.name} {metric}')
    for epoch, score in enumerate(scores, start=1):
        runner = SimpleNamespace(epoch=epoch, max_epochs=3, iter=epoch, message_hub=hub)
        hook._save_if_best(runner, {metric: score, 'Pd': 0.0 if metric.startswith('abc') else 0.5})
    assert written == kept


ERRORS = [key for key, c in COLUMNS.items() if c.better == 'lower' and key not in COST]


@pytest.mark.parametrize('metric', [*ERRORS, 'loc_s2m_error'])
def test_who_finds_nothing_is_best_by_no_error(metric):
    assert not may_lead({'Pd': 0.0, metric: 0.0}, metric)
    assert may_lead({'Pd': 0.1, metric: 0.0}, metric)


@pytest.mark.parametrize('protocol', ['', 'abc/'])
def test_an_epoch_without_alarms_because_it_finds_nothing_is_not_the_best(tmp_path, monkeypatch, protocol):
    hook, written = SafeCheckpointHook(save_best=f'{protocol}Fa'), []
    monkeypatch.setattr(hook, '_write', lambda runner, name, meta, **_: written.append(meta['epoch']))
    hub = MessageHub(f'{tmp_path.name} none')
    for epoch, (false, found) in enumerate([(0.0, 0.0), (3e-6, 0.8)], start=1):
        runner = SimpleNamespace(epoch=epoch, max_epochs=2, iter=epoch, message_hub=hub)
        hook._save_if_best(runner, {f'{protocol}Fa': false, f'{protocol}Pd': found})
    assert written == [2]


@pytest.mark.parametrize('share', [-0.1, 1, 80])
def test_the_best_cannot_be_chosen_after_the_end(share):
    with pytest.raises(UserError, match=r'checkpoint\.best_from: found .*, expected a share'):
        SafeCheckpointHook(best_from=share)
