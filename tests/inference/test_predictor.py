"""A prediction is what madnet test scores, from every kind of input."""

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from clutter import scene
from mmengine.config import Config
from mmseg.registry import DATASETS

from madnet.engine.config import load_config
from madnet.engine.hooks import SaveScoresHook
from madnet.engine.test import run_test
from madnet.errors import UserError
from madnet.evaluation.strata import local_scr
from madnet.evaluation.targets import Least
from madnet.inference import Prediction, Predictor, command
from madnet.inference.command import predict_files
from madnet.inference.inputs import Frame
from madnet.text import counted

MMSEG = """
norm_cfg = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    pretrained='open-mmlab://not_to_be_fetched',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[100.0] * 3, std=[50.0] * 3, bgr_to_rgb=True, size_divisor=32),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, norm_cfg=norm_cfg),
    decode_head=dict(
        type='FCNHead', in_channels=64, in_index=3, channels=8, num_convs=1, concat_input=False,
        num_classes=2, {out} norm_cfg=norm_cfg),
    test_cfg=dict(mode='whole'))
test_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='Resize', scale=(96, 64), keep_ratio=False),
    dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
test_dataloader = dict(dataset=dict(type='BaseSegDataset', pipeline=test_pipeline))
"""


@pytest.fixture
def tested_scores(monkeypatch):
    """Score maps in float32 that pass madnet test's way: name → (H, W)."""
    kept = {}

    def keep(self, runner, batch_idx, data_batch=None, outputs=None):
        for sample in outputs:
            kept[sample.img_id] = sample.seg_logits.data[0].numpy().copy()

    monkeypatch.setattr(SaveScoresHook, 'after_test_iter', keep)
    return kept


@pytest.mark.parametrize('kind', ['files', 'published'])
def test_files_give_what_is_tested_bit_for_bit(kind, detectors, image_set, tested_scores, tmp_path):
    config, checkpoint = detectors[kind]
    run_test(str(config), str(checkpoint), out=str(tmp_path), save_scores=True)
    predictions = Predictor(config, checkpoint)(image_set / 'test' / 'images')
    assert [p.name for p in predictions] == ['test0', 'test1', 'test2']
    for p in predictions:
        assert p.score_map.dtype == np.float32
        assert p.score_map.std() > 0
        np.testing.assert_array_equal(p.score_map, tested_scores[p.name])
        np.testing.assert_array_equal(p.mask, tested_scores[p.name] > 0.5)


def test_eight_views_as_they_are_tested(detectors, image_set, tested_scores, tmp_path):
    config, checkpoint = detectors['files']
    # weights that a training would start from have no part in a test
    options = ['load_from=nowhere.pth']
    report = run_test(
        str(config), str(checkpoint), out=str(tmp_path), save_scores=True, views=8, options=options
    )
    assert report.views == 8
    predictions = Predictor(config, checkpoint, views=8)(image_set / 'test' / 'images')
    alone = Predictor(config, checkpoint)(image_set / 'test' / 'images')
    for p, one in zip(predictions, alone, strict=True):
        np.testing.assert_array_equal(p.score_map, tested_scores[p.name])
        assert not np.array_equal(p.score_map, one.score_map)


def test_scales_as_they_are_tested(detectors, image_set, tested_scores, tmp_path):
    config, checkpoint = detectors['native']
    kwargs = {'scales': [1, 0.7], 'merge': 'max'}
    report = run_test(str(config), str(checkpoint), out=str(tmp_path), save_scores=True, **kwargs)
    assert (report.views, report.scales, report.merge) == (1, [1, 0.7], 'max')
    dataset = DATASETS.build(load_config(config).test_dataloader.dataset)
    scaled, alone = Predictor(config, checkpoint, **kwargs), Predictor(config, checkpoint)
    for i, name in enumerate(dataset.image_ids):
        image, _ = dataset.read_sample(i)
        found, one = scaled(image).score_map, alone(image).score_map
        np.testing.assert_array_equal(found, tested_scores[name])
        assert (found >= one).all()
        assert (found > one).any()


