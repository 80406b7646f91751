"""What we lean on in mmengine and mmseg, beyond their documented interface; see docs/mmengine.md.

Only upstream's classes are tried here: a failure says what has changed there, and the page where it matters.
"""

import importlib.util
import inspect
import logging
import pickle
import pickletools
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmcv.transforms import RandomFlip
from mmengine.config import Config
from mmengine.dataset import BaseDataset, DefaultSampler, RepeatDataset
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import EarlyStoppingHook, EMAHook, Hook, ParamSchedulerHook
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseAveragedModel, BaseModel, PretrainedInit
from mmengine.optim import (
    DefaultOptimWrapperConstructor,
    OptimWrapper,
    build_optim_wrapper,
)
from mmengine.optim.scheduler import LinearLR
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, VISBACKENDS
from mmengine.runner import CheckpointLoader, EpochBasedTrainLoop, Runner
from mmengine.runner import checkpoint as upstream_checkpoint
from mmengine.visualization import LocalVisBackend, Visualizer
from mmengine.visualization.vis_backend import force_init_env
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import utils as loss_utils
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import nn

import madnet  # noqa: F401


class Toy(BaseModel):
    """One weight, which learns nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode='tensor'):
        return {'loss': self.weight.sum()} if mode == 'loss' else [{}] * len(inputs)


class ToyData(torch.utils.data.Dataset):
    """Four numbers."""

    metainfo = {}

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {'inputs': torch.zeros(1)}


class ToyMetric(BaseMetric):
    """Keeps what it is asked."""

    sizes = ()

    def process(self, data_batch, data_samples):
        pass

    def compute_metrics(self, results):
        raise AssertionError('evaluate() of a subclass stands before it')

    def evaluate(self, size):
        self.sizes = (*self.sizes, size)
        return {}


class Journal(Hook):
    """Writes down when it is called, and where the loop stands then."""

    def __init__(self):
        self.lines = []

    def _write(self, runner, what):
        self.lines.append((what, runner.epoch, runner.iter))

    def before_run(self, runner):
        self._write(runner, 'before_run')

    def after_train_iter(self, runner, *args, **kwargs):
        self._write(runner, 'after_train_iter')

    def after_train_epoch(self, runner):
        self._write(runner, 'after_train_epoch')

    def a_name_of_our_own(self, runner):
        self._write(runner, 'a_name_of_our_own')


class ToyRunner(Runner):
    """Writes down which of the methods that we replace are called."""

    calls = ()

    def wrap_model(self, model_wrapper_cfg, model):
        self.calls += (f'wrap_model({model_wrapper_cfg})',)
        return super().wrap_model(model_wrapper_cfg, model)

    def setup_env(self, env_cfg):
        self.calls += (f'setup_env, launcher {self._launcher}',)
        super().setup_env(env_cfg)

    def _maybe_compile(self, target):
        self.calls += (f'_maybe_compile({target})',)

    def load_or_resume(self):
        self.calls += ('load_or_resume',)
        self.call_hook('a_name_of_our_own')
        super().load_or_resume()

    def load_checkpoint(self, filename, map_location='cpu', strict=False, revise_keys=None):
        self.calls += (f'load_checkpoint({filename})',)
        return {
            'meta': {'epoch': 1, 'iter': 3, 'dataset_meta': {}},
            'optimizer': self.optim_wrapper.state_dict(),
            'param_schedulers': [],
            'message_hub': self.message_hub.state_dict(),
        }


@pytest.fixture
def toy(tmp_path):
    """Makes a runner of two epochs with two batches each."""

    def make(**kwargs):
        (tmp_path / 'toy.py').write_text('')
        loader = {'dataset': ToyData(), 'batch_size': 2, 'sampler': {'type': 'DefaultSampler'}}
        return ToyRunner(
            Toy(),
            str(tmp_path / 'run'),
            train_dataloader=loader,
            train_cfg={'by_epoch': True, 'max_epochs': 2},
            optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1}},
            param_scheduler=[],
            cfg=Config({}, filename=str(tmp_path / 'toy.py')),
            default_scope='mmseg',
            experiment_name=f'toy_{tmp_path.name}',
            **kwargs,
        )

    return make


def test_work_folder_is_always_written(toy, tmp_path):
    runner = toy()
    assert (tmp_path / 'run' / 'toy.py').is_file()
    assert (tmp_path / 'run' / runner.timestamp).is_dir()


def test_counters_move_after_the_hooks(toy):
    runner, journal = toy(), Journal()
    runner.register_hook(journal)
    runner.train()
    assert [line for line in journal.lines if line[0].startswith('after')] == [
        ('after_train_iter', 0, 0), ('after_train_iter', 0, 1), ('after_train_epoch', 0, 2),
        ('after_train_iter', 1, 2), ('after_train_iter', 1, 3), ('after_train_epoch', 1, 4),
    ]  # fmt: skip
    loop = runner.train_loop
    assert (loop._epoch, loop._iter, loop._max_epochs, loop.stop_training) == (2, 4, 2, False)
    assert (loop.val_begin, loop.val_interval) == (1, 1)
    assert EpochBasedTrainLoop._decide_current_val_interval


def test_early_stopping_counts_in_two_attributes():
    hook = EarlyStoppingHook('nIoU', 'greater', min_delta=0.1, patience=2)
    assert (hook.wait_count, hook.best_score, hook.priority) == (0, float('-inf'), 'LOWEST')
    runner = SimpleNamespace(train_loop=SimpleNamespace(stop_training=False), logger=logging.getLogger('toy'))
    for score, counted, ended in ((0.5, 0, False), (0.55, 1, False), (0.5, 2, True)):
        hook.after_val_epoch(runner, {'nIoU': score})
        assert (hook.wait_count, hook.best_score, runner.train_loop.stop_training) == (counted, 0.5, ended)


def test_hooks_may_have_methods_of_our_own(toy):
    runner, journal = toy(), Journal()
    runner.register_hook(journal)
    runner.train()
    assert [line[0] for line in journal.lines[:2]] == ['before_run', 'a_name_of_our_own']


def test_methods_that_the_runner_calls_on_itself(toy):
    runner = toy()
    runner.train()
    assert runner.calls == (
        'setup_env, launcher none', 'wrap_model(None)', 'load_or_resume', '_maybe_compile(train_step)',
    )  # fmt: skip


def test_what_is_to_be_loaded(toy):
    runner = toy(resume=True, load_from='there.pth')
    assert (runner._resume, runner._load_from, runner._has_loaded) == (True, 'there.pth', False)
    runner.train()
    assert runner._has_loaded
    assert runner.calls[2:4] == ('load_or_resume', 'load_checkpoint(there.pth)')


def test_resuming_goes_by_what_load_checkpoint_returns(toy):
    runner, journal = toy(resume=True, load_from='there.pth'), Journal()
    runner.register_hook(journal)
    runner.train()
    assert journal.lines[2] == ('after_train_iter', 1, 3)


def test_checkpoints_hold_the_text_of_the_config(toy, tmp_path):
    runner = toy()
    runner.train()
    runner.save_checkpoint(str(tmp_path), 'saved.pth')
    meta = torch.load(tmp_path / 'saved.pth', weights_only=False)['meta']
    assert meta['cfg'] == runner.cfg.pretty_text


def test_groups_keep_initial_values():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = LinearLR(optimizer, start_factor=0.5, end=3, by_epoch=False)
    [group] = optimizer.param_groups
    assert (group['initial_lr'], group['lr']) == (1.0, 0.5)
    runner, hook = SimpleNamespace(param_schedulers=[scheduler]), ParamSchedulerHook()
    hook.after_train_epoch(runner)
    assert group['lr'] == 0.5
    hook.after_train_iter(runner, 0)
    assert group['lr'] == 0.75


def test_no_training_loop_outside_of_training(tmp_path):
    validation = {'val_dataloader': {'dataset': ToyData()}, 'val_evaluator': [], 'val_cfg': {}}
    runner = Runner(
        *(Toy(), str(tmp_path)),
        experiment_name=f'idle_{tmp_path.name}',
        default_scope='mmseg',
        **validation,
    )
    assert runner._train_loop is None
    assert runner._val_loop == {}


def test_loader_starts_its_workers_by_a_function_that_can_be_wrapped():
    loader = Runner.build_dataloader(
        {
            'dataset': ToyData(),
            'batch_size': 1,
            'num_workers': 1,
            'sampler': {'type': 'DefaultSampler'},
        },
        seed=3,
    )
    assert callable(loader.worker_init_fn)
    loader.worker_init_fn = None  # the loader lets it be replaced
    assert isinstance(inspect.getattr_static(Runner, 'build_dataloader'), staticmethod)


def test_sampler_draws_anew_in_every_pass():
    sampler = DefaultSampler(ToyData(), shuffle=True, seed=1)
    first = list(iter(sampler))
    sampler.set_epoch(1)
    assert sorted(first) == [0, 1, 2, 3]
    assert first != list(iter(sampler))


def test_ema_swaps_weights_around_a_validation():
    hook, model = EMAHook(), Toy()
    hook.before_run(SimpleNamespace(model=model))
    hook.ema_model.module.weight.data.fill_(7)
    hook.before_val_epoch(None)
    assert model.weight.item() == 7
    hook.after_val_epoch(None)
    assert (model.weight.item(), hook.ema_model.module.weight.item()) == (0, 7)


def test_ema_puts_the_average_into_checkpoints():
    hook, model = EMAHook(), Toy()
    hook.before_run(SimpleNamespace(model=model))
    hook.ema_model.module.weight.data.fill_(7)
    checkpoint = {'state_dict': model.state_dict()}
    hook.before_save_checkpoint(SimpleNamespace(), checkpoint)
    assert checkpoint['state_dict']['weight'].item() == 7
    assert checkpoint['ema_state_dict']['module.weight'].item() == 0
    assert hook.priority == 'NORMAL'  # before our VERY_LOW, which makes the content plain


def test_averaged_model_counts_its_steps():
    class Average(BaseAveragedModel):
        def avg_func(self, averaged, source, steps):
            averaged.add_(1 + steps)

    average = Average(Toy(), interval=2, update_buffers=True)
    for _ in range(4):
        average.update_parameters(Toy())
    assert (int(average.steps), average.interval, average.update_buffers) == (4, 2, True)
    assert average.module.weight.item() == 3  # copied at step 0, averaged at step 2


def test_clipping_asks_for_clip_func_in_every_step():
    model = Toy()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), clip_grad={'max_norm': 1.0})
    wrapper.message_hub = MessageHub.get_instance('upstream_clip')
    seen = []
    wrapper.clip_func = lambda parameters, **kwargs: seen.append((len(parameters), kwargs))
    wrapper.update_params(model.weight.sum())
    assert seen == [(1, {'max_norm': 1.0})]
    assert f'train/{wrapper.grad_name}' not in wrapper.message_hub.log_scalars  # None is not read
    MessageHub._instance_dict.pop('upstream_clip')


def test_history_is_two_arrays():
    hub = MessageHub.get_instance('upstream_history')
    hub.update_scalar('train/loss', 2.0)
    buffer = hub.log_scalars['train/loss']
    values, counts = buffer.data
    assert (values.tolist(), counts.tolist(), buffer.max_length) == ([2.0], [1], 1_000_000)
    assert HistoryBuffer(values, counts, 5).data[0].tolist() == [2.0]
    assert set(hub.state_dict()) >= {'log_scalars', 'runtime_info'}
    MessageHub._instance_dict.pop('upstream_history')


def test_constructor_walks_through_add_params():
    prefixes = []

    class Constructor(DefaultOptimWrapperConstructor):
        def add_params(self, params, module, prefix='', **kwargs):
            prefixes.append(prefix)
            super().add_params(params, module, prefix=prefix, **kwargs)

    model = nn.Sequential(nn.Linear(1, 2), nn.LayerNorm(2))
    cfg = {'optimizer': {'type': 'SGD', 'lr': 0.1, 'weight_decay': 0.1}}
    Constructor(cfg, {})(model)
    assert prefixes == []  # nothing set, nothing walked through
    wrapper = Constructor(cfg, {'custom_keys': {}})(model)
    assert prefixes == ['', '0', '1']
    groups = wrapper.optimizer.param_groups
    assert [group['params'] for group in groups] == [[p] for p in model.parameters()]


def test_constructors_are_looked_up_in_mmengines_registry():
    @OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
    class UpstreamConstructor(DefaultOptimWrapperConstructor):
        pass

    cfg = {'constructor': 'UpstreamConstructor', 'optimizer': {'type': 'SGD', 'lr': 0.1}}
    assert build_optim_wrapper(Toy(), cfg)
    OPTIM_WRAPPER_CONSTRUCTORS.module_dict.pop('UpstreamConstructor')


def test_schedulers_ask_for_values_and_step_numbers():
    class Half(LRSchedulerMixin, _ParamScheduler):
        def _get_value(self):
            return [base / (1 + self.last_step) for base in self.base_values]

    optimizer = torch.optim.SGD(Toy().parameters(), lr=1.0)
    scheduler = Half(optimizer, end=9)
    rates = [optimizer.param_groups[0]['lr']]
    for _ in range(2):
        scheduler.step()
        rates.append(optimizer.param_groups[0]['lr'])
    assert rates == [1, 1 / 2, 1 / 3]
    assert {'base_values', 'last_step', '_last_value'} <= set(scheduler.state_dict())


def test_evaluator_asks_each_metric_to_evaluate():
    metric = ToyMetric()
    Evaluator([metric]).evaluate(5)
    assert metric.sizes == (5,)


def test_configs_ask_where_their_base_is(tmp_path, monkeypatch):
    (tmp_path / 'below').mkdir()
    (tmp_path / 'below' / 'base.py').write_text('a = 1')
    (tmp_path / 'own.py').write_text("_base_ = 'far'\nb = 2")
    asked = []

    def path_of(name, config):
        asked.append((name, config))
        return str(tmp_path / 'below' / 'base.py'), None

    monkeypatch.setattr(Config, '_get_cfg_path', staticmethod(path_of))
    cfg = Config.fromfile(str(tmp_path / 'own.py'), lazy_import=False)
    assert (cfg.a, cfg.b) == (1, 2)
    assert asked == [('far', str(tmp_path / 'own.py'))]


def test_a_config_is_merged_over_its_bases_by_a_function_that_can_be_replaced(tmp_path, monkeypatch):
    (tmp_path / 'base.py').write_text('a = dict(b=1, c=2)')
    (tmp_path / 'own.py').write_text("_base_ = 'base.py'\na: dict = dict(b=3)")
    plain, seen = Config._merge_a_into_b, []

    def merge(said, base, allow_list_keys=False):
        seen.append((dict(said), dict(base)))
        return plain(said, base, allow_list_keys)

    monkeypatch.setattr(Config, '_merge_a_into_b', staticmethod(merge))
    assert Config.fromfile(str(tmp_path / 'own.py'), lazy_import=False).a == {'b': 3, 'c': 2}
    assert ({'a': {'b': 3}}, {'a': {'b': 1, 'c': 2}}) in seen


def test_a_config_merges_nested_changes():
    cfg = Config({'a': {'b': 1, 'c': 2}})
    cfg._cfg_dict.merge({'a': {'b': 3}})
    assert cfg.to_dict()['a'] == {'b': 3, 'c': 2}


def test_only_what_is_called_loss_is_added_up():
    total, log = Toy().parse_losses({'loss_a': torch.tensor(1.0), 'b': torch.tensor(2.0)})
    assert total == 1
    assert list(log) == ['loss', 'loss_a', 'b']


@MODELS.register_module()
class UpstreamBackbone(nn.Module):
    """Passes its input on."""

    def forward(self, x):
        return [x]


@MODELS.register_module()
class UpstreamHead(BaseDecodeHead):
    """mmseg's head around one convolution."""

    def __init__(self):
        super().__init__(
            [1, 1], channels=1, num_classes=2, out_channels=1, threshold=0.5, in_index=[0, 1],
            input_transform='multiple_select', dropout_ratio=0,
        )  # fmt: skip

    def forward(self, inputs):
        return self.cls_seg(self._transform_inputs(inputs)[0])


