"""Parts that users bring: modules beside a config, channels that do not fit, losses that are not finite."""

import shutil
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import DATASETS, MODELS, TRANSFORMS

from madnet.datasets import SIRSTDataset
from madnet.datasets.image_pipeline import ImagePipeline, channels_of
from madnet.datasets.seen import part_of_config
from madnet.datasets.transforms import LoadSIRSTImage
from madnet.datasets.wrappers import is_kind
from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.experiments.plan import read_settings
from madnet.images import read_image
from madnet.models.losses.probe import check_losses
from madnet.models.segmentors import IRSTDPreProcessor

MODULE = """
from mmseg.registry import MODELS
from torch import nn

@MODELS.register_module(force=True)
class Stages{0}(nn.Module):
    pyramid_channels = (2, 4, 8, 16)

    def __init__(self, in_channels=1):
        super().__init__()
        widths = (in_channels, *self.pyramid_channels)
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(widths, widths[1:]))

    def forward(self, x):
        maps = []
        for stage in self.stages:
            maps.append(x := stage(x))
        return maps

@MODELS.register_module(force=True)
class NotFinite{0}(nn.Module):
    loss_name = 'loss_nothing'

    def forward(self, logits, target, *args, **kwargs):
        return logits.sum() * float('nan')
"""
CONFIG = """
_base_ = 'madnet_synthetic'
custom_imports = dict(imports=['{0}'])
model = dict(backbone=dict(_delete_=True, type='Stages{0}'), {1})
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Name of a module, and a function that writes a config beside it."""
    monkeypatch.setattr(sys, 'path', [*sys.path])
    name = f'of_{tmp_path.name}'
    (tmp_path / f'{name}.py').write_text(MODULE.format(name))

    def write(rest='', module=name):
        path = tmp_path / 'mine.py'
        path.write_text(CONFIG.format(module, rest))
        return path

    return name, write


def test_a_module_beside_the_config(own, tmp_path):
    name, write = own
    model = MODELS.build(load_config(write()).model)
    assert type(model.backbone).__module__ == name
    assert str(tmp_path) in sys.path, 'processes that load images import it again'


def test_nothing_stays_on_the_path_without_need(own, tmp_path, repository):
    (tmp_path / 'plain.py').write_text("_base_ = 'madnet_synthetic'\n")
    load_config(tmp_path / 'plain.py')
    assert str(tmp_path) not in sys.path


def test_a_module_that_is_not_there(own, tmp_path):
    with pytest.raises(UserError, match=r'mine\.py: custom_imports: .*nowhere_to_be_found.*beside'):
        load_config(own[1](module='nowhere_to_be_found'))
    assert str(tmp_path) not in sys.path


def test_another_module_of_the_same_name_is_not_taken(own, tmp_path, monkeypatch):
    name, write = own
    load_config(write())
    load_config(write())
    mine, second = tmp_path / f'{name}.py', tmp_path / 'second'
    second.mkdir()
    for place in (second / 'mine.py', tmp_path / 'away' / 'mine.py'):
        place.parent.mkdir(exist_ok=True)
        place.write_text(CONFIG.format(name, ''))
    (second / f'{name}.py').write_text(f'{MODULE.format(name)}# another')
    expected = rf'{name}: found {mine}, expected {second / name}\.py; .* another name'
    with pytest.raises(UserError, match=rf'mine\.py: custom_imports: {expected}'):
        load_config(second / 'mine.py')
    load_config(tmp_path / 'away' / 'mine.py')
    monkeypatch.chdir(second)
    with pytest.raises(UserError, match=expected):
        load_config(tmp_path / 'away' / 'mine.py')


@pytest.fixture
def saved(own, tmp_path, monkeypatch):
    """Name of a module, and the config that a run saved of exp1/mine.py, where another module of that name
    lies in the current folder."""
    name, write = own
    (tmp_path / 'exp1').mkdir()
    for file in (f'{name}.py', write().name):
        (tmp_path / file).rename(tmp_path / 'exp1' / file)
    (tmp_path / f'{name}.py').write_text('raise SystemExit("the wrong one")')
    monkeypatch.chdir(tmp_path)
    cfg = load_config('exp1/mine.py')
    run = tmp_path / cfg.work_dir / 'mine.py'
    run.parent.mkdir(parents=True)
    cfg.dump(run)
    yield name, run
    sys.modules.pop(name, None)


