"""Weights that do not ship: fetched by address, compared with their hash, and used by name."""

import hashlib
import json
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
import yaml
from clutter import scene

from madnet import fetching
from madnet.engine.checkpoint_file import fetch_weights, find_checkpoint, read_checkpoint
from madnet.engine.test import run_test
from madnet.errors import UserError
from madnet.inference import Predictor
from madnet.inference.listing import detectors_text, networks_text
from madnet.inference.saving import save_pretrained
from madnet.pretrained.verify import check_claims, verify_weights
from madnet.pretrained.writing import register_weights, ship_weights
from madnet.records import ClaimsFile, get_pretrained, list_pretrained, list_registered
from madnet.records import pretrained_index as index


def test_lists_say_whose_file_is_fetched_and_whose_must_be_brought():
    shipped, fetched, brought = re.split('networks .*:\n', networks_text())
    assert 'madnet_nano ' in shipped
    assert 'rdian_authors ' in fetched
    assert 'repisd_authors ' in brought
    assert 'tophat' not in brought
    text = detectors_text()
    assert text.startswith(networks_text() + '\nclassical: 20 methods, in 27 settings:\n  tophat ')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty registry instead of the package's, and an empty cache."""
    monkeypatch.setattr(index, 'FOLDER', tmp_path / 'table')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    (tmp_path / 'table').mkdir()
    (tmp_path / 'table' / index.INDEX).write_text('{"schema": 1, "models": {}}')
    return tmp_path / 'table'


@pytest.fixture
def register(folder, detectors, tmp_path):
    """Registers the weights of random detectors as ``far``, with these facts; returns the record."""

    def call(kind='files', checkpoint=None, **facts):
        config, weights = detectors[kind]
        (tmp_path / 'facts.json').write_text(json.dumps({'about': 'A far one', **facts}))
        return register_weights('far', config, checkpoint or weights, tmp_path / 'facts.json')

    return call


@pytest.fixture
def hosted(register, serve, detectors):
    """(handler of the server, entry): the registered weights at an address."""
    handler, url = serve(detectors['files'][1].read_bytes(), 'far.pth')
    register(address=url)
    return handler, get_pretrained('far')


def test_fetched_once_and_used_by_name(hosted, detectors, image_set):
    handler, entry = hosted
    assert (list_pretrained(), list_registered()) == ((), ('far',))
    assert not entry.ships
    image = scene(70, 90)
    expected = Predictor(*detectors['files'])(image).score_map
    np.testing.assert_array_equal(Predictor('far')(image).score_map, expected)
    assert find_checkpoint('far') == entry.weights
    assert entry.weights.read_bytes() == handler.data
    found = run_test('far', dataset=str(image_set), out=str(image_set.parent / 'out'))
    assert found.checkpoint.sha256 == entry.sha256
    assert handler.asked == [None]


def test_another_file_is_refused_and_not_kept(hosted):
    handler, entry = hosted
    handler.data = handler.data[:-1] + b'x'
    with pytest.raises(UserError, match=r'^far: http.*SHA-256 .*, expected .*not the file it should be'):
        fetch_weights(entry)
    assert [*entry.weights.parent.iterdir()] == []


def test_a_cached_file_that_changed_is_fetched_again(hosted):
    handler, entry = hosted
    fetch_weights(entry).write_bytes(b'damaged')
    assert fetch_weights(entry).read_bytes() == handler.data
    assert len(handler.asked) == 2


def test_a_broken_download_goes_on(hosted):
    handler, entry = hosted
    handler.cut = [5000]
    assert fetch_weights(entry).read_bytes() == handler.data
    assert handler.asked == [None, 'bytes=5000-']


def test_a_part_of_another_version_is_begun_anew(hosted):
    handler, entry = hosted
    handler.cut = [5000, 10, 10, 10]
    with pytest.raises(UserError, match=r'5,030 bytes are kept in .*\.part'):
        fetch_weights(entry)
    handler.tag = '"2"'
    handler.asked.clear()
    assert fetch_weights(entry).read_bytes() == handler.data
    assert handler.asked == ['bytes=5030-']  # answered with the whole file, as its version is another


