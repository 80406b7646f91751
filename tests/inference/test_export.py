"""Exported networks: every network, any size, the same scores; and what is refused."""

import json
import pickle
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import safetensors.torch
import torch
from clutter import scene
from mmengine.config import Config
from mmseg.registry import MODELS
from stirring import stirred

from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.evaluation.calibration import PLAIN, PlattScaling
from madnet.inference import OnnxPredictor, Predictor, export
from madnet.inference.command import predict_files
from madnet.models.deploy import fold

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

#: One config a network; channels and widths small where the config allows it.
NETWORKS = {
    'abc': {},
    'acm': {},
    'alcnet': {},
    'dnanet': {},
    'isnet': {},
    'madnet': {'config': 'madnet_nano'},
    'mim': {'config': 'mim_nano'},
    'mshnet': {},
    'rdian': {},
    'repisd': {},
    'sctransnet': {},
    'uiunet': {},
}
#: The others take up to ten seconds each.
QUICK = ('acm', 'madnet', 'sctransnet')
EACH = [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in NETWORKS]
#: Odd ones, one that is no longer than a window of MAD-Net's memory, and the smallest that is taken.
SIZES = ((160, 224), (131, 77), (32, 47))


@pytest.fixture
def predictor_of(repository, tmp_path):
    """A predictor of a network with stirred weights, by the stem of its config."""

    def make(network, config=None, options=None):
        path = repository / 'configs' / network / f'{config or network}.py'
        cfg = load_config(path, options, 'nuaa')
        torch.manual_seed(0)
        weights = tmp_path / 'weights.pth'
        torch.save({'state_dict': stirred(MODELS.build(cfg.model)).state_dict()}, weights)
        return Predictor(cfg, weights)

    return make


@pytest.mark.parametrize('network', EACH)
def test_every_network_gives_the_same_scores_at_any_size(network, predictor_of, tmp_path):
    predictor = predictor_of(network, **NETWORKS[network])
    export.export_network(predictor, tmp_path / 'network.onnx')
    onnx.checker.check_model(str(tmp_path / 'network.onnx'), full_check=True)
    exported = OnnxPredictor(tmp_path / 'network.onnx', threads=1)
    for number, size in enumerate(SIZES):
        image = scene(*size, seed=number)
        expected, found = predictor(image), exported(image)
        assert np.ptp(expected.score_map) > 1e-3  # or nothing would be compared
        np.testing.assert_allclose(found.score_map, expected.score_map, atol=1e-4)


@pytest.mark.parametrize('network', EACH)
def test_folding_changes_nothing_but_the_last_digits(network, predictor_of):
    predictor = predictor_of(network, **NETWORKS[network])
    image = scene(96, 131)
    expected = predictor(image).score_map
    norms = sum(isinstance(m, torch.nn.BatchNorm2d) for m in predictor.model.modules())
    fold(predictor.model)
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in predictor.model.modules()) < norms
    np.testing.assert_allclose(predictor(image).score_map, expected, atol=1e-5)


def test_a_batch_is_the_frames_one_by_one(tmp_path):
    import onnxruntime

    predictor = Predictor('madnet_nano', device='cpu')
    export.export_network(predictor, tmp_path / 'nano.onnx')
    session = onnxruntime.InferenceSession(str(tmp_path / 'nano.onnx'))
    frames = np.stack([scene(70, 90, seed=i)[None].astype(np.float32) for i in range(3)])
    scores, logits = session.run(['scores', 'logits'], {'frames': frames})
    assert scores.shape == logits.shape == (3, 1, 70, 90)
    for frame, score in zip(frames, scores, strict=True):
        np.testing.assert_allclose(score[0], predictor(frame[0].astype(np.uint8)).score_map, atol=1e-4)
    images = [scene(70, 90), scene(64, 48, seed=1), scene(70, 90, seed=2)]
    together = OnnxPredictor(tmp_path / 'nano.onnx', batch=3, threads=1)(images)
    for image, found in zip(images, together, strict=True):
        np.testing.assert_allclose(found.score_map, predictor(image).score_map, atol=1e-4)
    content = (tmp_path / 'nano.onnx').read_bytes()
    for held in (content, bytearray(content), memoryview(content)):
        found = OnnxPredictor(held, threads=1, value_range=np.array([0, 255]))(images[1])
        np.testing.assert_allclose(found.score_map, together[1].score_map, atol=1e-4)


