"""The page of madnet demo: what it does with files, and, where gradio is, what it answers over HTTP."""

import asyncio
import base64
import io
import json
import re
import shutil
import threading
import zipfile
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from clutter import scene
from mmengine.logging import MMLogger
from PIL import Image

from madnet.errors import UserError
from madnet.inference import Predictor, demo
from madnet.inference.command import predictor_maker
from madnet.inference.demo import Demo, Limits
from madnet.inference.export import export_network
from madnet.inference.guard import Guard


@pytest.fixture(scope='module')
def shown():
    return Demo(
        {'madnet_nano': predictor_maker('madnet_nano', device='cpu'), 'tophat': predictor_maker('tophat')}
    )


@pytest.fixture
def file(tmp_path):
    cv2.imwrite(str(tmp_path / 'frame.png'), scene(80, 96))
    return tmp_path / 'frame.png'


@pytest.fixture
def clip(tmp_path):
    pages = [Image.fromarray(scene(60, 70, seed=k)) for k in range(5)]
    pages[0].save(tmp_path / 'clip.tif', save_all=True, append_images=pages[1:])
    return tmp_path / 'clip.tif'


def refused(match, function, *args, **kwargs):
    with pytest.raises(UserError, match=match) as caught:
        function(*args, **kwargs)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_frame_is_predicted_as_by_predict(shown, file):
    (found,), about, words = shown.find([file], 'madnet_nano')
    expected = shown.predictor('madnet_nano')(file)
    np.testing.assert_array_equal(found.score_map, expected.score_map)
    assert found.targets == expected.targets
    assert re.fullmatch(r'1 frame in \d+\.\d s by madnet_nano\.', words)
    assert str(found.path) == 'frame.png'
    assert str(file.parent) not in str(about)


def test_views_and_scales(shown, file):
    (once,), *_ = shown.find([file], 'madnet_nano')
    (averaged,), *_ = shown.find([file], 'madnet_nano', 4, (1, 0.7))
    assert not np.allclose(once.score_map, averaged.score_map, rtol=0.01, atol=0)
    (again,), *_ = shown.find([file], 'madnet_nano')
    np.testing.assert_array_equal(once.score_map, again.score_map)
    refused('takes one view', shown.find, [file], 'tophat', 2)


def test_a_budget_needs_what_is_known_of_the_weights(shown, file, detectors):
    config, weights = detectors['native']
    budgeted = partial(shown.find, [file], 'madnet_nano', budget=1e-5)
    bare = Demo({'mine': predictor_maker(str(config), checkpoint=str(weights), device='cpu')})
    refused('only networks in PyTorch have budgets', shown.find, [file], 'tophat', budget=1e-5)
    said = refused('nothing is known yet', bare.find, [file], 'mine', budget=1e-5)
    assert str(weights.parent) not in said
    refused('measured with --views 1, found --views 4 --scales 1,0.7, ', budgeted, views=4, scales=(1, 0.7))
    assert budgeted()[0]
    given = {}

    def make(name, fa_budget=None, **_):
        given[name] = fa_budget
        return shown.predictor('tophat')

    found, *_ = Demo({'calibrated': partial(make, 'calibrated')}).find([file], 'calibrated', budget=1e-5)
    assert given == {'calibrated': 1e-5}
    assert len(found) == 1


def test_frames_of_a_clip(shown, clip):
    found, _, words = shown.find([clip], 'tophat', measured=True)
    assert len(found) == 5
    assert words.startswith('5 frames')
    name, content = demo.masks_file(found)
    assert name == 'masks.zip'
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        masks = [cv2.imdecode(np.frombuffer(archive.read(n), np.uint8), 0) for n in archive.namelist()]
    for mask, one in zip(masks, found, strict=True):
        np.testing.assert_array_equal(mask > 0, one.mask)


def test_what_is_shown_of_a_frame(shown, file):
    (found,), about, _ = shown.find([file], 'tophat')
    assert found.targets
    for picture in (demo.marked(found), demo.score_picture(found), demo.surface_picture(found)):
        assert cv2.imdecode(np.frombuffer(picture, np.uint8), 1).std() > 1
    table = demo.targets_table(found)
    assert table.count('<tr>') == 1 + min(50, len(found.targets))
    assert table.count('<img') == 2 * (table.count('<tr>') - 1)
    written = json.loads(demo.report_json([found], about))
    assert written['images'][0]['file'] == 'frame.png'
    assert len(written['images'][0]['targets']) == len(found.targets)
    name, mask = demo.masks_file([found])
    assert name == 'mask.png'
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(mask, np.uint8), 0) > 0, found.mask)