def test_the_server_has_no_such_file(register, serve, detectors):
    _, url = serve(b'', 'missing.pth')
    register(address=url)
    with pytest.raises(UserError, match=r'answers 404 .*A copy of it may be put at .*far|files\.pth'):
        Predictor('far')
    assert [*get_pretrained('far').weights.parent.iterdir()] == []


def test_without_a_network_a_copy_will_do(register, detectors, monkeypatch):
    monkeypatch.setattr(fetching, 'ATTEMPTS', 1)
    register(address='http://127.0.0.1:9/far.pth')  # nobody listens there
    entry = get_pretrained('far')
    with pytest.raises(UserError, match=r'refused.*A copy of it may be put at') as e:
        Predictor('far')
    assert '\n' not in str(e.value)
    entry.weights.write_bytes(detectors['files'][1].read_bytes())
    assert Predictor('far').name == 'far'


FETCH = """
import sys
from pathlib import Path
from madnet.fetching import fetch
url, folder, sha256, original = sys.argv[1:]
print(fetch(url, Path(folder), sha256, 'far.pth').read_bytes() == Path(original).read_bytes())
"""


def test_two_processes_at_once(serve, tmp_path):
    data = np.random.default_rng(0).bytes(200_000)
    (tmp_path / 'original').write_bytes(data)
    handler, url = serve(data, 'far.pth')
    handler.stalled = threading.Event()
    sha = hashlib.sha256(data).hexdigest()
    command = [sys.executable, '-c', FETCH, url, str(tmp_path / 'kept'), sha, str(tmp_path / 'original')]
    one, two = (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    )
    for process in (one, two):  # whichever came second says so while the first is held up
        threading.Timer(60, process.kill).start()
    said = {}
    readers = [
        threading.Thread(target=lambda p=p: said.setdefault(p, [*iter(p.stderr.readline, '')]))
        for p in (one, two)
    ]
    for reader in readers:
        reader.start()
    while not handler.asked:
        threading.Event().wait(0.05)
    threading.Event().wait(1)
    handler.stalled.set()
    for process, reader in zip((one, two), readers, strict=True):
        process.wait(60)
        reader.join(60)
    assert [process.stdout.read().strip() for process in (one, two)] == ['True', 'True']
    assert handler.asked == [None]
    assert [p.name for p in (tmp_path / 'kept').iterdir()] == ['far.pth']
    said = ''.join(line for lines in said.values() for line in lines)
    assert said.count('another process downloads it; waiting') == 1


def test_no_address_is_known(register, detectors, image_set):
    register(
        converter='madnet', origin='somebody/something, far.pth', checkpoint=published(detectors, image_set)
    )
    entry = get_pretrained('far')
    with pytest.raises(UserError, match=r'no address of it is known; it was published as somebody/something'):
        Predictor('far')
    entry.weights.parent.mkdir(parents=True)
    entry.weights.write_bytes(published(detectors, image_set).read_bytes())
    expected = read_checkpoint(detectors['files'][1])['state_dict']
    found = read_checkpoint('far')['state_dict']
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def published(detectors, image_set):
    """The weights of the random detector under the published key names."""
    from madnet.engine.convert import convert_checkpoint

    out = image_set.parent / 'published.pth'
    if not out.exists():
        convert_checkpoint('madnet', str(detectors['files'][1]), str(out), reverse=True)
    return out


CLAIM = {'values': {'IoU': 50.0, 'Pd': 100.0, 'Fa': 3.0}, 'source': 'its authors'}
WRONG_CLAIMS = (
    (
        {'values': {'IoU': 50.0, 'fa': 3.0}},
        r"metric 'fa' is not what a test measures, expected IoU, .*Did you mean 'Fa'",
    ),
    ({'values': {'latency': 8.0}}, "metric 'latency' is not what a test measures"),
    ({'values': {'AP50': 60.0}}, "metric 'AP50' is not what a test measures"),
    # whose images are scored at one size, without what looks at details
    ({'values': {'hIoU': 60.0}, 'protocol': 'abc'}, "metric 'hIoU' is not what a test measures"),
    ({'protocol': 'nativ'}, r"unknown protocol 'nativ'\. Did you mean 'native'"),
    ({'protocol': {'base': 'native', 'resolutoin': 256}}, "protocol part 'resolutoin' does not exist"),
    ({'protocol': ['native']}, r"unknown protocol \['native'\]"),
)


