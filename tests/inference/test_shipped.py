"""The weights that come with the package: whole, small, and as good as their cards say."""

import re

import numpy as np
import pytest
from clutter import scene

from madnet.datasets import SIRSTDataset
from madnet.evaluation import evaluate
from madnet.files import sha256_of
from madnet.inference import Predictor
from madnet.pretrained import get_pretrained, list_pretrained, load_pretrained, writing
from madnet.records import pretrained_index as index

NAMES = list_pretrained()


def test_there_are_some_and_they_are_small():
    assert {'madnet_nano', 'madnet_tiny', 'mim_tiny_fine'} <= set(NAMES)
    files = list(index.FOLDER.glob('*.safetensors'))
    assert {f.stem for f in files} == set(NAMES)
    assert sum(f.stat().st_size for f in files) <= writing.MAX_BYTES


@pytest.mark.parametrize('name', NAMES)
def test_whole_with_a_card_and_ready_to_use(name):
    entry = get_pretrained(name)
    record = index.read_index(index.FOLDER)[name]
    assert sha256_of(index.FOLDER / record['weights']) == record['sha256']
    card = entry.read_card()
    for section in writing.CARD_SECTIONS:
        assert re.search(rf'^## {section}', card, re.MULTILINE), section
    model, _ = load_pretrained(name)
    assert not model.training
    image = scene(70, 90)
    np.testing.assert_array_equal(Predictor(name)(image).score_map.shape, (70, 90))


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[] if n == 'madnet_nano' else pytest.mark.slow) for n in NAMES]
)
def test_the_number_on_the_card(name, data_root):
    """IoU and nIoU of NUAA-SIRST's test images, native, one view: of the half precision that ships."""
    if not (data_root / 'NUAA-SIRST').is_dir():
        pytest.skip('NUAA-SIRST is not at hand')
    card = get_pretrained(name).read_card()
    stated = re.search(r'^\| NUAA-SIRST \(86\) \| 1 \| native \| ([\d.]+) \| ([\d.]+) \|', card, re.MULTILINE)
    dataset = SIRSTDataset(data_root / 'NUAA-SIRST', 'test')
    samples = [dataset.read_sample(i) for i in range(len(dataset))]
    predictor = Predictor(name, device='cpu')
    found = evaluate([predictor(image).score_map for image, _ in samples], [mask for _, mask in samples])
    # a pixel that turns with the last digit of another processor moves IoU by 0.03
    assert 100 * found['IoU'] == pytest.approx(float(stated[1]), abs=0.15)
    assert 100 * found['nIoU'] == pytest.approx(float(stated[2]), abs=0.15)