def _leave(name, monkeypatch):
    """As another process, which has not imported the module."""
    del sys.modules[name]
    monkeypatch.setattr(sys, 'path', [p for p in sys.path if not p.endswith('exp1')])


@pytest.mark.parametrize('another_process', [True, False])
def test_a_saved_config_takes_the_module_that_its_run_took(saved, tmp_path, monkeypatch, another_process):
    name, run = saved
    if another_process:
        _leave(name, monkeypatch)
    cfg = load_config(run)
    assert sys.modules[name].__file__ == str(tmp_path / 'exp1' / f'{name}.py')
    assert cfg.to_dict() == load_config('exp1/mine.py').to_dict()
    assert read_settings(run, {}).keys().isdisjoint({'work_dir', 'module_folders'})


def test_a_saved_config_whose_folder_is_gone_says_what_it_takes(saved, tmp_path, monkeypatch, caplog):
    name, run = saved
    _leave(name, monkeypatch)
    (tmp_path / 'exp1' / f'{name}.py').rename(tmp_path / f'{name}.py')
    assert load_config(run).module_folders == [str(tmp_path)]
    assert f'{tmp_path / name}.py is taken, as {tmp_path / "exp1"} has none' in caplog.text
    _leave(name, monkeypatch)
    (tmp_path / f'{name}.py').unlink()
    with pytest.raises(
        UserError,
        match=rf'Failed to import {name}: No module named .{name}.; looked in {tmp_path / "exp1"}, .* beside',
    ):
        load_config(run)


def test_what_a_module_of_ones_own_lacks_is_named(own):
    name, write = own
    path = write()
    path.with_name(f'{name}.py').write_text('import no_such_library\n')
    sys.modules.pop(name, None)
    with pytest.raises(
        UserError, match=f"Failed to import {name}: No module named 'no_such_library'; looked in"
    ):
        load_config(path)


def test_folders_of_modules_are_a_list(own):
    path = own[1]()
    path.write_text(f"{path.read_text()}\nmodule_folders = 'exp1'")
    with pytest.raises(
        UserError, match=r"mine\.py: module_folders: found 'exp1', expected a list of folders"
    ):
        load_config(path)


def test_a_copy_of_a_module_is_the_same_with_all_that_it_imports(own, tmp_path):
    name, write = own
    second, part = tmp_path / 'second', f'part_of_{name}.py'
    (tmp_path / f'{name}.py').write_text(f'import {part[:-3]}\n{MODULE.format(name)}')
    (tmp_path / part).write_text('width = 1')
    path = write()
    load_config(path)
    shutil.copytree(tmp_path, second, ignore=shutil.ignore_patterns('second', '__pycache__'))
    assert load_config(second / 'mine.py').module_folders == [str(second)]
    (second / part).write_text('width = 2')
    with pytest.raises(
        UserError, match=rf'{name}: found {tmp_path / name}\.py, expected {second / name}\.py'
    ):
        load_config(second / 'mine.py')


def test_a_helper_of_the_same_name_is_not_shared(own, tmp_path):
    name, write = own
    helper, second = f'helper_of_{name}', tmp_path / 'second'
    second.mkdir()
    for place, width in (tmp_path, 1), (second, 2):
        (place / f'{helper}.py').write_text(f'width = {width}')
    (tmp_path / f'{name}.py').write_text(f'from {helper} import width\n{MODULE.format(name)}')
    (second / f'other_{name}.py').write_text(f'import {helper} as h\n{MODULE.format("Other")}')
    (second / 'mine.py').write_text(
        CONFIG.format(f'other_{name}', '').replace(f'Stagesother_{name}', 'StagesOther')
    )
    load_config(write())
    with pytest.raises(
        UserError, match=rf'{helper}: found {tmp_path / helper}\.py, expected {second / helper}\.py; .* name'
    ):
        load_config(second / 'mine.py')
    del sys.modules[helper], sys.modules[f'other_{name}']
    (second / f'{helper}.py').write_text('width = 1')
    assert load_config(second / 'mine.py').module_folders == [str(second)]