def test_what_may_not_be_registered(register, folder, tmp_path):
    with pytest.raises(UserError, match=r"key 'adress' is not known.*Did you mean 'address'"):
        register(adress='x')
    with pytest.raises(UserError, match='neither an address nor a converter'):
        register()
    with pytest.raises(UserError, match=r"converter: found 'acn'.*'acm'"):
        register(converter='acn')
    with pytest.raises(UserError, match='not a checkpoint of a published ACM'):
        register(converter='acm')
    with pytest.raises(UserError, match=r"key 'far.claims\[0\].values': found 3, expected an object"):
        register(address='http://x', claims=[{'dataset': 'nuaa', 'values': 3}])
    right = {**CLAIM, 'dataset': 'nuaa'}
    for wrong, told in WRONG_CLAIMS:
        with pytest.raises(UserError, match=rf'facts\.json: claims\[1\], on nuaa: {told}'):
            register(address='http://x', claims=[right, {**right, **wrong}])
    assert [p.name for p in folder.iterdir()] == [index.INDEX]


def test_claims_are_measured(register, detectors, image_set, tmp_path):
    own = {'base': 'native', 'name': 'strict', 'prediction': 0.9}
    claims = [
        {**CLAIM, 'dataset': str(image_set), 'protocol': 'basicirstd'},
        {**CLAIM, 'dataset': str(image_set), 'protocol': own},
    ]
    file = published(detectors, image_set)
    register(converter='madnet', checkpoint=file, claims=claims, origin='somebody/something')
    found = verify_weights('far', file, out=tmp_path / 'out')
    direct = run_test(
        str(detectors['files'][0]),
        str(detectors['files'][1]),
        protocols=['basicirstd', own, 'native'],
        out=str(tmp_path / 'direct'),
    )
    assert [claim.protocol for claim in found.claims] == ['basicirstd', 'strict']
    for claim in found.claims:
        assert claim.measured == direct.results[claim.protocol]
        assert claim.native == direct.results['native']
        assert claim.claimed == {'IoU': 0.5, 'Pd': 1.0, 'Fa': pytest.approx(3e-6)}
        low, high = claim.intervals['IoU']
        assert low <= claim.measured['IoU'] <= high
    assert ClaimsFile.read(tmp_path / 'out' / 'claims.json') == found


def test_the_table_of_claims(register, detectors, image_set, tmp_path, run):
    file = published(detectors, image_set)
    register(converter='madnet', checkpoint=file, claims=[{**CLAIM, 'dataset': str(image_set)}], origin='x')
    code, out, err = run('verify', 'far', file, '--out', tmp_path / 'out')
    assert code == 0, err
    value = ClaimsFile.read(tmp_path / 'out' / 'claims.json').claims[0].measured['IoU']
    [row] = [line.split() for line in out.splitlines() if line.startswith('IoU')]
    assert row[:5] == ['IoU', '%', '50.00', f'{100 * value:.2f}', f'{100 * value - 50:+.2f}']


def test_what_cannot_be_verified(register, folder, detectors, image_set, tmp_path, run):
    file = published(detectors, image_set)
    claim = {**CLAIM, 'dataset': str(image_set)}
    register(converter='madnet', checkpoint=file, claims=[claim], origin='somebody/something')

    def refused(*arguments):
        code, out, err = run('verify', *arguments)
        assert (code, out, err.count('\n')) == (2, '', 1), err
        return err

    assert "no shipped weights 'fart'" in refused('fart')
    assert "Did you mean 'far'" in refused('fart')
    assert 'is not the' in refused('far', detectors['files'][1])
    assert 'cannot be read (No such file' in refused('far', tmp_path / 'none.pth')
    assert 'nothing is claimed on' in refused('far', file, '--dataset', 'nuaa')
    content = json.loads((folder / index.INDEX).read_text())
    content['models']['far']['claims'][0] |= WRONG_CLAIMS[0][0]  # of an earlier version, or by hand
    (folder / index.INDEX).write_text(json.dumps(content))
    assert 'far: claims[0], on ' in refused('far', file)
    register(converter='madnet', checkpoint=file, claims=[{**claim, 'dataset': 'nowhere'}], origin='x')
    assert "found 'nowhere', expected a data set" in refused('far', file)
    register(converter='madnet', checkpoint=file, origin='x')
    assert 'nothing to check' in refused('far', file)


