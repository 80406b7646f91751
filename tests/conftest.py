"""What every test may lean on: golden numbers, real data where they exist, and a tiny experiment."""

import http.server
import json
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from madnet.cli import main


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f'{variable} names no folder: {what} not at hand')
    return Path(value)


@pytest.fixture(scope='session')
def golden_dir(tmp_path_factory) -> Path:
    """The folder of golden numbers: that of ``$MADNET_GOLDEN``, or else those of ``tests/golden``."""
    if 'MADNET_GOLDEN' in os.environ:
        return _folder('MADNET_GOLDEN', 'golden numbers')
    folder = tmp_path_factory.mktemp('golden')
    with tarfile.open(Path(__file__).parent / 'golden' / 'golden.tar.xz') as archive:
        archive.extractall(folder, filter='data')
    return folder


@pytest.fixture(scope='session')
def data_root() -> Path:
    """The folder that holds the real data sets; skips where there is none."""
    return _folder('MADNET_DATA_ROOT', 'real data sets')


TINY = """
_base_ = ['{configs}/madnet_synthetic.py']
model = dict(backbone=dict(base_channels=2))
train_dataloader = dict(batch_size=4, dataset=dict(length=16, size=64))
val_dataloader = dict(dataset=dict(length=4, size=64))
test_dataloader = dict(dataset=dict(length=6, size=64))
replace_steps = dict(RandomTargetCrop=dict(size=32))
train_cfg = dict(max_epochs=3, val_interval=1)
param_scheduler = [dict(type='WarmupCosineLR', warmup_steps=3, by_epoch=True, convert_to_iter_based=True)]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""


@pytest.fixture(scope='session')
def repository():
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def tiny_text(repository) -> str:
    """A config that trains a MAD-Net of width 2 on sixteen synthetic scenes for three epochs."""
    return TINY.format(configs=repository / 'configs')


@pytest.fixture
def tiny_config(tmp_path, tiny_text) -> Path:
    """Path of that config in a file."""
    path = tmp_path / 'tiny.py'
    path.write_text(tiny_text)
    return path


@pytest.fixture
def run(capsys):
    """Calls a command as its user would, without paying for a new process each time.

    ``run('train', 'config.py', '--seed', '1')`` → (exit code, standard output, standard error)."""

    def call(command: str, *args) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([command, *map(str, args)])
        except SystemExit as e:
            code = e.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


def draw(path: Path, mask: bool, size: tuple[int, int] = (40, 32), seed: int = 0) -> None:
    """Write a grey image of noise, or a mask with one 3 × 3 target; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size[::-1], dtype=np.uint8)
    if mask:
        pixels = np.zeros_like(pixels)
        pixels[10:13, 20:23] = 255
    Image.fromarray(pixels).save(path)


def write_packed(path: Path, pages: np.ndarray, bits: int, photometric: str = 'minisblack') -> Path:
    """Write a TIFF of pages (n, H, W) or (n, H, W, 3) whose samples take ``bits`` each, rows whole bytes."""
    width, colours = pages.shape[2], pages.shape[3:]
    rows = pages.reshape(*pages.shape[:2], -1, 1).astype('>u2').view(np.uint8)
    rows = np.packbits(np.unpackbits(rows, axis=-1)[..., -bits:].reshape(*pages.shape[:2], -1), axis=-1)
    with tifffile.TiffWriter(path) as file:
        for page in rows:
            bytes_of = page.reshape(len(page), -1, *colours)
            file.write(bytes_of, photometric=photometric, metadata=None, contiguous=False)
    with tifffile.TiffFile(path, mode='r+b') as file:
        for page in file.pages:
            page.tags['ImageWidth'].overwrite(width)
            page.tags['BitsPerSample'].overwrite((bits,) * (colours[0] if colours else 1))
    return path