def test_a_librarys_sources_beside_a_module_are_no_helper_of_it(own, tmp_path):
    write = own[1]
    (tmp_path / 'mmseg' / 'registry').mkdir(parents=True)
    for part in ('mmseg', 'mmseg/registry'):
        (tmp_path / part / '__init__.py').write_text('# as in a checkout')
    assert load_config(write()).module_folders == [str(tmp_path)]


@pytest.mark.parametrize(('name', 'found'), [('code', r'/.*code\.py'), ('time', 'that of Python itself')])
def test_a_module_named_like_one_of_python_is_refused(own, tmp_path, name, found):
    (tmp_path / f'{name}.py').write_text(MODULE.format(name))
    with pytest.raises(UserError, match=rf'{name}: found {found}, expected {tmp_path / name}\.py; '):
        load_config(own[1](module=name))


@pytest.mark.parametrize('module', ['madnet', 'mine'])
def test_a_checkout_or_the_config_itself_is_no_module_of_that_name(own, tmp_path, monkeypatch, module):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'madnet').mkdir()
    (tmp_path / 'madnet' / '__init__.py').touch()
    monkeypatch.setitem(sys.modules, 'mine', ModuleType('mine'))
    (tmp_path / 'mine.py').write_text(
        f"_base_ = 'madnet_synthetic'\ncustom_imports = dict(imports=['{module}'])"
    )
    load_config('mine.py')


@pytest.mark.parametrize('part', ['neck', 'decode_head'])
def test_stated_channels_must_be_those_of_the_part_before(own, part):
    cfg = load_config(own[1](f'{part}=dict(in_channels=[2, 9])'))
    with pytest.raises(UserError, match=rf'model\.{part}\.in_channels: found \[2, 9\], .* leave it out'):
        MODELS.build(cfg.model)


def test_a_loss_must_be_finite(own):
    name, write = own
    cfg = load_config(write(f"decode_head=dict(loss_decode=dict(_delete_=True, type='NotFinite{name}'))"))
    with pytest.raises(UserError, match=r'loss_decode: NotFinite.* is nan .*must be finite'):
        check_losses(MODELS.build(cfg.model))


def test_images_have_the_channels_of_the_backbone(repository, tmp_path):
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
        for k in range(4):
            cv2.imwrite(str(tmp_path / folder / f'{k}.png'), np.eye(32, dtype=np.uint8) * 255)
    (tmp_path / 'train.txt').write_text('0\n1')
    (tmp_path / 'test.txt').write_text('2\n3')
    options = {'model.backbone.in_channels': 3}
    config = repository / 'configs/madnet/madnet_nano.py'
    with pytest.raises(UserError, match=r'in_channels: found 3, but LoadSIRSTImage gives images of 1 '):
        load_config(config, options, dataset=str(tmp_path))
    options['replace_steps.LoadSIRSTImage.channels'] = 3
    cfg = load_config(config, options, dataset=str(tmp_path))
    assert len(cfg.model.data_preprocessor.mean) == 3
    with pytest.raises(UserError, match=r'mean: found 1 number, but LoadSIRSTImage gives images of 3 '):
        load_config('madnet_nano', options, dataset=str(tmp_path))


def test_a_backbone_whose_config_does_not_say_takes_its_default(own):
    config = own[1]()
    config.write_text(config.read_text().replace('madnet_synthetic', 'madnet_nano'))
    with pytest.raises(UserError, match=r'in_channels: found 1, the default of its class, but Load.* of 3 '):
        load_config(config, {'replace_steps.LoadSIRSTImage.channels': 3})
    assert channels_of(load_config(config)) == 1


def test_without_a_loader_the_network_says_its_channels():
    model = {'backbone': {'type': MODELS.module_dict['ResNet'], 'depth': 18}}
    assert channels_of({'model': model}) == 3
    model['backbone']['in_channels'] = 4
    assert channels_of({'model': model}) == 4
    assert channels_of({'model': {'type': 'Whole'}}) == 3
    assert channels_of({'model': {**model, 'data_preprocessor': {'mean': [0.5]}}}) == 1