def test_segmentor_builds_the_backbone_before_the_head():
    seen = []

    class Segmentor(EncoderDecoder):
        def _init_decode_head(self, decode_head):
            seen.append(type(self.backbone).__name__)
            self.neck = nn.Identity()
            super()._init_decode_head(decode_head)

    model = Segmentor({'type': 'UpstreamBackbone'}, {'type': 'UpstreamHead'})
    assert seen == ['UpstreamBackbone']
    assert model.with_neck


def test_heads_are_trained_by_their_forward():
    head = UpstreamHead()
    head.forward = lambda inputs: 'logits'
    head.loss_by_feat = lambda logits, samples: (logits, samples)
    assert head.loss(['maps'], ['samples'], None) == ('logits', ['samples'])


def test_heads_choose_and_stack():
    head = UpstreamHead()
    assert head._transform_inputs(['a', 'b', 'c']) == ['a', 'b']
    assert head.cls_seg(torch.zeros(1, 1, 2, 2)).shape == (1, 1, 2, 2)
    truth = SimpleNamespace(gt_sem_seg=SimpleNamespace(data=torch.ones(1, 2, 3)))
    assert head._stack_batch_gt([truth, truth]).shape == (2, 1, 2, 3)


def test_a_torch_size_is_the_size_of_the_tensor():
    head, logits = UpstreamHead(), torch.zeros(1, 1, 2, 2)
    meta = {'pad_shape': (8, 8), 'img_shape': torch.Size((4, 6))}
    assert head.predict_by_feat(logits, [meta]).shape[2:] == (4, 6)
    assert head.predict_by_feat(logits, [{**meta, 'img_shape': (4, 6)}]).shape[2:] == (8, 8)


