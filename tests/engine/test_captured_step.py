"""The captured step against the plain one, with something in a CUDA graph's place that a CPU can run."""

import os
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmseg.registry import HOOKS, MODELS, OPTIM_WRAPPERS
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

import madnet  # noqa: F401
from madnet.datasets.device_cache import DeviceCache
from madnet.datasets.wrappers import inner_datasets
from madnet.engine import training_step
from madnet.engine.bare_model import bare
from madnet.engine.checkpoint import LAST, read_checkpoint
from madnet.engine.faults import translate
from madnet.engine.half_weights import HalfWeights
from madnet.engine.optim import schedulers
from madnet.engine.optim.ramped_ema import RampedEMA
from madnet.engine.runner import build_runner
from madnet.engine.train import train, training_config
from madnet.engine.training_stopped import TrainingStopped
from madnet.models.losses import SoftIoULoss
from madnet.models.segmentors import IRSTDSegmentor


class Recording(TorchDispatchMode):
    """Keeps every operator with its arguments; called again, runs them on the same tensors, as a graph does:
    Python has no part in it."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, out))
        return out

    def replay(self):
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            given = {t.untyped_storage().data_ptr() for t in tree_flatten((args, kwargs))[0] if is_tensor(t)}
            for old, new in zip(tree_flatten(out)[0], tree_flatten(again)[0], strict=True):
                if is_tensor(old) and new is not old and old.untyped_storage().data_ptr() not in given:
                    old.copy_(new)


def is_tensor(value):
    return isinstance(value, Tensor)


class RecordedGraph:
    """Stands for a CUDA graph: what Python did in the first call is frozen."""

    def __init__(self, body):
        self._recording = Recording()
        with self._recording:  # unlike a capture, it runs the operators
            body()

    def replay(self):
        with torch.no_grad():
            self._recording.replay()


@HOOKS.register_module()
class StopAfter(Hook):
    """Sends a signal to this process after some steps."""

    def __init__(self, steps):
        self.steps = steps

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == self.steps:
            os.kill(os.getpid(), signal.SIGTERM)


@HOOKS.register_module()
class FreezesLater(Hook):
    """Freezes the backbone after an epoch."""

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            bare(runner.model).backbone.requires_grad_(False)
            self.then = [p.clone() for p in bare(runner.model).backbone.parameters()]


@HOOKS.register_module()
class Changes(Hook):
    """Changes something else before every epoch."""

    def before_train_epoch(self, runner):
        model = bare(runner.model)
        if runner.epoch == 1:
            model.decode_head.loss_weights[-1] = 3.0
        elif runner.epoch == 2:
            for loss in model.decode_head.loss_decode:
                loss.settings['smooth'] = 50.0
        elif runner.epoch == 3:
            runner.optim_wrapper.clip_grad_kwargs['max_norm'] = 1e-3
        elif runner.epoch == 4:
            for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
                norm.momentum = 0.9


@HOOKS.register_module()
class EndsAugmentation(Hook):
    """Gives the last data set a pipeline that only crops, as mmdet's PipelineSwitchHook does."""

    def before_train_epoch(self, runner):
        if runner.epoch == 4:
            loader = runner.train_dataloader
            dataset = inner_datasets(loader.dataset)[-1]
            dataset.pipeline = Compose([*dataset.pipeline.transforms[:3], dataset.pipeline.transforms[-1]])
            loader._DataLoader__initialized, loader._iterator = False, None  # its workers have the old one


@MODELS.register_module()
class OwnStep(IRSTDSegmentor):
    def train_step(self, data, optim_wrapper):
        return super().train_step(data, optim_wrapper)


@OPTIM_WRAPPERS.register_module()
class OwnUpdate(OptimWrapper):
    def update_params(self, loss, **kwargs):
        super().update_params(loss, **kwargs)


OPTIONS = {
    'train_dataloader.dataset.length': 20,
    'train_dataloader.dataset.fresh': False,
    'train_cfg.max_epochs': 10,  # of five steps; the cross entropy begins after half of them
    'train_cfg.val_interval': 5,
    'model.backbone.base_channels': 2,
    'model.backbone.num_stages': 2,  # operators are what time goes to
    'model.decode_head.loss_weights': [1.0, 0.5, 0.25, 1.0],
}