def test_colours_are_turned_before_an_image_is_normalised_by_its_own_statistics(predictor_of, tmp_path):
    options = {
        'model.data_preprocessor': {
            'mean': [123.0, 116.0, 80.0],
            'std': [58.0, 40.0, 33.0],
            'bgr_to_rgb': True,
            'statistics': 'image',
        },
        'model.backbone.in_channels': 3,
        'replace_steps.LoadSIRSTImage.channels': 3,
    }
    predictor = predictor_of('madnet', 'madnet_nano', options)
    export.export_network(predictor, tmp_path / 'colours.onnx', frames=[])
    image = np.stack([scene(64, 75, seed) for seed in range(3)], -1)
    expected = predictor(image).score_map
    assert np.abs(predictor(np.ascontiguousarray(image[..., ::-1])).score_map - expected).max() > 1e-3
    found = OnnxPredictor(tmp_path / 'colours.onnx')(image).score_map
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_normalising_by_each_images_own_statistics_is_exported(predictor_of, tmp_path):
    predictor = predictor_of('madnet', 'madnet_nano', {'model.data_preprocessor.statistics': 'image'})
    export.export_network(predictor, tmp_path / 'image.onnx')
    image = scene(64, 75)
    dim = (image // 3 + 20).astype(np.uint8)
    np.testing.assert_allclose(
        OnnxPredictor(tmp_path / 'image.onnx')(dim).score_map, predictor(dim).score_map, atol=1e-4
    )
    refused("statistics='image'", OnnxPredictor, tmp_path / 'image.onnx', tile=32, overlap=8)


def test_a_network_that_resizes_is_exported_with_its_size(predictor_of, tmp_path):
    predictor = predictor_of('acm', 'acm_published')
    assert predictor.detector.pipeline.resizes
    export.export_network(predictor, tmp_path / 'resized.onnx', frames=[])
    exported = OnnxPredictor(tmp_path / 'resized.onnx')
    image = scene(150, 131)
    assert exported.info.size is not None
    np.testing.assert_allclose(exported(image).score_map, predictor(image).score_map, atol=1e-4)
    assert exported(image).logits is None
    image = scene(*exported.info.size)  # nothing is resized: the network's own logits hold
    for scaling in (PLAIN, PlattScaling(5.0, -0.5)):
        exported.scaling = predictor.scaling = scaling
        exported.threshold = predictor.threshold = scaling.moved(0.5)
        predictor.model.set_test_time(**scaling._asdict())
        expected, found = predictor(image), exported(image)
        np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-4, atol=1e-3)
        highest = [max(t.rank for t in prediction.targets) for prediction in (found, expected)]
        assert highest[0] == pytest.approx(highest[1], rel=1e-3)


@pytest.mark.parametrize('format', ['folded', 'torch'])
def test_one_file_holds_a_network_with_its_config(format, tmp_path):
    predictor = Predictor('madnet_nano', device='cpu')
    file = tmp_path / 'nano.safetensors'
    export.export_network(predictor, file, format)
    image = scene(100, 141)
    loaded = Predictor(file)
    assert loaded.name == 'madnet_nano'
    atol = 0 if format == 'torch' else 1e-5
    np.testing.assert_allclose(loaded(image).score_map, predictor(image).score_map, rtol=0, atol=atol)


def test_half_precision_halves_the_file_and_keeps_the_targets(tmp_path):
    predictor = Predictor('madnet_nano', device='cpu')
    image = scene(128, 160)
    for half in (False, True):
        export.export_network(predictor, tmp_path / f'{half}.onnx', half=half)
    sizes = [
        sum(len(tensor.raw_data) for tensor in onnx.load(tmp_path / f'{half}.onnx').graph.initializer)
        for half in (False, True)
    ]
    assert sizes[1] < 0.55 * sizes[0]
    scores = OnnxPredictor(tmp_path / 'True.onnx')(image).score_map
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, predictor(image).score_map, atol=2e-2)


@pytest.mark.parametrize('format', ['folded', 'torch'])
def test_what_half_precision_cannot_hold_stays_in_single(format, tmp_path):
    predictor = Predictor('madnet_nano', device='cpu')
    norm = 'decode_head.decoders.3.stem.bn.running_var'
    large, small = 'decode_head.sides.4.weight', 'decode_head.decoders.3.blocks.3.attention.expand.weight'
    state = predictor.model.state_dict()
    state[norm][0] = 1e5
    for key, factor in ((large, 1e7), (small, 1e-7)):
        state[key] *= factor
    files = [tmp_path / f'{half}.safetensors' for half in (False, True)]
    for half, file in enumerate(files):
        export.export_network(predictor, file, format, half=bool(half))
    whole, stored = map(safetensors.torch.load_file, files)
    wide = {key for key, value in stored.items() if value.dtype == torch.float32}
    assert wide >= {norm, large, small}
    assert {k for k in wide if not k.endswith(('.running_mean', '.running_var'))} == {large, small}
    assert all(torch.equal(stored[key], whole[key]) for key in wide)
    assert files[1].stat().st_size < 0.65 * files[0].stat().st_size
    image = scene(100, 141)
    np.testing.assert_allclose(Predictor(files[1])(image).score_map, predictor(image).score_map, atol=1e-2)


