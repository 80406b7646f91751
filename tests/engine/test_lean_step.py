"""What makes a training step lean changes nothing that training leaves behind."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.logging import MessageHub
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

import madnet  # noqa: F401
from madnet.engine.bare_model import bare
from madnet.engine.checkpoint import LAST, read_checkpoint
from madnet.engine.compiling import compile_parts
from madnet.engine.hooks import LeanRuntimeInfoHook, SafeCheckpointHook
from madnet.engine.optim import GroupedOptimWrapperConstructor
from madnet.engine.train import train


class Network(nn.Module):
    """Something with a weight, biases and a norm."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4)
        self.gamma = nn.Parameter(torch.ones(4))
        self.last = nn.Linear(4, 1)

    def forward(self, x):
        return self.last(self.norm(self.first(x)) * self.gamma)


def _wrapper(constructor, model, **optimizer):
    return constructor(
        {
            'type': 'OptimWrapper',
            'optimizer': {'type': 'AdamW', 'lr': 0.01, 'weight_decay': 0.1, **optimizer},
            'clip_grad': {'max_norm': 0.1},
        },
        {
            'bias_decay_mult': 0.0,
            'norm_decay_mult': 0.0,
            'custom_keys': {'.gamma': {'decay_mult': 0.0}, 'last': {'lr_mult': 2.0}},
        },
    )(model)


def _train(model, wrapper, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        wrapper.update_params(model(torch.randn(8, 3, generator=generator)).square().mean())


class TestGroups:
    def test_few_groups_move_the_weights_alike(self):
        torch.manual_seed(0)
        one = Network()
        other = copy.deepcopy(one)
        wrappers = [
            _wrapper(kind, model)
            for kind, model in (
                (DefaultOptimWrapperConstructor, one),
                (GroupedOptimWrapperConstructor, other),
            )
        ]
        groups = [len(w.optimizer.param_groups) for w in wrappers]
        assert groups == [7, 4]
        for model, wrapper in zip((one, other), wrappers, strict=True):
            _train(model, wrapper, 5, seed=1)
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)

    def test_parameters_say_that_they_are_not_decayed(self):
        """Also where nothing is set by parameter; a rate of their own stays."""
        model = Network()
        model.last.weight._no_weight_decay = True
        model.scan_bias = nn.Parameter(torch.ones(2))
        for paramwise, undecayed in (
            (None, {'last.weight'}),
            ({'bias_decay_mult': 0.0}, {'last.weight', 'first.bias', 'norm.bias', 'last.bias', 'scan_bias'}),
            ({'custom_keys': {'last': {'lr_mult': 2.0}}}, {'last.weight'}),
        ):
            optimizer = {'type': 'AdamW', 'lr': 0.01, 'weight_decay': 0.1}
            wrapper = GroupedOptimWrapperConstructor({'optimizer': optimizer}, paramwise)(model)
            groups = {id(p): group for group in wrapper.param_groups for p in group['params']}
            found = {n for n, p in model.named_parameters() if not groups[id(p)]['weight_decay']}
            assert found == undecayed
            faster = {n for n, p in model.named_parameters() if groups[id(p)]['lr'] == 0.02}
            assert faster == ({'last.weight', 'last.bias'} if 'custom_keys' in (paramwise or {}) else set())


def _log(hook, name, monkeypatch, steps=7, window=1):
    """What a hook leaves in the message hub, and at which steps it read a tensor."""
    hub = MessageHub.get_instance(name)
    model = nn.Linear(2, 1)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), clip_grad={'max_norm': 1.0})
    wrapper.message_hub = hub
    runner = SimpleNamespace(
        message_hub=hub, optim_wrapper=wrapper, hooks=[hook, LoggerHook(interval=3)], epoch=0, iter=0,
        max_epochs=1, max_iters=steps, train_dataloader=_Batches(steps),
        log_processor=SimpleNamespace(window_size=1, custom_cfg=[{'window_size': window}]),
    )  # fmt: skip
    reads = []
    for method in ('item', '__float__', 'tolist'):
        real = getattr(torch.Tensor, method)
        monkeypatch.setattr(torch.Tensor, method, lambda t, real=real: reads.append(runner.iter) or real(t))
    hook.before_train(runner)
    for i in range(steps):
        runner.iter = i
        hook.before_train_iter(runner, i)
        loss = model(torch.full((4, 2), float(i + 1))).square().mean()
        wrapper.update_params(loss)
        hook.after_train_iter(runner, i, outputs={'loss': loss, 'loss_out': loss / 2})
        if i == 3:
            checkpoint = {'message_hub': None}
            hook.before_save_checkpoint(runner, checkpoint)
    monkeypatch.undo()
    history = {k: v.data[0].tolist() for k, v in hub.log_scalars.items()}
    return history, checkpoint, sorted(set(reads))


