"""``madnet dataset browse``: a gallery of images, or of training samples."""

import json
import re

import cv2
import numpy as np
import pytest

from madnet.curation.cards import WIDTH, draw_card
from madnet.evaluation.components import find_components
from madnet.visualization.palette import TARGET


@pytest.fixture
def browse(run, tmp_path):
    """Runs it; gives exit code, output, error, the page and the cards in it."""

    def call(*args):
        code, out, err = run('dataset', 'browse', *args, '--out', tmp_path / 'out')
        page = tmp_path / 'out/index.html'
        html = page.read_text() if page.exists() else None
        cards = html and json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])
        return code, out, err, html, cards

    return call


def test_all_images_of_a_set(browse, two_sets, tmp_path):
    code, out, err, html, cards = browse(two_sets[1])
    assert (code, err) == (0, '')
    assert '24 pictures' in out
    assert [c['part'] for c in cards] == ['trainval'] * 12 + ['test'] * 12
    assert [c['id'] for c in cards[:12]] == sorted(map(str, range(12)))
    for card in cards:
        assert card['size'] == [64, 64]
        [[area, scr]] = card['targets']
        assert area == 20
        assert scr == pytest.approx(4, abs=1.5)  # 40 grey levels in a noise of 10
        picture = cv2.imread(str(tmp_path / 'out' / card['file']))
        assert [picture.shape[1], picture.shape[0]] == card['shown'] == [WIDTH, WIDTH + 96]
    assert len({c['file'] for c in cards}) == 24
    assert not re.search(r'(https?:)?//|@import|<link|src="', html.replace('"pictures/', ''))


def test_evenly_spaced_images_of_one_split(browse, two_sets):
    _, _, _, _, cards = browse(two_sets[0], '--split', 'test', '--images', '3')
    assert [(c['part'], c['id']) for c in cards] == [('test', '0'), ('test', '4'), ('test', '9')]


def test_an_id_cannot_leave_its_place_in_the_page(browse, make_set):
    _, _, _, html, cards = browse(make_set('mine', ['<script>x', "a'b"]), '--split', 'all')
    assert {c['id'] for c in cards} == {'<script>x', "a'b"}
    assert html.count('<script') == 2


def test_training_samples_of_a_config(browse, tiny_config):
    args = ('--config', tiny_config, '--images', '2', '--epochs', '2')
    code, out, _, html, cards = browse(*args, '--cfg-options', 'replace_steps.RandomTargetCrop.size=48')
    assert code == 0
    assert '4 pictures' in out
    assert [c['part'] for c in cards] == ['epoch 1', 'epoch 2'] * 2
    assert all(c['size'] == [48, 48] for c in cards)  # as cropped, not as made
    assert 'The network takes them less the mean' in html
    assert 'tiny on synthetic: training samples' in html


def test_a_card_marks_targets_and_shows_three_of_them():
    image = np.random.default_rng(0).integers(90, 110, (100, 200)).astype(np.uint8)
    mask = np.zeros(image.shape, bool)
    for k in range(4):
        mask[20 + 15 * k : 22 + 15 * k, 30 * k + 20] = True
    card = draw_card(image, find_components(mask))
    assert card.shape == (144 + 96, WIDTH, 3)
    marked = (card == TARGET.colour).all(2)
    for k in range(4):
        y, x = round((21 + 15 * k) * 1.44), round((30 * k + 20.5) * 1.44)
        assert marked[y - 9 : y + 10, x - 9 : x + 10].any()
    assert all(marked[150:, 96 * k : 96 * (k + 1)].any() for k in range(3))
    plain = draw_card(image, find_components(mask * 0), as_it_is=True)
    assert plain.shape == (144, WIDTH, 3)
    assert 90 <= plain.min() <= plain.max() < 110
    blue = np.full((100, 200, 3), (200, 0, 0), np.uint8)  # of which the eye sees little
    assert draw_card(blue, find_components(mask * 0), as_it_is=True).max() == round(0.114 * 200)


@pytest.mark.parametrize(
    ('args', 'words'),
    [
        ([], 'found no data set'),
        (['{set}', '--epochs', '2'], 'add --config'),
        (['{set}', '--config', 'x.py', '--split', 'test'], '--split: with --config'),
        (['{set}', '--config', 'madnet_nano', '--value-range', '9', '1'], 'low < high'),
        (['{set}', '--images', '0'], '--images: found 0'),
        (['{set}', '--config', 'configs/madnet/madnet_nan.py'], 'madnet_nano.py'),
        (['nowhere'], "found 'nowhere'"),
    ],
)
def test_mistakes_are_one_line(browse, two_sets, args, words):
    code, _, err, html, _ = browse(*(a.format(set=two_sets[0]) for a in args))
    assert code == 2
    assert words in err
    assert len(err.splitlines()) == 1
    assert html is None