def test_what_a_file_says_of_itself(tmp_path):
    predictor = Predictor('madnet_nano', device='cpu', threshold=0.3, value_range=(0, 16383))
    export.export_network(predictor, tmp_path / 'nano.onnx', licence='CC0-1.0')
    exported = OnnxPredictor(tmp_path / 'nano.onnx')
    assert exported.threshold == 0.3
    assert exported.info.licence == 'CC0-1.0'
    assert exported.info.origin['sha256'] == predictor.origin['sha256']
    raw = scene(64, 64).astype(np.uint16) * 60  # a 14-bit sensor's
    np.testing.assert_allclose(exported(raw).score_map, predictor(raw).score_map, atol=1e-4)
    assert OnnxPredictor(tmp_path / 'nano.onnx', threshold=0.6, value_range=(0, 1)).threshold == 0.6


def test_an_exported_network_goes_to_another_process(tmp_path):
    export.export_network(Predictor('madnet_nano', device='cpu'), tmp_path / 'nano.onnx')
    how = {'tile': 64, 'overlap': 16, 'value_range': (0, 16383), 'fa_budget': 1e-5}
    predictor = OnnxPredictor(tmp_path / 'nano.onnx', min_area=2, **how)
    predictor.set_threads(1)
    (tmp_path / 'nano.onnx').unlink()  # which it does not read again
    copy = pickle.loads(pickle.dumps(predictor))
    assert copy._session.get_session_options().intra_op_num_threads == 1
    raw = scene(96, 80).astype(np.uint16) * 60
    expected, found = predictor(raw), copy(raw)
    np.testing.assert_array_equal(found.score_map, expected.score_map)
    for key in ('threshold', 'scaling', 'least'):
        assert getattr(copy, key) == getattr(predictor, key)
    assert found.targets == expected.targets


@pytest.mark.parametrize('format', ['folded', 'torch'])
def test_a_file_made_from_a_file_says_the_same(format, run, tmp_path):
    files = [tmp_path / f'{k}.safetensors' for k in range(2)]
    predictor = Predictor('madnet_nano', device='cpu', threshold=0.3, value_range=(0, 16383))
    export.export_network(predictor, files[0], 'torch')
    code, _, err = run('export', files[0], '--format', format, '--out', files[1])
    assert code == 0, err
    infos = [Predictor(file).detector.info for file in files]
    for key in ('threshold', 'licence', 'temperature', 'bias', 'budgets', 'value_range', 'origin'):
        assert getattr(infos[0], key) == getattr(infos[1], key)
    expected = Predictor('madnet_nano', device='cpu', fa_budget=1e-5)
    refused('threshold 0.39', Predictor, files[1], fa_budget=1e-5)  # the 0.3 of the file, calibrated
    found = Predictor(files[1], fa_budget=np.float32(1e-5), threshold=expected.threshold)
    assert (found.scaling, found.least) == (expected.scaling, expected.least)
    raw = scene(64, 64).astype(np.uint16) * 60  # a 14-bit sensor's
    np.testing.assert_allclose(Predictor(files[1])(raw).score_map, predictor(raw).score_map, atol=1e-4)
    refused('1e-05', Predictor, files[1], fa_budget=3e-5)


def test_what_calibration_says_travels_in_the_file(tmp_path, predictor_of):
    file = export.export_file('madnet_nano', out=tmp_path / 'network.onnx', value_range=(0, 255))
    image = scene(64, 96)
    assert OnnxPredictor(file).loader.value_range == (0, 255)
    for how in ({'calibrated': True}, {'fa_budget': 1e-5}):
        expected, found = Predictor('madnet_nano', device='cpu', **how), OnnxPredictor(file, **how)
        for key in ('scaling', 'threshold', 'least'):
            assert getattr(found, key) == getattr(expected, key)
        np.testing.assert_allclose(found(image).score_map, expected(image).score_map, atol=1e-5)
    assert found.least.min_rank > 0
    assert OnnxPredictor(file).info.licence != 'not stated'
    refused('1e-05', OnnxPredictor, file, fa_budget=3e-5)
    for make in (partial(Predictor, 'madnet_nano', device='cpu'), partial(OnnxPredictor, file)):
        refused('threshold 0.7: a budget', make, fa_budget=1e-5, threshold=0.7)
        assert (
            make(fa_budget=1e-5, threshold=round(found.threshold, 4)).least == found.least
        )  # as it is printed
    export.export_network(predictor_of('madnet', 'madnet_nano'), tmp_path / 'own.onnx')
    refused('madnet calibrate', OnnxPredictor, tmp_path / 'own.onnx', calibrated=True)