class _Batches(list):
    def __init__(self, steps):
        super().__init__(range(steps))
        self.dataset = None


def test_the_log_is_mmengines_and_read_when_it_is_written(monkeypatch):
    torch.manual_seed(0)
    expected, _, always = _log(RuntimeInfoHook(), 'plain_log', monkeypatch)
    torch.manual_seed(0)
    found, checkpoint, seldom = _log(LeanRuntimeInfoHook(), 'lean_log', monkeypatch)
    assert found.keys() == expected.keys() >= {'train/loss', 'train/loss_out', 'train/lr', 'train/grad_norm'}
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-6), name
    assert always == list(range(7))
    assert seldom == [2, 3, 5, 6]  # two logs, a checkpoint, the end of the epoch
    assert len(checkpoint['message_hub']['log_scalars']['train/loss'].data[0]) == 4


@pytest.mark.parametrize(('window', 'kept'), [(1, 2), (4, 4), ('epoch', 7), ('global', 7)])
def test_the_history_is_bounded_by_what_the_log_needs(monkeypatch, window, kept):
    history, *_ = _log(LeanRuntimeInfoHook(keep=2), f'short_log_{window}', monkeypatch, window=window)
    assert {len(values) for values in history.values()} == {kept}


def test_the_size_of_a_checkpoint_does_not_grow_with_the_run(tiny_config, tmp_path):
    """A thousand steps' values of each loss, after a hundred thousand steps as well."""
    options = ['train_cfg.max_epochs=1', 'visualizer.vis_backends=[]']
    runner = train(str(tiny_config), str(tmp_path), options=options)
    saver = next(h for h in runner.hooks if isinstance(h, SafeCheckpointHook))
    lean = next(h for h in runner.hooks if isinstance(h, LeanRuntimeInfoHook))
    names = [name for name in runner.message_hub.log_scalars if name.startswith('train/')]
    sizes = []
    for hundred in range(1000):
        for name in names:
            lean._waiting[name] += [0.5] * 100
        lean.read(runner)
        if hundred in (9, 29, 999):
            saver.save_now(runner, 1)
            sizes.append((tmp_path / LAST).stat().st_size)
    assert max(sizes) - min(sizes) < 100, sizes


class Parts(nn.Module):
    """A segmentor's three parts."""

    def __init__(self):
        super().__init__()
        self.backbone, self.neck, self.decode_head = nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)

    def forward(self, x):
        return self.decode_head.forward(self.neck(self.backbone(x)))


def test_parts_are_compiled_for_training_only(monkeypatch):
    calls = []

    def compiled(function, **options):
        def run(*args):
            calls.append(options)
            return function(*args)

        return run

    monkeypatch.setattr(torch, 'compile', compiled)
    model = Parts()
    names, x = list(model.state_dict()), torch.randn(3, 2)
    expected = model(x)
    compile_parts(model, {'mode': 'reduce-overhead'})
    assert torch.equal(model.eval()(x), expected)
    assert not calls
    assert torch.equal(model.train()(x), expected)
    assert calls == [{'mode': 'reduce-overhead'}] * 3
    assert list(model.state_dict()) == names


@pytest.mark.slow
def test_a_compiled_run_can_be_resumed_without_compiling(tiny_config, tmp_path):
    """Through dynamo, without a code generator, which not every machine has."""
    options = ['train_cfg.max_epochs=1', 'param_scheduler.0.warmup_steps=1']
    compiled = ['compile.disable=False', 'compile.backend=eager']
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), options=[*options, *compiled])
    names = list(bare(runner.model).state_dict())
    assert list(read_checkpoint(tmp_path / 'run' / LAST)['state_dict']) == names

    images = torch.randn(2, 1, 64, 64)
    model = copy.deepcopy(bare(runner.model))
    for part in (model.backbone, model.neck, model.decode_head):
        del part.forward  # what compile_parts put in its place
    maps = []
    for each in (bare(runner.model).train(), model.train()):
        torch.manual_seed(0)
        maps.append(torch.cat(each.decode_head.forward(each.extract_feat(images)), dim=1))
    torch.testing.assert_close(*maps, rtol=1e-3, atol=1e-3)

    options = ['train_cfg.max_epochs=2', *options[1:]]
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), resume=True, options=options)
    assert runner.epoch == 2
    assert list(bare(runner.model).state_dict()) == names
