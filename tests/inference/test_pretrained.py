"""Weights that ship: put into a table, found by name, refused when they are not what they were."""

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from clutter import scene
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS

from madnet.engine.checkpoint import read_checkpoint, state_dict_of
from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.inference import Predictor
from madnet.pretrained import get_pretrained, list_pretrained, list_registered, load_pretrained, writing
from madnet.pretrained.writing import register_weights, ship_weights
from madnet.records import pretrained_index as index

CARD = '# A tiny one, for tests\n\n' + '\n\n'.join(f'## {s}\nnone' for s in writing.CARD_SECTIONS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty table instead of the package's."""
    monkeypatch.setattr(index, 'FOLDER', tmp_path / 'table')
    (tmp_path / 'table').mkdir()
    (tmp_path / 'table' / index.INDEX).write_text('{"schema": 1, "models": {}}')
    (tmp_path / 'card.md').write_text(CARD)
    return tmp_path / 'table'


@pytest.mark.parametrize('kind', ['native', 'published'])
def test_shipped_and_loaded_again(kind, folder, detectors):
    config, checkpoint = detectors[kind]
    record = ship_weights('tiny_one', config, checkpoint, folder.parent / 'card.md')
    assert list_pretrained() == ('tiny_one',)
    entry = get_pretrained('tiny_one')
    assert entry.read_card() == CARD
    assert record['parameters'] == entry.parameters > 1000

    image = scene(70, 90)
    expected = Predictor(config, checkpoint)(image).score_map
    np.testing.assert_array_equal(Predictor('tiny_one')(image).score_map, expected)
    model, pipeline = load_pretrained('tiny_one')
    with torch.no_grad():
        result = model.test_step({k: [v] for k, v in pipeline(image).items()})[0]
    np.testing.assert_array_equal(result.seg_logits.data[0].numpy(), expected)
    assert not any('writing' in p.name for p in folder.iterdir())


def test_load_from_names_shipped_weights(folder, detectors):
    config, checkpoint = detectors['native']
    ship_weights('tiny_one', config, checkpoint, folder.parent / 'card.md')
    expected = state_dict_of(read_checkpoint(checkpoint), checkpoint)
    cfg = load_config(config)
    model = MODELS.build(cfg.model)
    load_checkpoint(model, 'madnet://tiny_one')  # mmengine's, as its Runner does with load_from
    assert all(torch.equal(model.state_dict()[key], expected[key]) for key in expected)
    found = state_dict_of(read_checkpoint('madnet://tiny_one'), 'x')
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    with pytest.raises(UserError, match='tiny_one'):
        read_checkpoint('madnet://tiny_on')


def test_half_precision_is_checked(folder, detectors, monkeypatch):
    config, checkpoint = detectors['native']
    full = ship_weights('tiny_full', config, checkpoint, folder.parent / 'card.md')
    monkeypatch.setattr(writing, 'MAX_LOSS', 0.01)  # of random weights, not of trained ones
    half = ship_weights('tiny_half', config, checkpoint, folder.parent / 'card.md', half=True)
    sizes = [(folder / r['weights']).stat().st_size for r in (full, half)]
    assert sizes[1] < 0.65 * sizes[0]
    [checked] = half['source']['half_precision']
    assert set(checked) == {'full', 'half', 'dataset'}
    assert checked['dataset']['images'] == 3
    stored = safetensors.torch.load_file(folder / half['weights'])
    wide = {k for k, v in stored.items() if v.dtype == torch.float32}
    assert wide == {k for k in stored if k.endswith(('.running_mean', '.running_var'))} != set()
    image = scene(70, 90)
    difference = abs(Predictor('tiny_full')(image).score_map - Predictor('tiny_half')(image).score_map)
    assert 0 < difference.max() < 0.05

    monkeypatch.setattr(writing, 'MAX_LOSS', -1)
    before = (folder / index.INDEX).read_text()
    with pytest.raises(UserError, match='half precision costs'):
        ship_weights('tiny_lossy', config, checkpoint, folder.parent / 'card.md', half=True)
    assert (folder / index.INDEX).read_text() == before
    assert not list(folder.glob('tiny_lossy*'))


def test_half_precision_is_checked_on_masks_of_twice_the_size(
    tmp_path, folder, detectors, image_set, monkeypatch
):
    root = shutil.copytree(image_set, tmp_path / 'doubled')
    for path in root.glob('*/masks/*'):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), mask.repeat(2, 0).repeat(2, 1))
    config, checkpoint = detectors['files']
    moved = tmp_path / 'moved.py'
    moved.write_text(config.read_text().replace(str(image_set), str(root)))
    monkeypatch.setattr(writing, 'MAX_LOSS', 0.01)
    found, expected = (
        ship_weights(name, file, checkpoint, folder.parent / 'card.md', half=True)['source']['half_precision']
        for name, file in (('tiny_doubled', moved), ('tiny_half', config))
    )
    assert found[0]['full'] == expected[0]['full']