def test_a_name_is_no_html(shown, tmp_path):
    cv2.imwrite(str(tmp_path / '<script>.png'), scene(60, 60))
    (found,), *_ = shown.find([tmp_path / '<script>.png'], 'tophat')
    assert '<script>' not in demo.targets_table(found)


@pytest.mark.parametrize('name', demo.EXAMPLES)
def test_examples(shown, name):
    found, about, _ = shown.example(name, 'tophat')
    height, width, count = demo.EXAMPLES[name]
    assert len(found) == count
    assert found[0].score_map.shape == (height, width)
    assert name in found[-1].name
    assert about['unreadable'] == []


def test_what_is_too_much_or_no_image_is_refused(shown, file, clip, tmp_path):
    small = Demo(shown.models, Limits(megabytes=1, files=3, frames=4, pixels=80 * 96))
    refused('no file yet', small.find, [], 'tophat')
    refused('found 4 files, expected 3', small.find, [file] * 4, 'tophat')
    refused('5 frames, more than the 4', small.find, [clip], 'tophat')
    cv2.imwrite(str(tmp_path / 'wide.png'), scene(80, 97))
    refused(r'97 × 80 pixels, more than the 7,680', small.find, [tmp_path / 'wide.png'], 'tophat')
    pages = [Image.fromarray(scene(80, width)) for width in (70, 97)]
    pages[0].save(tmp_path / 'pages.tif', save_all=True, append_images=pages[1:])
    refused(r'97 × 80 pixels, more than the 7,680', small.find, [tmp_path / 'pages.tif'], 'tophat')
    (tmp_path / 'big.png').write_bytes(bytes(2**20 + 1))
    refused('larger than the 1 MB', small.find, [tmp_path / 'big.png'], 'tophat')
    (tmp_path / 'tool.exe').write_bytes(b'MZ')
    refused(r"found the ending '\.exe'", small.find, [tmp_path / 'tool.exe'], 'tophat')
    (tmp_path / 'tool.png').write_bytes(b'\x7fELF' + bytes(99))
    said = refused('not an image', small.find, [tmp_path / 'tool.png'], 'tophat')
    assert str(tmp_path) not in said
    refused('expected one of madnet_nano, tophat', small.find, [file], '../../etc/passwd')


def test_time_is_limited_and_what_is_done_is_shown(shown, clip):
    quick = Demo(shown.models, Limits(seconds=0))
    found, about, words = quick.find([clip], 'tophat')
    assert len(found) == 1
    assert '4 frames not reached' in words
    assert about['not_done'] == [f'clip.tif, frame {k}' for k in range(1, 5)]