@pytest.fixture
def packed_tiff() -> Callable[..., Path]:
    """:func:`write_packed`."""
    return write_packed


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., Path]:
    """Write a data set: a function of (folder name, ids, image pattern, mask pattern, lists)."""

    def make(
        name: str,
        ids: list[str],
        images: str = 'images/{}.png',
        masks: str = 'masks/{}.png',
        lists: dict[str, list[str]] | None = None,
    ) -> Path:
        root = tmp_path / name
        for n, i in enumerate(ids):
            draw(root / images.format(i), mask=False, seed=n)
            draw(root / masks.format(i), mask=True)
        for path, listed in (lists or {}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text('\n'.join(listed))
        return root

    return make


class Server(http.server.BaseHTTPRequestHandler):
    """Serves ``data``; cuts the first answers off after ``cut`` bytes; speaks Range where ``ranges``."""

    data, cut, ranges, tag, asked, stalled = b'', [], True, '"1"', [], None

    def do_GET(self):
        cls = type(self)
        begin, wanted = 0, self.headers.get('Range')
        cls.asked.append(wanted)
        if 'missing' in self.path:
            self.send_error(404)
            return
        if wanted and cls.ranges and self.headers.get('If-Range') == cls.tag:
            begin = int(wanted.removeprefix('bytes=').rstrip('-'))
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {begin}-{len(cls.data) - 1}/{len(cls.data)}')
        else:
            self.send_response(200)
        body = cls.data[begin:]
        self.send_header('Content-Length', str(len(body)))
        self.send_header('ETag', cls.tag)
        self.end_headers()
        if cls.cut:
            body = body[: cls.cut.pop(0)]
        self.wfile.write(body[:700])
        self.wfile.flush()
        if cls.stalled:
            cls.stalled.wait(20)
        self.wfile.write(body[700:])

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A local server of one file, and an empty cache: ``serve(data, name)`` → (its handler, the address)."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    opened = []

    def start(data: bytes, name: str) -> tuple[type[Server], str]:
        handler = type('Handler', (Server,), {'data': data, 'asked': [], 'cut': []})
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        opened.append(server)
        return handler, f'http://127.0.0.1:{server.server_address[1]}/{name}'

    yield start
    for server in opened:
        server.shutdown()
        server.server_close()


def _camera_frame(seed: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """A frame of a 16-bit sensor, its mask of 0 and 1, and the place (x, y) of its one target."""
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.normal(60, 8, (64, 64)), (0, 0), 3) + rng.normal(0, 2, (64, 64))
    x, y = (int(v) for v in rng.integers(8, 56, 2))
    rows, columns = np.mgrid[:64, :64]
    grey += 140 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4.5)
    mask = (np.hypot(rows - y, columns - x) < 2.5).astype(np.uint8)
    return (20000 + 10 * np.clip(grey, 0, 255)).astype(np.uint16), mask, (x, y)


@pytest.fixture
def camera_place(tmp_path, monkeypatch):
    """A folder with what ``docs/your_data.md`` begins with."""
    for folder in ('frames', 'mine/images', 'mine/masks', 'boxes/images'):
        (tmp_path / folder).mkdir(parents=True)
    coco = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'target'}]}
    for i in range(24):
        pixels, mask, (x, y) = _camera_frame(i)
        if i < 8:
            cv2.imwrite(str(tmp_path / 'frames' / f'{i:03}.png'), pixels)
        else:
            cv2.imwrite(str(tmp_path / 'mine' / 'images' / f'{i:03}.png'), pixels)
            Image.fromarray(mask).save(tmp_path / 'mine' / 'masks' / f'{i:03}.png')
        if i < 4:
            cv2.imwrite(str(tmp_path / 'boxes' / 'images' / f'{i:03}.png'), pixels)
            coco['images'].append({'id': i, 'file_name': f'{i:03}.png', 'width': 64, 'height': 64})
            box = {'id': i, 'image_id': i, 'category_id': 1, 'bbox': [x - 3, y - 3, 7, 7], 'area': 49}
            coco['annotations'].append({**box, 'iscrowd': 0})
    (tmp_path / 'boxes' / 'annotations.json').write_text(json.dumps(coco))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.delenv('MADNET_DATA_ROOT', raising=False)
    return tmp_path
