"""What an import costs, and that every component is found in whatever order things are imported."""

import subprocess
import sys
from importlib import import_module

import pytest

from madnet.datasets import synth_scene
from madnet.images import encode_png

HEAVY = ('torch', 'mmengine', 'mmcv', 'mmseg', 'matplotlib')
#: What a network does without that predicts.
IDLE = (
    *('torch._dynamo', 'torch._inductor', 'torch.distributed.fsdp', 'torch.distributed.optim', 'torch.onnx'),
    *('torch.distributed.tensor', 'torch.utils.tensorboard', 'sympy', 'triton', 'scipy.optimize', 'ftfy'),
    *('mmcv.ops', 'mmseg.apis', 'matplotlib', 'pandas', 'onnx', 'onnxruntime', 'gradio', 'transformers'),
    *('sklearn', 'skimage', 'madnet.engine.train', 'madnet.inference.export', 'madnet.inference.demo'),
)


def fresh(code: str, **how) -> str:
    """What a fresh process prints; its errors are ours."""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, **how)
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


@pytest.mark.parametrize(
    ('arguments', 'said', 'unneeded'),
    [
        (['compare', '--networks', 'acm', 'madnet_nan'], "'madnet_nan': no config", HEAVY),
        (['compare', '--networks', 'acm', '--datasets', 'nuua'], 'nuua', HEAVY),
        (['compare', '--networks', 'acm', '--dry-run'], 'acm nuaa seed 42', ['matplotlib']),
        (['predict', 'tophat', 'a.png', '--fa-budget', '1e-5'], 'nothing is known yet', HEAVY),
        (['test', 'madnet_nano', '--dataset', 'nuaa'], 'NUAA-SIRST not found', HEAVY),
    ],
)
def test_what_can_be_said_at_once_imports_little(tmp_path, monkeypatch, arguments, said, unneeded):
    (tmp_path / 'a.png').write_bytes(encode_png(synth_scene(0, 0, 64).image))
    monkeypatch.setenv('MADNET_DATA_ROOT', str(tmp_path))
    code = f'import sys\nfrom madnet.cli import main\nmain({arguments})\nprint(*sys.modules)\n'
    printed = fresh(code, cwd=tmp_path)
    assert said in printed
    modules = next(line for line in printed.splitlines() if line.startswith('sys ')).split()
    assert not set(unneeded) & set(modules)


def test_a_prediction_imports_no_more_than_it_needs(tmp_path):
    """By which the first result of one frame is there within five seconds."""
    (tmp_path / 'frame.png').write_bytes(encode_png(synth_scene(0, 0, 64).image))
    code = (
        'import sys\n'
        'from madnet.cli import main\n'
        "code = main(['predict', 'madnet_nano', 'frame.png', '--device', 'cpu'])\n"
        'print(code, *sys.modules)\n'
    )
    printed = fresh(code, cwd=tmp_path)
    code, *modules = printed.splitlines()[-1].split()
    assert code == '0', printed
    assert 'torch' in modules
    brought = fresh('import sys, torch.utils.checkpoint\nprint(*sys.modules)\n').split()  # older ones: SymPy
    assert [name for name in IDLE if name in modules and name not in brought] == []


def test_what_is_imported_late_is_what_it_says():
    """mmengine's sharded training, and what of mmseg takes long, used in every way that there is."""
    fresh(
        'import sys, tempfile\n'
        'import torch.utils.checkpoint, madnet\n'
        "brought = 'sympy' in sys.modules\n"
        'import mmengine.model, mmengine.optim, mmengine._strategy, mmseg.models, mmseg.utils\n'
        'from mmengine.registry import MODEL_WRAPPERS, OPTIMIZERS, STRATEGIES\n'
        'from mmseg.utils import tokenizer\n'
        "assert brought or 'sympy' not in sys.modules\n"
        "assert 'ftfy' not in sys.modules\n"
        'weights = [torch.nn.Parameter(torch.ones(3))]\n'
        'assert not isinstance(weights, mmengine.optim.ZeroRedundancyOptimizer)\n'
        'assert not mmengine.model.is_model_wrapper(torch.nn.Linear(2, 2))\n'
        "assert brought or 'sympy' not in sys.modules\n"
        "assert mmseg.utils.tokenize('a ship').shape == tokenizer.tokenize('a ship').shape == (1, 77)\n"
        'assert tokenizer.basic_clean(" x ") == "x"\n'
        "torch.distributed.init_process_group('gloo', f'file://{tempfile.mktemp()}', rank=0, world_size=1)\n"
        "how = dict(type='ZeroRedundancyOptimizer', params=weights, optimizer_type='SGD', lr=0.1)\n"
        'optimizer = OPTIMIZERS.build(how)\n'
        'from torch.distributed.optim import ZeroRedundancyOptimizer\n'
        'assert isinstance(optimizer, ZeroRedundancyOptimizer)\n'
        'assert isinstance(optimizer, mmengine.optim.ZeroRedundancyOptimizer)\n'
        'assert not isinstance(weights, mmengine.optim.ZeroRedundancyOptimizer)\n'
        "assert issubclass(OPTIMIZERS.get('ZeroRedundancyOptimizer'), ZeroRedundancyOptimizer)\n"
        'class Own(mmengine.model.MMFullyShardedDataParallel):\n'
        '    def train_step(self): return super().train_step\n'
        'from torch.distributed.fsdp import FullyShardedDataParallel\n'
        'assert issubclass(Own, FullyShardedDataParallel)\n'
        'assert issubclass(Own, mmengine.model.MMFullyShardedDataParallel)\n'
        "assert issubclass(MODEL_WRAPPERS.get('MMFullyShardedDataParallel'), FullyShardedDataParallel)\n"
        "assert STRATEGIES.get('FSDPStrategy').__name__ == mmengine._strategy.FSDPStrategy.__name__\n"
        'assert mmengine._strategy.FSDPStrategy.prepare\n'
        "assert issubclass(STRATEGIES.get('FSDPStrategy'), mmengine._strategy.DDPStrategy)\n"
        'torch.distributed.destroy_process_group()\n'
        'from mmseg.registry import MODELS, TASK_UTILS\n'
        "assert 'scipy.optimize' not in sys.modules\n"
        'how = dict(embed_dims=8, num_layers=1, num_heads=2, mlp_ratio=1, out_indices=0, img_size=32)\n'
        "network = MODELS.build(dict(type='MAE', **how))\n"
        "assert isinstance(network, mmseg.models.BEiT) and isinstance(network, MODELS.get('BEiT'))\n"
        "how = dict(type='HungarianAssigner', match_costs=dict(type='ClassificationCost'))\n"
        'assert TASK_UTILS.build(how).match_costs\n'
    )


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
