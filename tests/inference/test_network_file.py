"""Networks in one file whose parts are of modules that a file never imports."""

import json
from itertools import pairwise

import numpy as np
import pytest
from mmengine.model import BaseInit, KaimingInit
from mmseg.registry import MODELS
from mmseg.structures.sampler import OHEMPixelSampler
from torch import nn

from madnet.datasets.transforms import PackSIRSTInputs
from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.images import notices
from madnet.inference import Predictor
from madnet.inference.detector import LoadedDetector
from madnet.inference.export import export_network
from madnet.models.heads import MADNetHead
from madnet.pretrained import TeacherHook, loading
from madnet.pretrained.network_file import (
    build_network,
    describe_network,
    load_network_file,
    network_bytes,
)
from madnet.records.export_info import ExportInfo


class OwnStages(nn.Module):
    pyramid_channels = (2, 4, 8, 16)

    def __init__(self, in_channels=1):
        super().__init__()
        widths = (in_channels, *self.pyramid_channels)
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(widths))

    def forward(self, x):
        maps = []
        for stage in self.stages:
            maps.append(x := stage(x))
        return maps


@pytest.fixture
def description(tmp_path):
    """Of a network with a part that is registered while this is made, and not any more when it is loaded."""
    config = tmp_path / 'own.py'
    config.write_text(
        "_base_ = 'madnet_synthetic'\nmodel = dict(backbone=dict(_delete_=True, type='OwnStages'))\n"
    )
    MODELS.register_module(module=OwnStages)
    yield describe_network(load_config(config))
    MODELS._module_dict.pop('OwnStages', None)


def written(description, **more):
    """A file of it, written while the part is registered, which then is not."""
    info = ExportInfo('own', 1, [105.0], [40.0], **more)
    content = network_bytes(build_network(description)[0], description, info, folded=False)
    MODELS._module_dict.pop('OwnStages')
    return content


def test_modules_of_parts_are_recorded_and_said(description, tmp_path, monkeypatch, caplog):
    assert description['modules'] == {'OwnStages': __name__}
    assert 'modules' not in describe_network(load_config('madnet_synthetic'))
    monkeypatch.setattr(notices, '_said', set())
    predictor = Predictor(LoadedDetector('own', *build_network(description), {}, description), device='cpu')
    with pytest.raises(UserError, match=r'^own: is loaded already; checkpoint, value_range'):
        Predictor(predictor.detector, value_range=(0, 16383))
    file = tmp_path / 'own.safetensors'
    export_network(predictor, file, 'torch', frames=[np.zeros((64, 64), np.uint8)])
    [line] = caplog.messages
    said = f"its part 'OwnStages' is of the module '{__name__}', to be imported before"
    assert line.startswith(f'{file}: holds no code: {said}')


def test_a_part_that_is_not_imported_is_no_damage(description, tmp_path):
    content = written(description)
    said = rf"own\.safetensors: has a part 'OwnStages' that is of the module '{__name__}'"
    with pytest.raises(UserError, match=said) as e:
        load_network_file(content, 'own.safetensors')
    assert f'Import first {__name__} (in a training by custom_imports), or take the config' in str(e.value)
    assert '\n' not in str(e.value)
    file = tmp_path / 'own.safetensors'
    file.write_bytes(content)
    with pytest.raises(UserError, match=said):
        TeacherHook(str(file))._load()
    MODELS.register_module(module=OwnStages)
    assert isinstance(load_network_file(content, 'own.safetensors')[0].backbone, OwnStages)


def test_a_file_that_does_not_name_the_module(description):
    del description['modules']
    with pytest.raises(UserError, match=r"'OwnStages' that nothing that is imported has, .* update madnet"):
        load_network_file(written(description), 'own.safetensors')


def test_a_file_of_another_version_may_only_be_for_that(description):
    for versions, said in (
        ({'madnet': '99.0'}, r'damaged, or only for madnet 99\.0 \(here'),
        ({}, 'damaged, export it again'),
    ):
        content = written(description, versions=versions)
        MODELS.register_module(module=OwnStages)
        with pytest.raises(UserError, match=rf'^own\.safetensors: {said}'):
            load_network_file(content[:-4], 'own.safetensors')


def test_classes_as_types_are_written_by_their_names_in_full(tmp_path):
    cfg = load_config('madnet_synthetic')
    cfg.model.backbone = {'type': OwnStages}
    pack = cfg.test_dataloader.dataset.pipeline[-1]
    pack.type = PackSIRSTInputs
    description = describe_network(cfg)
    kind = f'{__name__}.OwnStages'
    assert json.loads(json.dumps(description))['model']['backbone'] == {'type': kind}
    assert description['modules'] == {kind: __name__}
    info = ExportInfo('own', 1, [105.0], [40.0])
    content = network_bytes(build_network(description)[0], description, info, folded=False)
    assert isinstance(load_network_file(content, 'own.safetensors')[0].backbone, OwnStages)


def test_types_with_the_scope_of_a_registry_are_taken():
    description = describe_network(load_config('madnet_synthetic'))
    description['pipeline']['transforms'][-1]['type'] = 'mmseg.PackSegInputs'
    description['model']['decode_head']['type'] = 'mmseg.MADNetHead'
    assert isinstance(build_network(description)[0].decode_head, MADNetHead)


class Nest:
    class Stages(OwnStages):
        pass


class OwnInit(BaseInit):
    pass


@pytest.mark.parametrize(
    ('part', 'key', 'given'),
    [
        *(('decode_head', 'sampler', kind) for kind in ('mmseg.OHEMPixelSampler', OHEMPixelSampler)),
        *(('backbone', 'init_cfg', kind) for kind in ('mmengine.Kaiming', 'Kaiming', KaimingInit, OwnInit)),
        ('backbone', 'type', Nest.Stages),
    ],
)
def test_types_that_serve_the_training_alone_and_nested_ones_are_taken(part, key, given):
    cfg = load_config('madnet_synthetic')
    cfg.model[part][key] = given if key == 'type' else {'type': given}
    if key == 'type':
        cfg.model[part] = {'type': given}
    description = json.loads(json.dumps(describe_network(cfg)))
    network = build_network(description)[0]
    assert key != 'type' or isinstance(network.backbone, Nest.Stages)


@pytest.mark.parametrize(
    'kind',
    ['subprocess.getoutput', 'subprocess.Popen', 'unimported.Linear', 'xml.sax', 'mmengine.Config', 'this'],
)
def test_a_type_of_a_file_calls_nothing(kind, description, tmp_path):
    """By a name in full mmengine would import and call anything."""
    model = {'type': kind, 'cmd': f'touch {tmp_path / "marker"}'}
    pipeline = {'transforms': [model], 'channels': 1}
    for changed in ({'model': model}, {'pipeline': pipeline}):
        with pytest.raises(UserError, match=f'^file: has a part {kind!r} that nothing that is imported has'):
            build_network({**description, **changed}, shown='file')
    assert not (tmp_path / 'marker').exists()


def test_scopes_of_a_file_are_those_that_are_imported(description):
    build_network({**description, 'model': {**description['model'], '_scope_': 'mmseg'}})
    with pytest.raises(UserError, match=r"^file: has a part 'this'"):
        build_network({**description, 'model': {**description['model'], '_scope_': 'this'}}, shown='file')


def test_a_registered_network_with_such_a_part(description, monkeypatch):
    MODELS._module_dict.pop('OwnStages')
    monkeypatch.setattr(loading, 'read_json', lambda path: description)
    with pytest.raises(UserError, match=r"^madnet_nano: has a part 'OwnStages'"):
        loading.load_pretrained('madnet_nano')