def test_views_of_what_averages_none(repository):
    with pytest.raises(UserError, match='only networks of this package'):
        Predictor('tophat', views=4)
    with pytest.raises(UserError, match=r'scales: found \[0.5\], but only networks'):
        Predictor('tophat', scales=[0.5])
    with pytest.raises(UserError, match='Leave the option out'):
        run_test(str(repository / 'configs/classical/classical.py'), views=4)
    with pytest.raises(UserError, match='--merge max'):
        run_test(str(repository / 'configs/classical/classical.py'), merge='max')


def test_a_pipeline_without_a_loader_gives_what_is_tested(detectors, tested_scores, tmp_path):
    config, checkpoint = detectors['native']
    run_test(str(config), str(checkpoint), out=str(tmp_path), save_scores=True)
    dataset = DATASETS.build(load_config(config).test_dataloader.dataset)
    predictor = Predictor(config, checkpoint)
    for i, name in enumerate(dataset.image_ids):
        image, _ = dataset.read_sample(i)
        np.testing.assert_array_equal(predictor(image).score_map, tested_scores[name])


def test_published_configs_know_their_base_size(repository):
    from madnet.datasets.image_pipeline import ImagePipeline

    for name, size in (('madnet_nuaa', 512), ('madnet_nudt', 256)):
        pipeline = ImagePipeline.from_config(load_config(repository / 'configs' / f'{name}.py'))
        assert pipeline(scene(50, 70))['inputs'].shape == (3, size, size)


@pytest.mark.parametrize('out', ['out_channels=1, threshold=0.3,', ''])
def test_mmseg_segmentors(out, tmp_path):
    from mmseg.apis import inference_model, init_model

    config = tmp_path / 'foreign.py'
    config.write_text(MMSEG.format(out=out))
    torch.manual_seed(0)
    cfg = Config.fromfile(config)
    cfg.model.pretrained = None
    reference = init_model(cfg, None, 'cpu')
    checkpoint = tmp_path / 'foreign.pth'
    torch.save(reference.state_dict(), checkpoint)
    image = np.repeat(scene(50, 75)[..., None], 3, axis=2)
    image[..., 0] //= 2
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), image)
    expected = inference_model(reference, str(path)).seg_logits.data
    if not out:
        expected = torch.softmax(expected, 0)[1:]
    predictor = Predictor(config, checkpoint)
    tolerance = {} if out else {'atol': 1e-6}
    for source in (path, image):
        np.testing.assert_allclose(predictor(source).score_map, expected[0].numpy(), rtol=0, **tolerance)