def test_a_claim_is_checked_as_it_was_made(run):
    code, out, err = run('verify', 'madnet_nano', '--cfg-options', 'split_set=other')
    assert (code, out) == (2, '')
    assert 'unrecognized arguments: --cfg-options split_set=other' in err


def test_a_folder_for_a_hub(folder, detectors, tmp_path):
    from madnet.pretrained.writing import CARD_SECTIONS

    card = tmp_path / 'card.md'
    card.write_text('# A tiny one\n\n' + '\n\n'.join(f'## {s}\nnone' for s in CARD_SECTIONS))
    facts = {'licence': 'Apache-2.0', 'claims': [{**CLAIM, 'dataset': 'NUAA-SIRST', 'split_set': 'idx_427'}]}
    (tmp_path / 'facts.json').write_text(json.dumps(facts))
    ship_weights('tiny_one', *detectors['native'], card, facts=tmp_path / 'facts.json')
    made = save_pretrained('tiny_one', tmp_path / 'hub')
    assert sorted(p.name for p in made.iterdir()) == ['README.md', 'config.json', 'model.safetensors']
    image = scene(70, 90)
    np.testing.assert_array_equal(Predictor(made)(image).score_map, Predictor('tiny_one')(image).score_map)
    _, head, text = (made / 'README.md').read_text().split('---\n', 2)
    assert text == card.read_text()
    head = yaml.safe_load(head)
    assert (head['license'], head['library_name']) == ('apache-2.0', 'madnet')
    [result] = head['model-index'][0]['results']
    assert result['dataset'] == {'name': 'NUAA-SIRST idx_427', 'type': 'nuaa-sirst', 'split': 'test'}
    assert result['metrics'][0] == {'type': 'IoU', 'name': 'IoU (native)', 'value': 50.0}
    config = json.loads((made / 'config.json').read_text())
    assert config['model']['backbone']['type'] == 'AdaDCMEncoder'
    # the file alone, at an address, is weights of the registry again
    assert [*read_checkpoint(made / 'model.safetensors')['state_dict']]


def test_a_folder_of_a_network_of_one_s_own(detectors, tmp_path):
    made = save_pretrained(*(detectors['files'][0], tmp_path / 'hub', detectors['files'][1]))
    head = yaml.safe_load((made / 'README.md').read_text().split('---\n')[1])
    assert (head['license'], head['license_name']) == ('other', 'not stated')
    image = scene(70, 90)
    expected = Predictor(*detectors['files'])(image).score_map
    np.testing.assert_array_equal(Predictor(made)(image).score_map, expected)
    with pytest.raises(UserError, match='has no weights'):
        save_pretrained('pstnn', tmp_path / 'none')


@pytest.mark.parametrize('name', ['model.safetensors', 'config.json', 'README.md'])
def test_a_folder_for_a_hub_keeps_what_is_there_unless_told(name, run, tmp_path):
    mine = tmp_path / name
    mine.write_text('mine')
    code, _, err = run('pretrained', 'save', 'no_such_network', tmp_path)  # before a network is built
    assert (code, err) == (2, f'error: {mine}: is there already; --force replaces it.\n')
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert run('pretrained', 'save', 'madnet_nano', tmp_path, '--force')[0] == 0
    assert mine.read_bytes() != b'mine'


def test_the_package_s_own_registry_is_whole():
    for name in list_registered():
        entry = get_pretrained(name)
        assert entry.config.is_file(), name
        check_claims(entry.claims, name)
        assert (entry.about, entry.licence, entry.data) != ('', '', []), name
        if entry.ships:
            assert entry.size == entry.weights.stat().st_size
            card = entry.read_card()
            for claim in entry.claims:
                numbers = ' | '.join(f'{claim.values[k]:.2f}' for k in ('IoU', 'nIoU', 'F1', 'Pd', 'Fa'))
                row = rf'| {claim.dataset} \(\d+\) | {claim.views} | {claim.protocol} | {numbers} |'
                assert re.search(row.replace('|', r'\|').replace('.', r'\.'), card), (name, row)