def test_every_checkpoint_is_read_in_one_place():
    source = inspect.getsource(upstream_checkpoint)
    calls = re.findall(r'[\w.]*(?:torch\.load|torch_load|load_url)\(', source)
    assert set(calls) == {'_safe_torch_load(', 'torch.load(', 'load_url('}
    inside = inspect.getsource(torch_load_of_mmengine())
    assert source.count(' torch.load(') == inside.count(' torch.load(')
    assert (
        inspect.getsource(upstream_checkpoint._load_checkpoint).count('CheckpointLoader.load_checkpoint(')
        == 1
    )
    for scheme in ('', 'http://', 'torchvision://', 'open-mmlab://'):
        assert CheckpointLoader._get_checkpoint_loader(scheme + 'x') is not None


def test_a_prefix_is_looked_up_by_one_function():
    source = inspect.getsource(PretrainedInit.__call__)
    assert 'from mmengine.runner.checkpoint import (_load_checkpoint_with_prefix,' in source
    assert source.count('_load_checkpoint_with_prefix(') == 1


def torch_load_of_mmengine():
    """mmengine's own ``_safe_torch_load``, from a fresh copy of its module."""
    spec = importlib.util.find_spec('mmengine.runner.checkpoint')
    fresh = importlib.util.module_from_spec(spec)
    schemes = dict(CheckpointLoader._schemes)
    spec.loader.exec_module(fresh)
    assert dict(CheckpointLoader._schemes) == schemes
    return fresh._safe_torch_load