def test_mmsegs_configs_in_a_process_that_has_set_no_scope(tmp_path):
    config = tmp_path / 'foreign.py'
    config.write_text(MMSEG.format(out=''))
    cv2.imwrite(str(tmp_path / 'image.png'), np.repeat(scene(50, 75)[..., None], 3, axis=2))
    text = (
        'import torch\nfrom mmengine.config import Config\nfrom mmseg.registry import MODELS\n'
        'from madnet.inference import Predictor\n'
        'cfg = Config.fromfile("foreign.py")\ncfg.model.pretrained = None\n'
        'with MODELS.switch_scope_and_registry("mmseg"):\n'
        '    torch.save(MODELS.build(cfg.model).state_dict(), "foreign.pth")\n'
        'print(Predictor("foreign.py", "foreign.pth")("image.png").score_map.shape)\n'
    )
    done = subprocess.run([sys.executable, '-c', text], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == '(50, 75)', done.stderr


def test_contrast_in_colours_is_that_of_evaluation(tmp_path):
    grey = np.random.default_rng(0).normal(90, 6, (64, 64)).clip(0, 255).astype(np.uint8)
    grey[30:33, 40:43] = 230
    image = np.dstack([grey // 3, grey, 255 - grey // 2])
    cv2.imwrite(str(tmp_path / 'x.png'), image)
    prediction = Predictor('tophat')(tmp_path / 'x.png')
    assert len(prediction.targets) > 0
    expected = local_scr(image, prediction.components, alone=True)
    np.testing.assert_allclose([t.scr for t in prediction.targets], expected, rtol=1e-5)


def test_an_image_too_small_for_the_network_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / 'small.png'), np.full((4, 5), 90, np.uint8))
    with pytest.raises(UserError, match=r'small\.png: AdaDCMEncoder got an image of 4×5 pixels'):
        Predictor('madnet_nano')(tmp_path / 'small.png')


def test_small_components_are_left_out(tmp_path, capsys):
    score = np.zeros((64, 64), np.float32)
    score[20:23, 20:23] = score[40, 40:42] = score[55, 20] = 0.9
    prediction = Prediction('x', score, 0.5, least=Least(3))
    assert [t.area for t in prediction.targets] == [9]
    assert (prediction.mask.sum(), prediction.too_small) == (9, 2)
    assert [t.area for t in Prediction('x', score, 0.5, least=Least(2)).targets] == [9, 2]
    assert Prediction('x', score, 0.5).too_small == 0
    with pytest.raises(UserError, match='min_area: found 0, expected 1 pixel or more'):
        Predictor('tophat', min_area=0)

    cv2.imwrite(str(tmp_path / 'image.png'), np.uint8(60 + 150 * score))
    found = {}
    for area in (1, 3):
        options = {'out': tmp_path / str(area), 'formats': 'masks,json', 'min_area': area, 'threshold': 0.1}
        (found[area],) = predict_files('tophat', [tmp_path / 'image.png'], **options)
    areas = [t['area'] for t in found[1]['targets']]
    assert [t['area'] for t in found[3]['targets']] == [a for a in areas if a >= 3] != areas
    assert found[3]['too_small'] == sum(a < 3 for a in areas)
    left_out = counted(found[3]['too_small'], 'component')
    assert f'\n{left_out} above the threshold left out by --min-area\n' in capsys.readouterr().out
    mask = cv2.imread(str(tmp_path / '3/masks/image.png'), 0)
    assert (mask > 0).sum() == sum(a for a in areas if a >= 3)


def test_kinds_of_input(detectors, image_set):
    predictor = Predictor(*detectors['files'])
    folder = image_set / 'test' / 'images'
    path = folder / 'test0.png'
    expected = predictor(path).score_map
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    colour = np.repeat(grey[..., None], 3, axis=2)

    single = predictor(str(path))
    assert isinstance(single, Prediction)
    assert single.path == path
    for image in (grey, grey[..., None], colour, grey.astype(np.float64), grey[:, ::-1].copy()[:, ::-1]):
        np.testing.assert_array_equal(predictor(image).score_map, expected)
    # 257 · 255 = 65535: the 16-bit scale of the same image, to float32's rounding
    np.testing.assert_allclose(predictor(grey.astype(np.uint16) * 257).score_map, expected, atol=1e-4)

    several = predictor([path, grey, folder])
    assert [p.name for p in several] == ['test0', 'image_1', 'test0', 'test1', 'test2']
    frames = (frame for frame in [grey, grey])
    assert len(list(predictor.stream(frames))) == 2
    assert predictor([]) == []


def test_value_range(detectors, image_set, tmp_path):
    grey = cv2.imread(str(image_set / 'test' / 'images' / 'test0.png'), cv2.IMREAD_GRAYSCALE)
    expected = Predictor(*detectors['files'])(grey).score_map
    unit = Predictor(*detectors['files'], value_range=(0, 1))
    np.testing.assert_allclose(unit(grey / 255).score_map, expected, atol=1e-4)
    counts = grey.astype(np.uint16) * 10 + 20000
    cv2.imwrite(str(tmp_path / 'counts.png'), counts)
    sensor = Predictor(*detectors['files'], value_range=(20000, 22550))
    for source in (counts, tmp_path / 'counts.png'):
        np.testing.assert_allclose(sensor(source).score_map, expected, atol=1e-4)


def test_a_range_is_measured_for_each_folder_and_each_array(tmp_path):
    frames = {}
    for name, level in (('a', 1000), ('b', 20000)):
        (tmp_path / name).mkdir()
        for k in range(2):
            frames[name, k] = level + np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * (k + 1)
            cv2.imwrite(str(tmp_path / name / f'{k}.png'), frames[name, k])

    def seen(found):
        return [p.image.mean() for p in found]

    predictor = Predictor('tophat', value_range='auto')
    a, b = (seen(predictor(tmp_path / name)) for name in 'ab')
    np.testing.assert_allclose(a, [64, 127], atol=1)
    np.testing.assert_allclose(a, b, atol=1)
    for source in ([tmp_path / 'a', tmp_path / 'b', frames['a', 0], tmp_path / 'b'], [frames['b', 0]]):
        expected = [*a, *b, 127.5, *b] if len(source) > 1 else [127.5]
        for found in (predictor(source), predictor.stream(iter(source))):
            np.testing.assert_allclose(seen(found), expected, atol=1)
    side_by_side = zip(*(predictor.stream(tmp_path / name) for name in 'ab'), strict=True)
    for found, expected in zip(zip(*side_by_side, strict=True), (a, b), strict=True):
        np.testing.assert_allclose(seen(found), expected, atol=1)


def test_targets_against_a_plain_reading():
    scores = np.full((20, 30), 0.1, np.float32)
    scores[2:4, 5:9] = 0.75
    scores[3, 8] = 1.0
    scores[4, 9] = 0.75  # touches by a corner
    scores[15, 0] = 0.5  # not above the threshold
    scores[19, 29] = 0.625
    first, last = Prediction('a', scores, 0.5).targets
    assert (first.area, first.box) == (9, (5, 2, 10, 5))
    assert first.centroid == pytest.approx(((5 + 6 + 7 + 8) * 2 / 9 + 9 / 9, (2 * 4 + 3 * 4 + 4) / 9))
    assert (first.peak, first.mean) == (1.0, pytest.approx((8 * 0.75 + 1) / 9))
    known = last.to_dict()
    assert known.pop('logit') == known.pop('mean_logit') == pytest.approx(np.log(0.625 / 0.375))
    assert np.isnan([known.pop('scr'), known.pop('rank')]).all()  # there is no image
    assert known == {
        'x': 29.0, 'y': 19.0, 'area': 1, 'box': [29, 19, 30, 20], 'peak': 0.625, 'mean': 0.625
    }  # fmt: skip
    assert Prediction('b', scores * 0, 0.5).targets == ()


def test_threshold_and_fold(detectors, image_set):
    path = image_set / 'test' / 'images' / 'test0.png'
    plain = Predictor(*detectors['files'])(path)
    level = float(np.median(plain.score_map))
    assert Predictor(*detectors['files'], threshold=level)(path).mask.sum() == (plain.score_map > level).sum()
    folded = Predictor(*detectors['files'], fold=True)
    assert len(folded.model.state_dict()) < len(Predictor(*detectors['files']).model.state_dict())
    np.testing.assert_allclose(folded(path).score_map, plain.score_map, atol=1e-4)


def test_a_checkpoint_may_stand_before_the_images(detectors, image_set, tmp_path, run):
    config, checkpoint = detectors['files']
    image = image_set / 'test' / 'images' / 'test0.png'
    code, _, err = run('predict', config, checkpoint, image, '--out', tmp_path, '--format', 'json')
    assert code == 0, err
    about = json.loads((tmp_path / 'targets.json').read_text())
    assert str(checkpoint) in json.dumps(about)
    assert len(about['images']) == 1
    for model in ('tophat', 'madnet_nano.onnx', 'madnet_nano'):  # none, within, of another width
        code, _, err = run('predict', model, checkpoint, image, '--out', tmp_path / 'none')
        assert code == 2
        assert 'checkpoint' in err.splitlines()[-1]
    assert 'expected an image file or a folder' in run('predict', config, checkpoint)[2]
    code, _, err = run(
        'predict', 'madnet_nano_joint', 'madnet_nano', image, '--out', tmp_path, '--format', 'json'
    )
    assert code == 0, err
    assert json.loads((tmp_path / 'targets.json').read_text())['detector']['checkpoint'] == 'madnet_nano'


def test_a_training_stands_for_its_config_and_weights(detectors, image_set, tmp_path):
    image = image_set / 'test' / 'images' / 'test0.png'
    shutil.copy(detectors['files'][0], tmp_path / 'net.py')
    shutil.copy(detectors['files'][1], tmp_path / 'best.pth')
    expected = Predictor(*detectors['files'])(image).score_map
    for training in (tmp_path, tmp_path / 'best.pth'):
        predictor = Predictor(training)
        assert predictor.made_from == (str(tmp_path / 'net.py'), str(tmp_path / 'best.pth'))
        np.testing.assert_array_equal(predictor(image).score_map, expected)


def test_a_folder_with_results_is_told_of(detectors, image_set, tmp_path, caplog):
    for number in range(2):
        images = [image_set / 'test' / 'images' / f'test{number}.png']
        with pytest.raises(UserError, match='no detector of this name'):
            predict_files('tophatt', images, out=tmp_path)
        assert not caplog.text  # nothing is replaced where an error comes first
        predict_files('tophat', images, out=tmp_path, formats='csv')
        assert ('results of an earlier run (targets.csv)' in caplog.text) == bool(number)


def test_what_is_no_result_is_not_written_over(image_set, tmp_path):
    data = shutil.copytree(image_set / 'test', tmp_path / 'data')
    shutil.copytree(data / 'images', data / 'scores')
    before = {file: file.read_bytes() for file in data.rglob('*.png')}
    with pytest.raises(UserError, match='masks: holds files'):
        predict_files('tophat', [data / 'scores'], out=data, formats='masks')
    predict_files('tophat', [data / 'images'], out=data, formats='csv,npy')  # which says nothing of masks
    with pytest.raises(UserError, match='masks: holds files'):
        predict_files('tophat', [data / 'images'], out=data, formats='masks')
    with pytest.raises(UserError, match='is to be predicted, and would be written over'):
        predict_files('tophat', [data / 'scores'], out=data, formats='scores')
    assert before == {file: file.read_bytes() for file in data.rglob('*.png')}
    (tmp_path / 'out/masks').mkdir(parents=True)
    (tmp_path / 'out/masks/other.png').touch()  # the first run is refused, not the second
    with pytest.raises(UserError, match='masks: holds files'):
        predict_files('tophat', [data / 'images'], out=tmp_path / 'out', formats='masks')
    (data / '.madnet').unlink()  # as versions that wrote none left it
    predict_files('tophat', [data / 'images'], out=data, formats='masks')


def test_the_same_again_is_no_other_data(image_set, tmp_path, monkeypatch):
    images = [image_set / 'test' / 'images']

    def is_killed(make, predictor, writing, jobs, threads, out, kinds, work):
        (out / 'masks').mkdir()
        (out / 'masks' / 'test0.png').touch()
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(command, 'predict_all', is_killed)
        with pytest.raises(MemoryError):
            predict_files('tophat', images, out=tmp_path, formats='masks')
    for formats in ('masks', 'npy', 'npy,masks'):
        predict_files('tophat', images, out=tmp_path, formats=formats)
    assert (tmp_path / 'masks' / 'test0.png').stat().st_size


def test_names_are_refused_before_torch_is_imported(image_set):
    image = str(image_set / 'test' / 'images' / 'test0.png')
    code = (
        'import sys\n'
        'from madnet.cli import main\n'
        f"ask = [['madnet_nanno', {image!r}], ['tophat', {image!r}, '--fa-budget', '1e-5']]\n"
        "codes = [main(['predict', *words]) for words in ask]\n"
        "assert codes == [2, 2] and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Did you mean 'madnet_nano'" in done.stderr


def test_layout_of_memory():
    """Channels-last where that is quicker: on a CPU."""

    def layouts(device, **how):
        weights = [
            p for p in Predictor('madnet_nano', device=device, **how).model.parameters() if p.dim() == 4
        ]
        wide = [w for w in weights if min(w.shape[:2]) > 1 and w.shape[2] > 1]
        return {w.is_contiguous() for w in wide}, {
            w.is_contiguous(memory_format=torch.channels_last) for w in wide
        }

    for how in ({}, {'fold': True}):
        assert layouts('cpu', **how) == ({False}, {True})
        assert layouts('meta', **how) == ({True}, {False})


@pytest.mark.parametrize(
    ('image', 'words'),
    [
        (np.zeros((8, 8, 4), np.uint8), 'shape (8, 8, 4)'),
        (np.zeros((0, 8), np.uint8), 'shape (0, 8)'),
        (np.zeros((8, 8), np.int32), 'int32 values'),
        (np.full((8, 8), 0.5), 'value_range'),
        (np.full((8, 8), 4000.0), 'value_range'),
        (np.full((8, 8), np.nan), 'NaN'),
        (7, 'expected a path'),
        ('no/such.png', 'no such file'),
    ],
)
def test_what_is_no_image(detectors, image, words):
    with pytest.raises(UserError) as e:
        Predictor(*detectors['files'])(image)
    assert words in str(e.value)


def test_wrong_detectors(detectors, tmp_path, image_set):
    config, checkpoint = detectors['files']
    image = image_set / 'test' / 'images' / 'test0.png'
    for name in ('nano.onnx', 'notes.txt', 'bare'):
        (tmp_path / name).touch()
    for arguments, words in (
        ((tmp_path / 'nano.onnx',), 'nano.onnx: an exported network, which madnet.runtime.Predictor'),
        ((tmp_path / 'notes.txt',), 'found a file with .txt, expected a detector. Shipped'),
        ((tmp_path / 'bare',), 'found a file with no ending, expected a detector. Shipped'),
        ((config,), 'needs trained weights'),
        (('madnet_nanno',), 'no detector of this name'),
        ((str(config).replace('files.py', 'flies.py'), checkpoint), 'files.py'),
        ((image,), 'found an image'),
        ((config, detectors['published'][1]), 'another architecture'),
        ((config, checkpoint, 'cuda:99'), 'device'),
    ):
        with pytest.raises(UserError) as e:
            Predictor(*arguments)
        assert words in str(e.value)
    for options, words in (
        ({'threshold': 2}, 'threshold'),
        ({'overlap': 8}, 'without a tile'),
        ({'tile': 32, 'overlap': 32}, 'tile 32'),
        ({'value_range': (1, 1)}, 'low < high'),
    ):
        with pytest.raises(UserError) as e:
            Predictor(config, checkpoint, **options)
        assert words in str(e.value)


def test_scores_that_are_nan_are_refused(detectors, image_set, tmp_path):
    config, checkpoint = detectors['files']
    broken = torch.load(checkpoint)
    key = next(k for k in broken['state_dict'] if k.endswith('weight'))
    broken['state_dict'][key][:] = float('nan')
    torch.save(broken, tmp_path / 'nan.pth')
    with pytest.raises(UserError, match='NaN'):
        Predictor(config, tmp_path / 'nan.pth')(image_set / 'test' / 'images' / 'test0.png')


def test_images_in_batches_are_those_one_by_one(tmp_path):
    """Also of several sizes, and with one among them that cannot be read."""
    paths = [tmp_path / f'{n}.png' for n in range(5)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), scene(40 + 8 * (number // 2), 56, seed=number))
    paths[3].write_text('no image')
    alone = Predictor('madnet_nano', device='cpu')
    for together in (False, True):
        several = Predictor('madnet_nano', device='cpu', batch=3)
        several.model.test_cfg.together = together  # as on a GPU
        found = list(several.attempts(map(Frame, paths), ahead=2))
        assert isinstance(found.pop(3), UserError)
        for prediction, path in zip(found, [p for p in paths if p is not paths[3]], strict=True):
            expected = alone(path)
            assert prediction.name == expected.name
            np.testing.assert_allclose(prediction.score_map, expected.score_map, atol=together * 1e-5)


def test_a_stream_takes_no_frame_before_the_last_is_predicted():
    taken = []

    def camera():
        for number in range(3):
            taken.append(number)
            yield scene(40, 40, seed=number)

    for number, prediction in enumerate(Predictor('tophat').stream(camera())):
        assert taken == list(range(number + 1))
        assert prediction.name == f'image_{number}'


@pytest.mark.parametrize('option', ['amp', 'fold'])
def test_what_only_networks_can_do_is_refused_for_others(tmp_path, option):
    (tmp_path / 'a.png').touch()
    with pytest.raises(UserError, match=f'{option}: tophat is no network'):
        predict_files('tophat', [tmp_path / 'a.png'], out=tmp_path / 'out', **{option: True})


def test_half_precision_is_near_and_its_difference_is_told(detectors, image_set, tmp_path, capsys):
    config, checkpoint = detectors['files']
    folder = image_set / 'test' / 'images'
    full, half = (Predictor(config, checkpoint, device='cpu', amp=amp)(folder) for amp in (False, True))
    differences = [np.abs(a.score_map - b.score_map).max() for a, b in zip(full, half, strict=True)]
    assert 0 < max(differences) < 0.1
    predict_files(str(config), [folder], str(checkpoint), out=tmp_path, formats='csv', device='cpu', amp=True)
    assert f'the first 3 images by up to {max(differences):.2g}, and ' in capsys.readouterr().out