def test_the_runtime_needs_neither_torch_nor_mmengine(tmp_path):
    predictor = Predictor('madnet_nano', device='cpu')
    export.export_network(predictor, tmp_path / 'nano.onnx')
    np.save(tmp_path / 'scene.npy', scene(100, 120))
    code = (
        'import sys\n'
        'class Block:\n'
        '    def find_spec(self, name, *_):\n'
        '        if name.partition(".")[0] in ("torch", "mmengine", "mmcv", "mmseg", "scipy"):\n'
        '            raise ImportError(name)\n'
        'sys.meta_path.insert(0, Block())\n'
        'from madnet.runtime import Predictor\n'
        'from madnet.inference.command import predict_files\n'
        f'p = Predictor(r"{tmp_path / "nano.onnx"}", tile=64)\n'
        f'found = Predictor(r"{tmp_path / "nano.onnx"}")(r"{tmp_path / "scene.npy"}")\n'
        f'predict_files(r"{tmp_path / "nano.onnx"}", [r"{tmp_path / "scene.npy"}"], '
        f'out=r"{tmp_path / "out"}", formats="all")\n'
        'print("targets", [(round(t.x, 3), round(t.y, 3), t.area) for t in found.targets])\n'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    expected = [(round(t.x, 3), round(t.y, 3), t.area) for t in predictor(tmp_path / 'scene.npy').targets]
    assert f'targets {expected}' in result.stdout
    tables = json.loads((tmp_path / 'out/targets.json').read_text())
    assert len(tables['images'][0]['targets']) == len(expected)


def test_files_on_disk_are_what_a_network_writes(tmp_path):
    """The same masks and tables, whichever of the two predicts."""
    predictor = Predictor('madnet_nano', device='cpu')
    export.export_network(predictor, tmp_path / 'nano.onnx')
    np.save(tmp_path / 'scene.npy', scene(90, 120))
    for model in ('madnet_nano', str(tmp_path / 'nano.onnx')):
        predict_files(model, [tmp_path / 'scene.npy'], out=tmp_path / model[-4:], formats='masks,yolo')
    for file in ('masks/scene.png', 'labels/scene.txt'):
        assert (tmp_path / 'nano' / file).read_bytes() == (tmp_path / 'onnx' / file).read_bytes(), file


def refused(match, function, *args, **kwargs):
    with pytest.raises(UserError, match=match) as caught:
        function(*args, **kwargs)
    assert '\n' not in str(caught.value)


def test_what_is_no_export_is_refused(tmp_path):
    refused('No such file', OnnxPredictor, tmp_path / 'none.onnx')
    (tmp_path / 'text.onnx').write_text('<html>')
    refused('not a network that ONNX Runtime can run', OnnxPredictor, tmp_path / 'text.onnx')
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node('Relu', ['x'], ['y'])
    graph = onnx.helper.make_graph([node], 'g', [value('x', 1, [1])], [value('y', 1, [1])])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, tmp_path / 'foreign.onnx')
    refused('not a file that madnet export wrote', OnnxPredictor, tmp_path / 'foreign.onnx')


def test_a_model_cannot_name_other_files(tmp_path):
    export.export_network(Predictor('madnet_nano', device='cpu'), tmp_path / 'nano.onnx')
    model = onnx.load(tmp_path / 'nano.onnx')
    onnx.external_data_helper.convert_model_to_external_data(model, location='secret.bin', size_threshold=0)
    onnx.save(model, tmp_path / 'outside.onnx')
    refused('not a network that ONNX Runtime can run', OnnxPredictor, tmp_path / 'outside.onnx')


def test_a_damaged_file_is_refused(tmp_path):
    export.export_network(Predictor('madnet_nano', device='cpu'), tmp_path / 'nano.safetensors', 'folded')
    content = (tmp_path / 'nano.safetensors').read_bytes()
    refused('takes no checkpoint; leave b.pth out', Predictor, tmp_path / 'nano.safetensors', 'b.pth')
    (tmp_path / 'short.safetensors').write_bytes(content[:-100])
    refused('damaged', Predictor, tmp_path / 'short.safetensors')