def test_class_weights_are_read_by_load():
    assert 'load(class_weight)' in inspect.getsource(loss_utils.get_class_weight)
    assert callable(loss_utils.load)


def test_histories_are_pickled_by_getattr():
    used = {f'{o[1]}' for o in pickletools_globals(HistoryBuffer([1.0], [1]))}
    assert 'getattr' in used


def pickletools_globals(value):
    """(module, name) of what a pickle asks for."""
    text = pickle.dumps(value, protocol=2)
    return [arg.split() for op, arg, _ in pickletools.genops(text) if op.name == 'GLOBAL']


def test_the_page_has_one_row_for_each_of_these_tests(repository):
    text = (repository / 'docs' / 'mmengine.md').read_text(encoding='utf-8')
    rows = re.findall(r'`(test_\w+)` \|$', text, re.MULTILINE)
    here = [name for name in globals() if name.startswith('test_') and name != _THIS]
    assert sorted(rows) == sorted(here)


_THIS = 'test_the_page_has_one_row_for_each_of_these_tests'


def test_repeat_dataset_takes_the_rest_of_a_division():
    class Samples(BaseDataset):
        def load_data_list(self):
            return [{'number': n} for n in range(3)]

    repeated = RepeatDataset(Samples(), times=2)
    assert repeated._ori_len == 3
    assert [repeated[n]['number'] for n in range(6)] == [0, 1, 2] * 2