@pytest.mark.parametrize('channels', [1, 3])
def test_behind_a_step_of_ones_own_the_loader_says_the_channels_where_no_part_of_the_network_does(channels):
    class OwnStep(BaseTransform):
        def transform(self, results):
            return results

    steps = [{'type': 'LoadSIRSTImage', 'channels': channels}, {'type': OwnStep}]
    assert channels_of({'model': {'type': 'Whole'}, 'test_pipeline': steps}) == channels


@DATASETS.register_module()
class DerivedSet(SIRSTDataset):
    pass


@TRANSFORMS.register_module()
class DerivedLoader(LoadSIRSTImage):
    def transform(self, results):
        results = super().transform(results)
        results['img'] = 255 - results['img']
        return results


@DATASETS.register_module()
class SmallerSet(SIRSTDataset):
    def load_data_list(self):
        return super().load_data_list()[::2]


@DATASETS.register_module()
class OtherPart(SIRSTDataset):
    def __init__(self, split=None, **kwargs):
        super().__init__(split={'fit': 'val'}.get(split, split), **kwargs)


@DATASETS.register_module()
class SubtractsTheMean(SIRSTDataset):
    def prepare_data(self, idx):
        return super().prepare_data(idx)


@DATASETS.register_module()
class Inverts(SIRSTDataset):
    def __getitem__(self, index):
        return super().__getitem__(index)


@TRANSFORMS.register_module()
class GreyLoader(LoadSIRSTImage):
    def __init__(self, **kwargs):
        super().__init__(channels=1, **kwargs)


@MODELS.register_module()
class DerivedPreProcessor(IRSTDPreProcessor):
    pass


def test_classes_derived_from_ours_are_completed_as_ours_are(make_set, tmp_path):
    path, ids = tmp_path / 'derived.py', [str(k) for k in range(10)]
    folder = make_set('mine', ids, lists={'train.txt': ids[:7], 'test.txt': ids[7:]})
    path.write_text(f"""
_base_ = 'madnet_nano'
dataset = {str(folder)!r}
model = dict(data_preprocessor=dict(type='DerivedPreProcessor'))
train_dataloader = dict(dataset=dict(type='DerivedSet'))
""")
    cfg = load_config(path)
    train = cfg.train_dataloader.dataset
    assert (train.type, train.split, Path(train.data_root).name) == ('DerivedSet', 'fit', 'mine')
    assert len(cfg.model.data_preprocessor.mean) == len(cfg.model.data_preprocessor.std) == 1
    assert part_of_config(train, 'x').split == 'fit'
    assert part_of_config({**train, 'split': None}, 'x') is None
    assert part_of_config({**train, 'type': 'SyntheticSIRSTDataset'}, 'x') is None


@pytest.mark.parametrize(
    ('kind', 'change', 'advice'),
    [
        ('DerivedLoader', {'channels': 1}, r'model\.backbone\.in_channels=3 .*\.DerivedLoader\.channels=3$'),
        ('GreyLoader', {}, r'say --cfg-options model\.backbone\.in_channels=1$'),
        *(
            (kind, {}, r'backbone\.in_channels=3 replace_steps\.LoadSIRSTImage\.channels=3$')
            for kind in ('SmallerSet', 'OtherPart', 'SubtractsTheMean', 'Inverts')
        ),
    ],
)
def test_images_of_ones_own_classes_take_their_own_statistics(make_set, tmp_path, kind, change, advice):
    path, ids = tmp_path / 'derived.py', [str(k) for k in range(10)]
    folder = make_set('mine', ids, lists={'train.txt': ids[:7], 'test.txt': ids[7:]})
    step = {'LoadSIRSTImage': [{'type': kind, **change}]} if 'Loader' in kind else {}
    dataset = {} if step else {'type': kind}
    path.write_text(f"""
_base_ = 'madnet_nano'
dataset = {str(folder)!r}
train_dataloader = dict(dataset={dataset})
replace_steps = {step}
""")
    with pytest.raises(UserError, match=f'no mean and std, .* images that {kind} gives; give both'):
        load_config(path)
    given = {'model.data_preprocessor.mean': [100.0], 'model.data_preprocessor.std': [30.0]}
    assert load_config(path, given).model.data_preprocessor.mean == [100.0]
    with pytest.raises(UserError, match=rf'found 3, but .*{advice}'):
        load_config(path, {**given, 'model.backbone.in_channels': 3})