SHORT = {'train_cfg.max_epochs': 1}  # five steps; the fourth is captured


def run(config, folder, step, more_options=(), **more):
    options = {**OPTIONS, 'capture_step': step, **dict(more_options)}
    runner = train(str(config), work_dir=str(folder), options=options, **more)
    history = {k: v.data[0] for k, v in runner.message_hub.log_scalars.items() if 'time' not in k}
    return runner, history


def assert_alike(ours, plain, tolerance):
    assert ours.keys() == plain.keys()
    for name in plain:
        np.testing.assert_allclose(ours[name], plain[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.fixture(autouse=True)
def _where_it_stands(request):
    """What stands for a graph replays no kernels of Triton, and cuDNN adds up in one order or another."""
    if torch.cuda.is_available() and request.cls is not TestOnAGPU:
        pytest.skip('stands for a GPU where there is none')


@pytest.fixture(scope='module')
def rounded_rates():
    """Rates that a float32 holds, in which a tensor keeps them."""
    plain = schedulers._FactorScheduler._get_value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            schedulers._FactorScheduler,
            '_get_value',
            lambda self: [float(np.float32(v)) for v in plain(self)],
        )
        yield


@pytest.fixture(scope='module')
def plain_run(tmp_path_factory, tiny_text, rounded_rates):
    """Folder and history of the plain way."""
    folder = tmp_path_factory.mktemp('plain')
    (folder / 'tiny.py').write_text(tiny_text)
    runner, history = run(folder / 'tiny.py', folder / 'plain', False)
    assert not runner.train_loop.step.replays
    return folder / 'plain', history


@pytest.fixture(scope='module')
def plain_epoch(tmp_path_factory, tiny_text, rounded_rates):
    """Runner and history of one epoch of the plain way."""
    folder = tmp_path_factory.mktemp('epoch')
    (folder / 'tiny.py').write_text(tiny_text)
    return run(folder / 'tiny.py', folder / 'plain', False, more_options=SHORT)


@pytest.mark.parametrize('frozen', [False, True])
def test_fifty_steps_are_those_of_the_plain_way(tiny_config, tmp_path, plain_run, frozen, monkeypatch):
    """Warm-up, decay, clipping, average, a loss that begins in mid-run, two validations."""
    folder, plain = plain_run
    if frozen:
        monkeypatch.setattr(training_step, 'PlainCall', RecordedGraph)
    runner, ours = run(tiny_config, tmp_path / 'ours', 'emulate')
    assert runner.train_loop.step.replays
    assert_alike(ours, plain, 1e-5)
    assert len(ours['train/loss']) == 50
    begins = ours['train/decode.loss_bce_out']
    assert not begins[:25].any()
    assert begins[25:].all()
    last, expected = (read_checkpoint(path / LAST) for path in (tmp_path / 'ours', folder))
    for part in ('state_dict', 'ema_state_dict'):
        for key, value in expected[part].items():
            torch.testing.assert_close(last[part][key], value, rtol=1e-4, atol=1e-5, msg=key)
    for group, other in zip(
        last['optimizer']['param_groups'], expected['optimizer']['param_groups'], strict=True
    ):
        assert group == other


def test_what_a_hook_freezes_after_an_epoch_stays(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(training_step, 'PlainCall', RecordedGraph)
    tiny_config.write_text(f"{tiny_config.read_text()}custom_hooks = [dict(type='FreezesLater')]\n")
    runner, _ = run(tiny_config, tmp_path / 'run', 'emulate', more_options={'train_cfg.max_epochs': 4})
    assert runner.train_loop.step.replays
    [hook] = [hook for hook in runner.hooks if isinstance(hook, FreezesLater)]
    assert all(map(torch.equal, bare(runner.model).backbone.parameters(), hook.then))


def test_what_a_hook_changes_before_an_epoch_holds(tiny_config, tmp_path, monkeypatch, rounded_rates):
    """Items of lists and dictionaries, numbers of modules and of clipping."""
    tiny_config.write_text(f"{tiny_config.read_text()}custom_hooks = [dict(type='Changes')]\n")
    options = {'train_cfg.max_epochs': 5, 'model.decode_head.loss_decode': [dict(type='SoftIoULoss')]}
    plain, expected = run(tiny_config, tmp_path / 'plain', False, more_options=options)
    monkeypatch.setattr(training_step, 'PlainCall', RecordedGraph)
    runner, found = run(tiny_config, tmp_path / 'run', 'emulate', more_options=options)
    assert runner.train_loop.step.replays
    assert_alike(found, expected, 1e-4)
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(runner.model.state_dict()[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_a_resumed_run_is_the_same_to_the_bit(tiny_config, tmp_path):
    resumed_run_is_the_same(tiny_config, tmp_path, 'emulate')


def resumed_run_is_the_same(tiny_config, tmp_path, step):
    """Stopped after the capture, before the cross entropy begins, in the middle of an epoch."""
    options = {'train_cfg.max_epochs': 4}
    plain_text = tiny_config.read_text()
    run(tiny_config, tmp_path / 'whole', step, options)
    tiny_config.write_text(plain_text + "default_hooks = dict(end=dict(type='StopAfter', steps=7))\n")
    with pytest.raises(TrainingStopped):
        run(tiny_config, tmp_path / 'halves', step, options)
    tiny_config.write_text(plain_text)
    runner, _ = run(tiny_config, tmp_path / 'halves', step, options, resume=True)
    assert runner.train_loop.step.replays
    whole, halves = (read_checkpoint(tmp_path / name / LAST) for name in ('whole', 'halves'))
    for part in ('state_dict', 'ema_state_dict'):
        for key, value in whole[part].items():
            assert torch.equal(halves[part][key], value), key


def test_it_goes_on_with_what_the_plain_way_saved(tiny_config, tmp_path):
    """And the other way round: nothing of tensors for rates is in a checkpoint."""
    for before, after in ((False, 'emulate'), ('emulate', False)):
        folder = tmp_path / str(before)
        options = {**OPTIONS, 'train_cfg.max_epochs': 2}
        train(str(tiny_config), work_dir=str(folder), options={**options, 'capture_step': before})
        saved = read_checkpoint(folder / LAST)['optimizer']['param_groups']
        assert all(isinstance(group['lr'], float) for group in saved)
        options['train_cfg.max_epochs'] = 3
        runner = train(
            str(tiny_config), work_dir=str(folder), options={**options, 'capture_step': after}, resume=True
        )
        assert runner.epoch == 3


class Reads(SoftIoULoss):
    """Goes by a value."""

    def compute(self, logits, target, valid):
        loss = super().compute(logits, target, valid)
        return 2 * loss if float(loss.detach().mean()) > 5 else loss


MODELS.register_module(module=Reads, force=True)


def test_what_cannot_be_captured_is_named(tiny_config, tmp_path):
    options = {
        'train_cfg.max_epochs': 1,
        'capture_step': 'emulate',
        # a single map: a loss that goes by values cannot take all of them in one go
        'model.decode_head.deep_supervision': False,
        'model.decode_head.loss_weights': None,
        'model.decode_head.loss_decode': {'_delete_': True, 'type': 'Reads'},
    }
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), options=options)
    said = next(runner_log(runner))
    place = r'not captured: _local_scalar_dense waits .*test_captured_step\.py, line \d+, in compute'
    assert re.search(place, said)
    assert said.count('not captured') == 1


class BreaksOff:
    """A capture that fails in the middle of the step, and at its end for that."""

    def __init__(self, body):
        step = body.func.__self__
        wrapper = step._wrapper
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(wrapper, 'step', self.fail)
                body()
        finally:
            raise RuntimeError('CUDA error: operation failed due to a previous error during capture')

    def fail(self, **kwargs):
        raise RuntimeError('CUDA error: operation not permitted when stream is capturing\nmore')


class Frozen:
    """Goes by numbers as they were when it was captured."""

    def __init__(self, body):
        self.body, self.numbers = body, self.of(body.func.__self__)
        self.before = [number.clone() for number in self.numbers]

    def replay(self):
        torch._foreach_copy_(self.numbers, self.before)
        self.body()


class FrozenRates(Frozen):
    @staticmethod
    def of(step):
        return step._optimizer.rates


class FrozenDecay(Frozen):
    @staticmethod
    def of(step):
        return [average.decay_now for average in step._averages]


class OtherBatch:
    """Reads other memory than the batch's."""

    def __init__(self, body):
        [phase] = body.args
        self.body = partial(body.func, replace(phase, buffers=dict(phase.buffers)))
        self.body.args[0].buffers['inputs'] = torch.zeros_like(phase.buffers['inputs'])

    def replay(self):
        self.body()


class FailsLater(OtherBatch):
    def replay(self):
        raise RuntimeError('no memory for the graph')


class DoesNothing:
    def __init__(self, body):
        pass

    def replay(self):
        pass


@pytest.mark.parametrize(
    ('graph', 'words'),
    [
        (BreaksOff, r'operation not permitted when stream is capturing \(.*line \d+, in fail\)'),
        (FrozenRates, 'a replay moves the weights otherwise'),
        (FrozenDecay, 'a replay moves the average otherwise'),
        (OtherBatch, 'a replay gives another'),
        (FailsLater, r'no memory for the graph \(.*in replay\)'),
        (DoesNothing, 'a replay moves the weights otherwise'),
    ],
)
def test_a_graph_that_fails_or_does_otherwise_is_not_used(
    tiny_config, tmp_path, monkeypatch, plain_epoch, graph, words
):
    """And training is what it would have been without."""
    plain, expected = plain_epoch
    monkeypatch.setattr(training_step, 'PlainCall', graph)
    runner, found = run(tiny_config, tmp_path / 'run', 'emulate', more_options=SHORT)
    assert_alike(found, expected, 1e-4)
    [line] = [line for line in next(runner_log(runner)).splitlines() if 'not captured' in line]
    assert re.search(words, line)
    assert not runner.train_loop.step.replays
    for ours, theirs in zip(runner.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_first_step_that_fails_goes_mmengines_way(tiny_config, tmp_path, monkeypatch, plain_epoch):
    plain, expected = plain_epoch
    move = RampedEMA.move

    def fail(average, model):  # after the weights have moved
        if average.decay_now is not None:
            raise RuntimeError('no kernel image is available')
        move(average, model)

    monkeypatch.setattr(RampedEMA, 'move', fail)
    runner, found = run(tiny_config, tmp_path / 'run', 'emulate', more_options=SHORT)
    assert_alike(found, expected, 1e-5)
    assert len(found['train/grad_norm']) == 5
    [line] = [line for line in next(runner_log(runner)).splitlines() if 'not captured' in line]
    assert 'no kernel image is available' in line
    ours, theirs = (
        next(h for h in r.hooks if hasattr(h, 'ema_model')).ema_model.state_dict() for r in (runner, plain)
    )
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.fixture(scope='module')
def plain_half_epoch(tmp_path_factory, tiny_text, rounded_rates):
    """History of one epoch of the plain way in half precision, in which some CPUs are slow."""
    folder = tmp_path_factory.mktemp('half')
    (folder / 'tiny.py').write_text(tiny_text)
    return run(folder / 'tiny.py', folder / 'plain', False, more_options=SHORT, amp='bf16')[1]


@pytest.mark.parametrize('frozen', [False, True])
def test_half_precision_is_the_same(tiny_config, tmp_path, monkeypatch, plain_half_epoch, frozen):
    """Where weights are cast all at once."""
    if frozen:
        monkeypatch.setattr(training_step, 'PlainCall', RecordedGraph)
    runner, found = run(tiny_config, tmp_path / 'run', 'emulate', more_options=SHORT, amp='bf16')
    step = runner.train_loop.step
    assert 'not captured' not in next(runner_log(runner))
    assert_alike(found, plain_half_epoch, 1e-4)
    [names] = [phase.halves.found(torch.bfloat16) for phase in step._phases.values() if phase.captured]
    assert 'backbone.stages.0.conv_in.weight' in names
    assert not any('differential' in name for name in names)  # they are mixed in full precision


class Parts(torch.nn.Module):
    """Uses weights in many ways."""

    def __init__(self):
        super().__init__()
        self.plain, self.summed, self.full, self.mixed = (torch.nn.Conv2d(1, 1, 3) for _ in range(4))
        self.turned = torch.nn.ConvTranspose2d(1, 1, 3)
        self.unused = torch.nn.Conv2d(1, 1, 3)

    def forward(self, x):
        y = self.turned(self.summed(self.plain(x))) + self.summed.weight.sum()
        y = self.mixed(y)
        with torch.autocast('cpu', enabled=False):
            return self.mixed(self.full(y.float()))


def test_only_weights_that_nothing_else_uses_are_cast():
    """Not those of a layer in full precision, even if it is called in half as well, nor of one whose weight
    goes into a sum."""
    model = Parts()
    halves = HalfWeights(model)
    with torch.autocast('cpu', torch.bfloat16), halves:
        model(torch.zeros(1, 1, 16, 16))
    found = {'plain.bias', 'plain.weight', 'summed.bias', 'turned.bias', 'turned.weight'}
    assert set(halves.found(torch.bfloat16)) == found


@MODELS.register_module()
class FullPrecision(IRSTDSegmentor):
    """Whose first convolution stays in full precision; in smaller images alone, if ``below`` is given."""

    def __init__(self, *args, below=1000, **kwargs):
        super().__init__(*args, **kwargs)
        self.first, self.below = torch.nn.Conv2d(1, 1, 1), below

    def extract_feat(self, inputs):
        small = inputs.shape[-1] < self.below
        with torch.autocast('cpu', enabled=False) if small else nullcontext():
            inputs = self.first(inputs.float())
        return super().extract_feat(inputs)


@pytest.mark.parametrize(('sizes', 'below'), [(32, 1000), ([48, 32], 48)])
def test_a_layer_in_full_precision_stays_so(tiny_config, tmp_path, rounded_rates, sizes, below):
    """Also where it does so in some batches only."""
    tiny_config.write_text(
        f"{tiny_config.read_text()}model = dict(type='FullPrecision', below={below})\n"
        f'replace_steps = dict(RandomTargetCrop=dict(size={sizes}))\n'
    )
    options = {'train_cfg.max_epochs': 2}
    _, expected = run(tiny_config, tmp_path / 'plain', False, more_options=options, amp='bf16')
    runner, found = run(tiny_config, tmp_path / 'run', 'emulate', more_options=options, amp='bf16')
    assert 'not captured' not in next(runner_log(runner))
    assert_alike(found, expected, 1e-3)


def test_a_network_that_takes_no_other_weights_goes_mmengines_way(
    tiny_config, tmp_path, monkeypatch, rounded_rates
):
    """Weights are cast from the second step on."""
    _, expected = run(tiny_config, tmp_path / 'plain', False, more_options=SHORT, amp='bf16')

    def fail(halves, dtype):
        raise TypeError('weight is no Parameter')

    monkeypatch.setattr(HalfWeights, 'cast', fail)
    runner, found = run(tiny_config, tmp_path / 'run', 'emulate', more_options=SHORT, amp='bf16')
    assert_alike(found, expected, 1e-4)
    [line] = [line for line in next(runner_log(runner)).splitlines() if 'not captured' in line]
    assert 'weight is no Parameter' in line


@MODELS.register_module()
class OtherLosses(IRSTDSegmentor):
    """Gives one more loss where images are large enough for it."""

    def loss(self, inputs, data_samples):
        losses = super().loss(inputs, data_samples)
        return losses if inputs.shape[-1] < 48 else {'loss_more': sum(losses.values()) / 2, **losses}


def test_losses_are_those_of_the_batchs_size(tiny_config, tmp_path, monkeypatch, rounded_rates):
    """A graph for each size, in turns."""
    monkeypatch.setattr(training_step, 'PlainCall', RecordedGraph)
    tiny_config.write_text(
        f"{tiny_config.read_text()}model = dict(type='OtherLosses')\n"
        'replace_steps = dict(RandomTargetCrop=dict(size=[32, 48]))\n'
    )
    options = {'train_cfg.max_epochs': 4, 'model.decode_head.loss_decode': [dict(type='SoftIoULoss')]}
    _, expected = run(tiny_config, tmp_path / 'plain', False, more_options=options)
    runner, found = run(tiny_config, tmp_path / 'run', 'emulate', more_options=options)
    assert len([p for p in runner.train_loop.step._phases.values() if p.captured]) == 2
    assert_alike(found, expected, 1e-4)


def test_a_scaler_of_gradients_is_part_of_the_graph(tiny_config, tmp_path, monkeypatch, rounded_rates):
    """With a scale so large that gradients are infinite in every third step or so, which is left out."""
    scaler = {'init_scale': 2.0**127, 'growth_interval': 2}
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', partial(torch.amp.GradScaler, 'cpu'))
    options = {
        'train_cfg.max_epochs': 2,
        'optim_wrapper.type': 'AmpOptimWrapper',
        'optim_wrapper.dtype': 'bfloat16',
        'optim_wrapper.loss_scale': scaler,
        'model.decode_head.loss_weights': [20.0] * 4,
    }
    plain, expected = run(tiny_config, tmp_path / 'plain', False, more_options=options)
    monkeypatch.setattr(training_step, 'PlainCall', RecordedGraph)
    runner, found = run(tiny_config, tmp_path / 'run', 'emulate', more_options=options)
    assert 'not captured' not in next(runner_log(runner))
    assert_alike(found, expected, 1e-4)
    ours, theirs = (r.optim_wrapper for r in (runner, plain))
    assert ours.loss_scaler.get_scale() == theirs.loss_scaler.get_scale()
    steps = [next(iter(w.optimizer.state.values()))['step'].item() for w in (ours, theirs)]
    assert steps[0] == steps[1] < 10  # of ten


class Counts(SoftIoULoss):
    """Goes by the number of steps, which Python counts."""

    steps = 0

    def compute(self, logits, target, valid):
        self.steps += 1
        return super().compute(logits, target, valid) / self.steps


MODELS.register_module(module=Counts, force=True)


def test_a_module_that_counts_steps_is_named(tiny_config, tmp_path):
    options = {
        **SHORT,
        'model.decode_head.deep_supervision': False,
        'model.decode_head.loss_weights': None,
        'model.decode_head.loss_decode': {'_delete_': True, 'type': 'Counts'},
    }
    runner, _ = run(tiny_config, tmp_path / 'run', 'emulate', more_options=options)
    said = next(runner_log(runner))
    assert re.search(
        r'not captured: decode_head\.loss_decode\.steps changes from step to step \(\d, \d\)', said
    )


def test_images_that_do_not_fit_on_the_device_stay_with_the_loader(
    tiny_config, tmp_path, monkeypatch, plain_epoch
):
    def fail(cache, drawn):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')

    _, expected = plain_epoch
    monkeypatch.setattr(DeviceCache, 'batch', fail)
    options = {**SHORT, 'device_cache': True}
    runner, found = run(tiny_config, tmp_path / 'run', 'emulate', more_options=options)
    assert_alike(found, expected, 1e-4)
    assert 'not kept on cpu: CUDA out of memory. Tried to allocate 2.00 GiB.' in next(runner_log(runner))


def test_what_a_card_does_to_a_run_is_one_line():
    error = translate(torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.\nmore'))
    assert 'train_dataloader.batch_size=4' in str(error)
    error = translate(RuntimeError('CUDA error: an illegal memory access was encountered\nmore'))
    assert 'capture_step=False device_cache=False' in str(error)
    assert '\n' not in str(error)
    assert translate(RuntimeError('something else')) is None


@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        (
            "optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adagrad', lr=0.1, weight_decay=0.0))",
            'Adagrad is none of',
        ),
        ('optim_wrapper = dict(accumulative_counts=2)', 'accumulative_counts adds'),
        ('default_hooks = dict(finite=dict(skip=1))', '--skip-nonfinite looks'),
        ("custom_hooks = [dict(type='EMAHook')]", 'ExponentialMovingAverage is no RampedEMA'),
        (
            "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=8.0, "
            "optimizer=dict(_delete_=True, type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0))",
            'SGD with momentum and scaled gradients',
        ),
        ("model = dict(type='OwnStep')", 'OwnStep has a train_step of its own'),
        ("optim_wrapper = dict(type='OwnUpdate')", 'OwnUpdate has an update_params of its own'),
    ],
)
def test_settings_that_cannot_be_captured_are_named(tiny_config, tmp_path, line, reason, monkeypatch):
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', partial(torch.amp.GradScaler, 'cpu'))
    tiny_config.write_text(f'{tiny_config.read_text()}{line}\n')
    cfg = training_config(str(tiny_config), str(tmp_path / 'run'))
    runner = build_runner(cfg)
    runner.param_schedulers = []
    runner.optim_wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    runner.call_hook('before_run')
    assert reason in training_step.why_not(runner)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
class TestOnAGPU:
    """The same with a graph; for whoever has a card."""

    @pytest.mark.parametrize('amp', [None, 'bf16', 'fp16'])
    def test_the_step_is_captured(self, tiny_config, tmp_path, amp):
        runner, _ = run(tiny_config, tmp_path / 'run', True, more_options=SHORT, amp=amp)
        assert runner.train_loop.step.replays
        assert 'not captured' not in next(runner_log(runner))

    def test_losses_are_those_of_the_plain_way(self, tiny_config, tmp_path, plain_run):
        _, plain = plain_run
        runner, ours = run(tiny_config, tmp_path / 'ours', True)
        assert runner.train_loop.step.replays
        # cuDNN adds up in one order or another, which training amplifies
        for steps, tolerance in ((3, 1e-4), (10, 1e-3)):
            losses = ({'loss': history['train/loss'][:steps]} for history in (ours, plain))
            assert_alike(*losses, tolerance)

    def test_a_resumed_run_is_the_same_to_the_bit(self, tiny_config, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.backends.cudnn, 'deterministic', True)
        resumed_run_is_the_same(tiny_config, tmp_path, True)

    def test_a_replay_waits_for_nothing(self, tiny_config, tmp_path):
        options = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 2, 'device_cache': True}
        options |= {'train_dataloader.dataset.fresh': False, 'train_dataloader.dataset.length': 40}
        runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), options=options)
        batch = next(iter(runner.train_dataloader))
        torch.cuda.set_sync_debug_mode('error')
        try:
            for _ in range(5):
                runner.train_loop.step(batch)
        finally:
            torch.cuda.set_sync_debug_mode('default')