def test_a_training_step_is_four_calls():
    source = inspect.getsource(BaseModel.train_step)
    calls = ['optim_context(self)', 'self.data_preprocessor(data, True)', "mode='loss'", 'self.parse_losses(']
    places = [source.rindex(call) for call in [*calls, 'optim_wrapper.update_params(parsed_losses)']]
    assert places == sorted(places)


def test_schedulers_put_numbers_into_groups():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = LinearLR(optimizer, start_factor=0.5, end=4)
    assert scheduler._global_step == 0
    seen = []
    for step in range(1, 6):
        scheduler.step()
        assert scheduler._global_step == step
        seen.append(optimizer.param_groups[0]['lr'])
    assert all(isinstance(value, float) for value in seen)
    assert seen[2] == seen[3] == seen[4]


def test_wrappers_say_over_how_many_steps_they_add_up():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    assert OptimWrapper(optimizer, accumulative_counts=3)._accumulative_counts == 3


def test_data_sets_prepare_by_a_method_that_can_be_replaced():
    dataset = BaseDataset(lazy_init=True)
    dataset._fully_initialized = True
    dataset.prepare_data = lambda index: {'index': index}
    assert dataset[5] == {'index': 5}


def test_flips_are_drawn_apart():
    flip = RandomFlip(prob=[0.3, 0.3], direction=['horizontal', 'vertical'])
    np.random.seed(1)
    drawn = [flip._choose_direction() for _ in range(20)]
    np.random.seed(1)
    assert [flip({'img': np.zeros((2, 2, 1))})['flip_direction'] for _ in range(20)] == drawn


def test_local_backend_knows_its_files(tmp_path):
    class Ours(LocalVisBackend):
        @force_init_env
        def add_config(self, config):
            return self._config_save_file, self._img_save_dir

        def _dump(self, value_dict, file_path, file_format):
            dumped.append((value_dict, file_path, file_format))

    dumped = []
    VISBACKENDS.register_module(name='OursForThisTest')(Ours)
    visualizer = Visualizer('local', None, [{'type': 'OursForThisTest'}], str(tmp_path))
    (backend,) = visualizer._vis_backends.values()
    folder = tmp_path / 'vis_data'
    assert [*map(str, backend.add_config(None))] == [f'{folder}/config.py', f'{folder}/vis_image']
    visualizer.add_scalars({'loss': 1.0}, 1)
    assert [d[1:] for d in dumped] == [(f'{folder}/scalars.json', 'json')]