def test_changed_weights_are_refused(folder, detectors):
    ship_weights('tiny_one', *detectors['native'], folder.parent / 'card.md')
    weights = folder / 'tiny_one.safetensors'
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UserError, match='sha256'):
        load_pretrained('tiny_one')
    weights.unlink()
    with pytest.raises(UserError, match='cannot be read'):
        Predictor('tiny_one')


def test_unknown_names(folder, detectors):
    with pytest.raises(UserError, match='none is shipped'):
        load_pretrained('tiny_one')
    ship_weights('tiny_one', *detectors['native'], folder.parent / 'card.md')
    for call in (load_pretrained, Predictor):
        with pytest.raises(UserError, match=r"tiny_one.*Did you mean 'tiny_one'") as e:
            call('tiny_won')
        assert 'hipped' in str(e.value)


def test_what_may_not_ship(folder, detectors, monkeypatch):
    config, checkpoint = detectors['native']
    card = folder.parent / 'card.md'
    with pytest.raises(UserError, match='small letters'):
        ship_weights('Tiny One', config, checkpoint, card)
    with pytest.raises(UserError, match=r"name 'index': .*index\.json is the index itself"):
        ship_weights('index', config, checkpoint, card)
    with pytest.raises(UserError, match=r"name 'tophat': is that of a training-free method"):
        ship_weights('tophat', config, checkpoint, card)
    (folder.parent / 'short.md').write_text('# Tiny\n## Data\nsome')
    with pytest.raises(UserError, match='Recipe, Numbers, Cost, Limits'):
        ship_weights('tiny_one', config, checkpoint, folder.parent / 'short.md')
    facts = folder.parent / 'facts.json'
    facts.write_text('{"claims": [{"dataset": "nuaa", "values": {"iou": 50}}]}')
    with pytest.raises(UserError, match=r"facts\.json: claims\[0\], on nuaa: metric 'iou' is not what"):
        ship_weights('tiny_one', config, checkpoint, card, facts=facts)
    monkeypatch.setattr(writing, 'MAX_BYTES', 1000)
    with pytest.raises(UserError, match='MB of other shipped weights'):
        ship_weights('tiny_one', config, checkpoint, card)
    assert [p.name for p in folder.iterdir()] == [index.INDEX]


def test_a_broken_index_is_refused_before_anything_is_replaced(folder, detectors):
    config, checkpoint = detectors['files']
    card, facts = folder.parent / 'card.md', folder.parent / 'facts.json'
    facts.write_text('{"address": "http://127.0.0.1:9/x.pth"}')
    ship_weights('tiny_one', config, checkpoint, card)
    (folder / index.INDEX).write_text('{"schema": 1, "models": {')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for write, given in ((ship_weights, card), (register_weights, facts)):
        for name in ('tiny_one', 'tiny_two'):
            with pytest.raises(UserError, match=r'index\.json'):
                write(name, config, checkpoint, given)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_package_s_own_table_is_whole():
    content = json.loads((index.FOLDER / index.INDEX).read_text())
    assert set(content['models']) == set(list_registered())
    total = 0
    for name in list_pretrained():
        entry = get_pretrained(name)
        writing._checked_card(entry.card)
        total += entry.weights.stat().st_size
        load_pretrained(name)
    assert total <= writing.MAX_BYTES


def test_a_reader_that_leaves_ends_the_card_quietly(repository):
    """As ``| head -1`` does."""
    command = [sys.executable, 'tools/pretrained.py', 'card', 'madnet_nano']
    tool = subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    tool.stdout.close()
    _, err = tool.communicate()
    assert (tool.returncode, err) == (0, b'')


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('weights', '../x'),
        ('config', '/etc/passwd'),
        ('card', None),
        ('sha256', 3),
        ('source', 3),
        ('size', 'x'),
    ],
)
def test_a_record_cannot_name_files_elsewhere(tmp_path, key, value):
    content = json.loads((index.FOLDER / index.INDEX).read_text())
    content['models']['madnet_nano'][key] = value
    (tmp_path / index.INDEX).write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"key 'madnet_nano.{key}': found"):
        get_pretrained('madnet_nano', tmp_path)