def test_one_bad_file_among_others(shown, file, tmp_path):
    content = file.read_bytes()
    (tmp_path / 'short.png').write_bytes(content[: len(content) // 2])
    found, _, words = shown.find([file, tmp_path / 'short.png'], 'tophat')
    assert len(found) == 1
    assert '1 could not be read: short.png' in words


def test_saved_targets_say_what_was_run(shown, file, tmp_path):
    (tmp_path / 'short.png').write_bytes(file.read_bytes()[:99])
    given = {'views': 1, 'scales': (1,), 'budget': 1e-6}
    found, about, _ = shown.find([file, tmp_path / 'short.png'], 'madnet_nano', **given)
    written = json.loads(demo.report_json([replace(one, threshold=0.3) for one in found], about))
    expected = shown.predictor('madnet_nano', **given)
    assert expected.least.min_rank > 0
    assert expected.scaling.temperature > 1
    assert written['detector'] == {'name': 'madnet_nano'}
    assert (written['threshold'], written['fa_budget']) == (0.3, 1e-6)
    assert (written['min_rank'], written['temperature']) == (
        expected.least.min_rank,
        expected.scaling.temperature,
    )
    (unread,) = written['unreadable']
    assert unread['file'] == 'short.png'
    assert unread['reason'].startswith('short.png: ')
    assert (written['views'], written['scales']) == (1, [1])


def test_a_budget_keeps_to_the_masks_that_it_was_measured_with(shown, file):
    """The slider's threshold is of scores before the calibration that comes with a budget."""
    plain, _, _ = shown.find([file], 'madnet_nano')
    found, _, _ = shown.find([file], 'madnet_nano', budget=1e-4)
    for threshold in (0.5, 0.9):
        [before], [after] = ([demo.at_threshold(one, threshold) for one in given] for given in (plain, found))
        assert (before.score_map > before.threshold).any()
        assert ((before.score_map > before.threshold) == (after.score_map > after.threshold)).all()
        assert ['(calibrated)' in demo.targets_table(one) for one in (before, after)] == [False, True]
    assert found[0].threshold == pytest.approx(0.43, abs=0.01)


def test_a_budget_holds_whatever_threshold_a_file_says(shown, file, tmp_path):
    other = Predictor('madnet_nano', device='cpu', threshold=0.3)
    export_network(other, tmp_path / 'mine.safetensors', 'torch')
    page = Demo({'mine': predictor_maker(str(tmp_path / 'mine.safetensors'), device='cpu')})
    (one,), _, _ = page.find([file], 'mine', budget=1e-4)
    (two,), _, _ = shown.find([file], 'madnet_nano', budget=1e-4)
    assert one.threshold == pytest.approx(two.threshold, abs=1e-4)
    assert [t.box for t in one.targets] == [t.box for t in two.targets]


@pytest.fixture
def page():
    """The module of the page itself."""
    pytest.importorskip('gradio')
    from madnet.inference import demo_page

    return demo_page


def test_with_a_budget_the_slider_is_settled(page, shown, file):
    found = shown.find([file], 'madnet_nano', budget=1e-4)
    _, _, _, slider, *_ = page._answer(found)
    assert (slider.interactive, slider.value) == (False, 0.5)
    assert page._views(found, 1, 0.9) == page._views(found, 1, 0.5)
    plain = shown.find([file], 'madnet_nano')
    assert page._answer(plain)[3].interactive
    assert page._views(plain, 1, 0.9) != page._views(plain, 1, 0.5)


def test_nothing_of_an_earlier_answer_stays_beside_a_refusal(page, shown, file, tmp_path):
    (tmp_path / 'tool.png').write_bytes(b'\x7fELF' + bytes(99))
    for path, refusal in ((file, None), (tmp_path / 'tool.png', 'not an image')):
        answers = page._answers(shown.find, [path], 'tophat')
        found, words, frame, slider, *views = next(answers)
        assert (found, words, frame.visible, slider.interactive) == (None, '', False, True)
        assert views == page._views(None, 1, 0.5) == [''] * 5
        if refusal:
            with pytest.raises(page.gr.Error, match=refusal):
                next(answers)
        else:
            found, words, *_ = next(answers)
            assert words.startswith('1 frame in ')
            assert all(page._views(found, 1, 0.5))


def test_what_is_asked_during_a_prediction_comes_after_it(page, shown):
    asked = [fn for fn in page.make_page(shown).fns.values() if fn.concurrency_id == 'find']
    assert [fn.trigger_mode for fn in asked] == ['always_last'] * (2 + len(demo.EXAMPLES))


async def _app(scope, receive, send):
    """Reads the whole body, and answers."""
    body = b''
    while (message := await receive())['type'] == 'http.request':
        body += message.get('body', b'')
        if not message.get('more_body'):
            await send({'type': 'http.response.start', 'status': 200, 'headers': []})
            await send({'type': 'http.response.body', 'body': body})
            return


@pytest.mark.parametrize(
    ('headers', 'parts', 'status'),
    [
        ([(b'content-length', b'9')], [b'12345', b'6789'], 200),
        ([], [b'12345', b'6789'], 200),
        ([(b'content-length', b'11')], [b'12345', b'678901'], 413),
        ([(b'content-length', '٣'.encode())], [b'123'], 413),
        ([], [b'12345', b'678901'], None),  # it does not say how long: cut off when it is too long
    ],
)
def test_bodies_above_the_limit_are_refused(headers, parts, status):
    given = [{'type': 'http.request', 'body': part, 'more_body': True} for part in parts]
    given[-1]['more_body'] = False
    sent = []

    async def receive():
        return given.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(_app, most=10)({'type': 'http', 'headers': headers}, receive, send))
    assert [message['status'] for message in sent[:1]] == ([] if status is None else [status])
    if status == 200:
        assert dict(sent[0]['headers'])[b'content-security-policy'].startswith(b"default-src 'self'")
        assert sent[1]['body'] == b'123456789'


class TestOverHTTP:
    @pytest.fixture(scope='class')
    def folder(self, tmp_path_factory):
        return tmp_path_factory.mktemp('dropped')

    @pytest.fixture(scope='class')
    def client(self, shown, folder):
        pytest.importorskip('gradio')
        import httpx

        from madnet.inference.demo_page import launch

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('GRADIO_TEMP_DIR', str(folder))
            page, address = launch(shown)
            # uvicorn closes the handlers of all loggers, and mmengine writes to those of the last training's
            MMLogger._instance_dict.clear()
            with httpx.Client(base_url=address, timeout=120) as client:
                yield client
            page.close()

    def test_the_page_fetches_nothing_from_elsewhere(self, client):
        answer = client.get('/')
        assert answer.status_code == 200
        assert answer.headers['content-security-policy'].startswith("default-src 'self'")
        assert 'fonts.googleapis.com' not in client.get('/theme.css').text

    def test_no_file_of_the_server_is_read(self, client):
        paths = ('/etc/passwd', 'setup.py', 'README.md', '../README.md', '/proc/self/environ')
        for route, path in product(('/gradio_api/file=', '/file=', '/gradio_api/file/'), paths):
            assert client.get(route + path).status_code in (403, 404)

    def find(self, client, file):
        given = {'path': file, 'orig_name': 'a.png', 'meta': {'_type': 'gradio.FileData'}}
        call = client.post('/gradio_api/call/find', json={'data': [[given], 'tophat', 1, '1', 'none', False]})
        if call.status_code != 200:
            return call.text
        return client.get(f'/gradio_api/call/find/{call.json()["event_id"]}').text

    def test_an_upload_is_predicted(self, client, file):
        (stored,) = client.post('/gradio_api/upload', files={'files': file.open('rb')}).json()
        answer = self.find(client, stored)
        assert 'event: complete' in answer
        assert '1 frame in' in answer

    def test_a_refused_upload_clears_the_page(self, client):
        files = {'files': ('tool.png', b'\x7fELF' + bytes(99))}
        (stored,) = client.post('/gradio_api/upload', files=files).json()
        answer = self.find(client, stored)
        said, after = answer.split('event: error')
        assert 'not an image' in after
        assert json.loads(said.split('event: generating\ndata: ')[1])[-5:] == [''] * 5

    def test_a_path_of_the_server_is_no_upload(self, client, file):
        for path in (str(file), '/etc/hostname'):
            assert 'event: complete' not in self.find(client, path)

    def test_a_path_in_a_name_stays_in_the_folder(self, client, folder):
        files = {'files': ('../../../outside.png', b'x', 'image/png')}
        (stored,) = client.post('/gradio_api/upload', files=files).json()
        assert Path(stored).resolve().is_relative_to(folder.resolve())

    def test_large_files_and_bodies_are_refused(self, client, folder):
        before = sum(p.stat().st_size for p in folder.rglob('*') if p.is_file())
        large = client.post('/gradio_api/upload', files={'files': ('a.png', bytes(33 * 2**20), 'image/png')})
        assert large.status_code == 413
        answer = client.post('/gradio_api/upload', content=(bytes(2**20) for _ in range(129)))
        assert answer.status_code >= 400
        assert sum(p.stat().st_size for p in folder.rglob('*') if p.is_file()) < before + 2**20


# What a browser does with a file that is dropped.
_DROP = """([where, name, data]) => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0)), dropped = new DataTransfer();
  dropped.items.add(new File([bytes], name, {type: 'image/png'}));
  const event = new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: dropped});
  return !document.querySelector(where).dispatchEvent(event);
}"""


@pytest.mark.slow
def test_files_may_be_dropped_anywhere_and_after_one_another(tmp_path, monkeypatch):
    pytest.importorskip('gradio')
    browsers = pytest.importorskip('playwright.sync_api')
    chromium = shutil.which('chromium') or pytest.skip('no chromium')
    from madnet.inference.demo_page import launch

    shown = Demo({'tophat': predictor_maker('tophat')}, Limits(megabytes=1))
    page, address = launch(shown)
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        tab = browser.new_page()
        tab.goto(address)
        tab.wait_for_selector('#files input[type=file]', state='attached')

        def drop(where, name, content):
            assert tab.evaluate(_DROP, [where, name, base64.b64encode(content).decode()])

        pngs = [cv2.imencode('.png', scene(60, 70, seed=number))[1] for number in range(5)]
        for number, where in enumerate(('#files [aria-dropeffect]', '.file-preview', 'body'), 1):
            drop(where, f'{number}.png', pngs[number - 1])
            tab.wait_for_selector(f'#said:has-text("{number} frame")')
        for name, size in (('big.png', 2**20 + 1), ('tool.exe', 9)):
            tab.wait_for_selector('#overlay')  # all of the answer before
            drop('body', name, bytes(size))
            tab.wait_for_selector(f'[data-testid=toast-body]:has-text("{name}")')
            for shows in ('#said :text("frame")', '#overlay'):
                tab.wait_for_selector(shows, state='detached')
            tab.get_by_role('button', name='Find targets').click()
            tab.wait_for_selector('#said:has-text("3 frames")')
        begun, go_on = threading.Event(), threading.Event()
        find = shown.find
        monkeypatch.setattr(shown, 'find', lambda *args: (begun.set(), go_on.wait(60), find(*args))[-1])
        drop('body', '4.png', pngs[3])
        assert begun.wait(60)
        drop('body', '5.png', pngs[4])
        tab.wait_for_selector('#files :text("5")')
        go_on.set()
        tab.wait_for_selector('#said:has-text("5 frames")')
        browser.close()
    page.close()