@TRANSFORMS.register_module()
class Repaired(LoadSIRSTImage):
    """The brightest pixels become the median, in the sensor's counts."""

    def transform(self, results):
        raw = read_image(results['img_path']).copy()
        raw[raw == raw.max()] = np.median(raw)
        return super().transform({**results, 'img': raw})


@TRANSFORMS.register_module()
class Called(LoadSIRSTImage):
    def __call__(self, results):
        results = super().__call__(results)
        return {**results, 'img': 255 - results['img']}


@pytest.mark.parametrize('kind', ['DerivedLoader', 'Repaired', 'Called'])
@pytest.mark.parametrize('value_range', [(1024, 2047), 'auto', None])
def test_a_derived_loader_does_what_it_does_in_prediction_too(make_set, kind, value_range):
    folder = make_set('mine', ['0'])
    path = folder / 'images' / '0.png'
    frame = np.arange(1024, 2048, dtype=np.uint16).reshape(32, 32)
    cv2.imwrite(str(path), frame)
    cv2.imwrite(str(folder / 'masks' / '0.png'), np.where(frame > 2040, 255, 0).astype(np.uint8))
    steps = [{'type': kind, 'channels': 1, 'value_range': value_range}, {'type': 'PackSIRSTInputs'}]
    expected = SIRSTDataset(str(folder), 'all', pipeline=steps)[0]['inputs']
    pipeline = ImagePipeline(steps)
    pixels = pipeline.loader.measured([(path, None)])(path)
    assert torch.equal(pipeline.prepare(pixels)['inputs'], expected)
    if value_range != 'auto':
        assert torch.equal(pipeline(path)['inputs'], expected)
    part = slice(8, 24), slice(0, 16)
    tile = pipeline.prepare(pipeline.loader.measured([(path, None)]).windows(path).read(*part))['inputs']
    assert torch.equal(tile, expected[(slice(None), *part)])
    for image, number in ((frame, None), (path, 0)):
        with pytest.raises(UserError, match=f'{kind}: found .*, expected a file of one image'):
            pipeline.load(image, number)
    with pytest.raises(UserError, match='no such file'):
        pipeline.load(folder / 'none.png')


@TRANSFORMS.register_module()
class GivesAnything(LoadSIRSTImage):
    def transform(self, results):
        return self.given(super().transform(results))


def _failing(results):
    raise OSError('no such\ncodec')


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        (lambda results: None, "gave NoneType, expected a sample whose 'img' is an array"),
        (lambda results: results['img'], "gave ndarray, expected a sample whose 'img'"),
        (lambda results: {'img': results['img'][..., 0]}, "gave 'img' ndarray (32, 40), expected"),
        (lambda results: {'img': torch.ones(1)}, "gave 'img' Tensor (1,), expected"),
        (lambda results: results['img_id'], "from img_path, all that prediction knows (KeyError: 'img_id')"),
        (_failing, 'cannot load it from img_path, all that prediction knows (OSError: no such codec)'),
    ],
)
def test_what_a_derived_loader_cannot_give_is_said_by_its_name(make_set, monkeypatch, given, said):
    path = make_set('mine', ['0']) / 'images' / '0.png'
    monkeypatch.setattr(GivesAnything, 'given', staticmethod(given), raising=False)
    pipeline = ImagePipeline([{'type': 'GivesAnything', 'channels': 1}, {'type': 'PackSIRSTInputs'}])
    for ask in (pipeline, pipeline.loader.windows):
        with pytest.raises(UserError) as e:
            ask(path)
        assert str(e.value).startswith(f'{path}: GivesAnything ')
        assert said in str(e.value)
        assert '\n' not in str(e.value)


@pytest.mark.parametrize('name', ['fetched_by_name', 'fetched_by_name.Kind', 'a..b', None, 3])
def test_what_a_name_stands_for_is_asked_without_importing_anything(tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'fetched_by_name.py').write_text('raise SystemExit')
    assert not is_kind(name, DATASETS, SIRSTDataset)
    for known in (DerivedSet, 'DerivedSet', 'mmseg.DerivedSet', f'{__name__}.DerivedSet'):
        assert is_kind(known, DATASETS, SIRSTDataset)