TWO_SETS = """
_set = dict(type='SyntheticSIRSTDataset', split='train', length=13, size=80, pipeline=_base_.train_pipeline)
_other = dict(_set, length=8, size=(70, 90), seed=3)
train_dataloader = dict(
    batch_size=4,
    num_workers={workers},
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[_set, _other]),
)
replace_steps = dict(RandomTargetCrop=dict(size=64))
"""


def test_images_of_several_sizes_go_mmengines_way(tiny_config, tmp_path):
    """Which pads them to the largest of their batch."""
    without_crop = TWO_SETS.format(workers=0).replace('RandomTargetCrop=dict(size=64)', 'RandomTargetCrop=[]')
    tiny_config.write_text(tiny_config.read_text() + without_crop)
    options = {'model.backbone.base_channels': 2, 'train_cfg.max_epochs': 1, 'optim_wrapper.clip_grad': None}
    plain, emulated = (
        train(str(tiny_config), work_dir=str(tmp_path / str(step)), options={**options, 'capture_step': step})
        for step in (False, 'emulate')
    )
    assert 'not captured: images of one batch have several sizes, ' in next(runner_log(emulated))
    assert len(emulated.message_hub.log_scalars['train/grad_norm'].data[0]) == emulated.iter
    for ours, theirs in zip(emulated.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_samples_of_several_masks_go_mmengines_way(tiny_config, tmp_path):
    """One set gives no grey mask, whichever comes first in a batch."""
    other = TWO_SETS.format(workers=0).replace('seed=3', 'pipeline=[*_base_.train_pipeline[:-1], _pack]')
    tiny_config.write_text(f"{tiny_config.read_text()}_pack = dict(type='PackSegInputs')\n{other}")
    options = {'model.backbone.base_channels': 2, 'train_cfg.max_epochs': 1}
    plain, emulated = (
        train(str(tiny_config), work_dir=str(tmp_path / str(step)), options={**options, 'capture_step': step})
        for step in (False, 'emulate')
    )
    said = r'not captured: images of one batch have several masks, gt_\w+.* and gt_\w+'
    assert re.search(said, next(runner_log(emulated)))
    for ours, theirs in zip(emulated.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('step', 'workers'), [(False, 0), ('emulate', 2)])
def test_images_on_the_device_train_as_those_of_the_loader(tiny_config, tmp_path, step, workers, capsys):
    """Thirty steps on two sets of different sizes, stopped inside an epoch and resumed; for the last ten a
    hook replaces a pipeline."""
    options = {'train_cfg.max_epochs': 6, 'train_cfg.val_interval': 6, 'capture_step': step}
    plain_text = tiny_config.read_text() + TWO_SETS.format(workers=workers)
    plain_text += "custom_hooks = [*_base_.custom_hooks, dict(type='EndsAugmentation')]\n"
    tiny_config.write_text(plain_text)
    plain = train(str(tiny_config), work_dir=str(tmp_path / 'plain'), options=options)
    tiny_config.write_text(plain_text + "default_hooks = dict(end=dict(type='StopAfter', steps=13))\n")
    options |= {'device_cache': True}
    with pytest.raises(TrainingStopped):
        train(str(tiny_config), work_dir=str(tmp_path / 'ours'), options=options)
    tiny_config.write_text(plain_text)
    ours = train(str(tiny_config), work_dir=str(tmp_path / 'ours'), options=options, resume=True)
    assert '21 training images on cpu' in capsys.readouterr().out
    losses, expected = (r.message_hub.get_scalar('train/loss').data[0] for r in (ours, plain))
    assert len(expected) == 30
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-5)


