"""What an import costs, and that every component is found in whatever order things are imported."""

import subprocess
import sys
from importlib import import_module

import pytest

HEAVY = ('torch', 'mmengine', 'mmcv', 'mmseg', 'matplotlib')


def fresh(code: str) -> str:
    """What a fresh process prints; its errors are ours."""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    'package',
    [
        'madnet',
        'madnet.images',
        'madnet.evaluation',
        'madnet.classical',
        'madnet.datasets',
        'madnet.engine.cli',
    ],
)
def test_what_needs_no_torch_imports_none(package):
    modules = fresh(f'import sys, {package}; print(*sys.modules)').split()
    assert package in modules
    assert not set(HEAVY) & set(modules)


def test_numbers_and_detectors_work_without_torch():
    fresh(
        'import sys, numpy as np\n'
        f'sys.modules.update(dict.fromkeys({HEAVY}))\n'  # None: importing them fails
        'from madnet.classical import get_detector, get_rule\n'
        'from madnet.evaluation import evaluate\n'
        'image = np.random.default_rng(0).normal(100, 5, (40, 50)); image[9:11, 9:11] += 80\n'
        'score = get_rule().to_unit(get_detector("tophat")(image))\n'
        'assert evaluate([score], [image > 150])["Pd"] == 1\n'
    )


@pytest.mark.parametrize('room', ['datasets', 'inference', 'visualization'])
def test_names_that_come_on_first_use_come(room):
    """What ``__all__`` of a room offers; ruff sees to the rooms that import at once."""
    module = import_module(f'madnet.{room}')
    assert len(module.__all__) == len({id(getattr(module, name)) for name in module.__all__})
    with pytest.raises(AttributeError, match='no_such_name'):
        _ = module.no_such_name


REGISTERED = {
    'RUNNERS': 'MadnetRunner',
    'MODELS': 'AdaDCMEncoder MemA2MNeck MADNetHead SoftIoULoss ClassicalDetector RampedEMA EncoderDecoder',
    'DATASETS': 'SIRSTDataset SyntheticSIRSTDataset',
    'TRANSFORMS': 'LoadSIRSTImage',
    'METRICS': 'IRSTDMetric IoUMetric',
    'HOOKS': 'SafeCheckpointHook CheckpointHook',
    'LOOPS': 'ResumableTrainLoop',
    'OPTIM_WRAPPER_CONSTRUCTORS': 'GroupedOptimWrapperConstructor',
    'PARAM_SCHEDULERS': 'WarmupCosineLR',
    'VISUALIZERS': 'IRSTDVisualizer',
}


@pytest.mark.parametrize(
    'first',
    [
        'import madnet.evaluation, mmengine',
        'import madnet.models',
        'import mmseg.models, madnet',
        'from mmengine.registry import RUNNERS\n'
        'from mmseg.registry import MODELS\n'
        "RUNNERS.get('none'), MODELS.get('EncoderDecoder')\n"
        'import madnet',
    ],
)
def test_every_order_of_imports_registers_all(first):
    fresh(
        f'{first}\n'
        'import mmengine.registry, mmseg.registry\n'
        f'for registry, names in {REGISTERED}.items():\n'
        "    holder = mmengine.registry if registry == 'RUNNERS' else mmseg.registry\n"
        '    for name in names.split():\n'
        '        assert getattr(holder, registry).get(name), name\n'
    )


def test_a_foreign_config_needs_nothing_but_its_custom_import(tmp_path):
    path = tmp_path / 'foreign.py'
    path.write_text("default_scope = 'mmseg'\ncustom_imports = dict(imports=['madnet'])\n")
    fresh(
        'from mmengine.config import Config\n'
        'from mmengine.registry import MODELS, Registry, init_default_scope\n'
        f'config = Config.fromfile({str(path)!r})\n'
        'init_default_scope(config.default_scope)\n'
        "MODELS.build(dict(type='ClassicalDetector', method='dog')).describe()\n"
        "assert not Registry('of another package')._locations\n"
    )


def test_rooms_are_attributes_and_print_nothing():
    printed = fresh(
        'import madnet\n'
        'assert set(madnet.__all__) <= set(dir(madnet))\n'
        'assert [getattr(madnet, room).__name__ for room in madnet.__all__]\n'
        'assert not hasattr(madnet, "MODELS")\n'
    )
    assert printed == ''


def test_shipped_weights_are_a_source_as_soon_as_anything_is_built():
    """``load_from = 'madnet://…'`` in a config that a plain mmengine Runner runs."""
    assert fresh(
        'import madnet\n'
        'from mmseg.registry import MODELS\n'
        "MODELS.get('MADNetHead')\n"
        'from mmengine.runner.checkpoint import CheckpointLoader\n'
        "print(len(CheckpointLoader.load_checkpoint('madnet://madnet_nano')['state_dict']) > 100)"
    ).endswith('True\n')