def test_frames_that_a_network_does_not_take(tmp_path, predictor_of):
    export.export_network(predictor_of('abc'), tmp_path / 'abc.onnx')
    exported = OnnxPredictor(tmp_path / 'abc.onnx')
    refused('sides of 32 to 256', exported, scene(300, 200))
    refused('sides of 32 to 256', exported, scene(20, 200))
    assert OnnxPredictor(tmp_path / 'abc.onnx', tile=128)(scene(300, 200)).score_map.shape == (300, 200)


def test_what_cannot_be_exported_is_refused(tmp_path):
    refused(
        'a classical detector needs no export', export.export_network, Predictor('tophat'), tmp_path / 'x'
    )


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (
            {'mode': 'slide', 'crop_size': (512, 512), 'stride': (384, 384)},
            "tests by tiles .*'slide'.*--tile",
        ),
        ({'temperature': 2.0}, 'temperature is 2; leave it at 1'),
        ({'bias': 0.5}, 'bias is 0.5; leave it at 0'),
    ],
)
def test_what_an_export_does_not_do_is_refused(tmp_path, options, words):
    predictor = Predictor('madnet_nano', device='cpu')
    predictor.model.test_cfg.update(options)
    refused(words, export.export_network, predictor, tmp_path / 'x.onnx')
    assert not (tmp_path / 'x.onnx').exists()


def test_a_form_that_differs_is_not_written(tmp_path, monkeypatch):
    predictor = Predictor('madnet_nano', device='cpu')
    monkeypatch.setitem(export.TOLERANCE, 'float32', 0.0)
    refused('nothing written', export.export_network, predictor, tmp_path / 'nano.onnx')
    assert not (tmp_path / 'nano.onnx').exists()


def test_a_tie_at_the_threshold_is_no_difference(tmp_path, monkeypatch):
    """Which of two scores is above the threshold where they differ in the last digit is chance."""
    image = scene(70, 90)
    export.export_network(Predictor('madnet_nano', device='cpu'), tmp_path / 'nano.safetensors', 'folded')
    scores = np.stack([Predictor(m)(image).score_map for m in ('madnet_nano', tmp_path / 'nano.safetensors')])
    pixel = np.unravel_index(np.ptp(scores, axis=0).argmax(), (70, 90))
    predictor = Predictor('madnet_nano', device='cpu', threshold=float(scores[:, pixel[0], pixel[1]].min()))
    monkeypatch.setattr(export, '_scenes', lambda _: [image])
    (difference,) = export.export_network(predictor, tmp_path / 'tie.safetensors', 'folded')
    assert 0 < difference.score < 1e-5
    assert difference.differing >= 1
    assert 'at the threshold differ' in export.report([difference])
    assert Predictor(tmp_path / 'tie.safetensors').threshold == predictor.threshold


def test_the_tool(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run('export', 'madnet_nano', '--out', tmp_path / 'nano.onnx')
    assert code == 0
    assert re.search(r'321 +418 +\d\.\de-\d\d +\d+ +the same', out)
    code, _, error = run('export', 'madnet_nano', '--out', tmp_path / 'nano.onnx')
    assert (code, error.count('\n')) == (2, 1)
    assert '--force replaces it' in error
    np.save(tmp_path / 'scene.npy', scene(40, 50))
    code, _, error = run('predict', tmp_path / 'nano.onnx', tmp_path / 'scene.npy', '--views', '4')
    assert code == 2
    assert 'takes no --views' in error
    code, _, error = run('export', 'madnet_nano', '--out', tmp_path / 'nano.pt')
    assert (code, error.count('\n')) == (2, 1)


def test_mmsegs_segmentors_are_not_exported(tmp_path):
    cfg = Config(
        {
            'model': {
                'type': 'EncoderDecoder',
                'backbone': {'type': 'UNet', 'in_channels': 1, 'base_channels': 4},
                'decode_head': {
                    'type': 'FCNHead',
                    'in_channels': 64,
                    'in_index': 0,
                    'channels': 4,
                    'num_classes': 2,
                },
                'test_cfg': {'mode': 'whole'},
            },
            'test_pipeline': [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'PackSIRSTInputs'}],
        }
    )
    with MODELS.switch_scope_and_registry('mmseg'):
        torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, tmp_path / 'unet.pth')
    refused('expected a network of madnet', export.export_network, Predictor(cfg, tmp_path / 'unet.pth'), 'x')