def test_images_that_are_new_in_every_epoch_stay_with_the_loader(tiny_config, tmp_path):
    options = {'train_cfg.max_epochs': 1, 'device_cache': True}
    runner = train(str(tiny_config), work_dir=str(tmp_path), options=options)
    assert 'makes new scenes in every epoch' in next(runner_log(runner))


def runner_log(runner):
    for path in Path(runner.log_dir).glob('*.log'):
        yield path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize('depths', [[np.uint8], [np.uint8, np.uint16]])
def test_two_processes_train_as_the_plain_way(tiny_config, tmp_path, repository, depths):
    """Also where one has images of 8 bits while the other has some of 16: their graphs are made together."""
    rng = np.random.default_rng(0)
    for part, number in (('train', 20), ('val', 4), ('test', 4)):
        for folder in ('images', 'masks'):
            (tmp_path / 'data' / part / folder).mkdir(parents=True)
        for k in range(number):
            kind = depths[k % 3 % len(depths)]
            image = rng.integers(0, np.iinfo(kind).max // 2, (48, 48)).astype(kind)
            image[20:24, 20:24] = np.iinfo(kind).max
            mask = np.where(image == np.iinfo(kind).max, 255, 0).astype(np.uint8)
            for folder, pixels in (('images', image), ('masks', mask)):
                cv2.imwrite(str(tmp_path / 'data' / part / folder / f'{part}{k}.png'), pixels)
    losses = {}
    for step in ('False', 'emulate'):
        command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
        command += ['-m', 'madnet', 'train', 'madnet_nano', '--dataset', str(tmp_path / 'data')]
        command += ['--launcher', 'pytorch', '--work-dir', str(tmp_path / step), '--cfg-options']
        options = [f'capture_step={step}', 'train_dataloader.batch_size=1', 'train_cfg.max_epochs=1']
        options += ['model.backbone.base_channels=2', 'replace_steps.RandomTargetCrop.size=32']
        # without GPUs, of which a machine may have one alone
        env = {**os.environ, 'CUDA_VISIBLE_DEVICES': ''}
        subprocess.run([*command, *options], cwd=repository, check=True, env=env)
        history = read_checkpoint(tmp_path / step / LAST)['message_hub']['log_scalars']['train/loss']
        losses[step] = history['__history_buffer__'][0].numpy()
    assert len(losses['False']) == 10
    # rates are rounded to single precision, which training amplifies
    np.testing.assert_allclose(losses['emulate'], losses['False'], rtol=1e-3)
