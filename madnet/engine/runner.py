"""mmengine's Runner with what long runs lean on: exact resuming from whole checkpoints, a quiet console."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import torch
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.evaluator import Evaluator
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapperDict
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner
from torch import distributed

from madnet.engine.bare_model import bare
from madnet.engine.building import values_told
from madnet.engine.checkpoint import (
    LAST,
    find_whole_checkpoint,
    from_plain,
    load_weights,
    state_dict_of,
)
from madnet.engine.checkpoint_file import BEFORE, read_checkpoint, trusting
from madnet.engine.compiling import compile_parts
from madnet.engine.cuda_graph import side_stream
from madnet.engine.half_weights import half_type
from madnet.engine.resuming import changed_draw, lay_schedule_anew, length_of, refuse_changes, values_of
from madnet.engine.several_metrics import SeveralMetrics
from madnet.engine.speed import batch_for_gpu, make_fast, tuning_for
from madnet.engine.training_record import parts_before
from madnet.engine.watch import Watch
from madnet.engine.workers import keep_workers_until_saved
from madnet.errors import RunFailed, UserError
from madnet.files import replacing


def _is_of_use(record: logging.LogRecord) -> bool:
    """False for mmengine's warning of its own file classes each time it saves; no user can act on it."""
    return 'will be deprecated in future' not in record.getMessage()


class _LogStream:
    """A log file's stream; where it cannot be written, that is said once, and the run goes on without.

    ``logging`` would print a traceback for every line, and mmengine, which writes to the stream itself, would
    end.
    """

    def __init__(self, stream: TextIO):
        self._stream, self._failed = stream, False

    def write(self, text: str) -> None:
        self._try(self._stream.write, text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, function: Callable, *args) -> None:
        try:
            function(*args)
        except OSError as e:
            if not self._failed:
                print(
                    f'{self._stream.name}: cannot be written ({e.strerror}): the log has gaps.',
                    file=sys.stderr,
                )
            self._failed = True

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def _meet(seconds: float | None) -> None:
    """Join the processes that torchrun's variables speak of.

    torch would wait for them for half an hour; and where the first one is killed while others connect to it,
    it tries again for longer than it was told to wait.
    """

    def missing(why: object = 'the first one does not answer') -> RunFailed:
        return RunFailed(
            f'one of the {os.environ["WORLD_SIZE"]} processes is missing after {seconds} s ({why}). See '
            'what became of it; --cfg-options loader_timeout=600 waits longer.'
        )

    def due(_, waited: float) -> RunFailed | None:
        return missing() if seconds is not None and waited > seconds + 2 else None

    wait = distributed.constants.default_pg_timeout if seconds is None else timedelta(seconds=seconds)
    watch = (
        Watch(due, {RunFailed: 1}, grace=2) if threading.current_thread() is threading.main_thread() else None
    )
    try:
        store, rank, processes = next(distributed.rendezvous('env://', timeout=wait))
    except distributed.DistStoreError as e:
        raise missing(e) from None
    finally:
        if watch is not None:
            watch.end()
    store.set_timeout(distributed.constants.default_pg_timeout)
    distributed.init_process_group('gloo', store=store, rank=rank, world_size=processes)


@RUNNERS.register_module()
class MadnetRunner(Runner):
    """The Runner of all tools.

    Reads checkpoints as tensors and plain values only; resuming on one CPU process is bit-identical to a run
    that was never interrupted (together with :class:`madnet.engine.loops.ResumableTrainLoop` and
    :class:`madnet.engine.hooks.SafeCheckpointHook`). Only warnings reach the console; all goes to the log
    file.

    Attributes:
        trust_checkpoint: Whether checkpoints may hold pickled objects.
        trained_before: What the weights were trained on that a training begins with, for its checkpoints: the
            files may be gone when somebody asks.
        ended_in: Folder of a whole run that was to go on in another folder, which it leaves as it is.
    """

    trained_before: list | None = None
    ended_in: Path | None = None
    trust_checkpoint = False
    _resumed_length: int | None = None
    _given_seed: int | None = None
    _has_loaded: bool  # mmengine's, as are the next two
    _resume: bool
    _load_from: str | None
    _looks_for_last: bool | None = None  # None: where no checkpoint is named

    def build_logger(self, log_level='INFO', log_file=None, **kwargs):
        """mmengine's logger, whose console part is left to the progress bar and to warnings."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                file: Any = handler
                if not isinstance(file.stream, _LogStream):
                    file.stream = _LogStream(file.stream)
            elif isinstance(handler, logging.StreamHandler):
                handler.setLevel(logging.WARNING)
                handler.addFilter(_is_of_use)
        return logger

    @master_only
    def dump_config(self) -> None:
        """Write the config of a training that begins to the work folder, whole or not at all.

        mmengine asks for it as a runner is built too, when all may still be refused.
        """
        if not isinstance(self._train_loop, BaseLoop):
            return
        name = os.path.basename(self.cfg.filename or f'{self.timestamp}.py')
        with replacing(Path(self.work_dir, name)) as temporary:
            self.cfg.dump(temporary)

    def goes_on_from(self, checkpoint: str | bool, seed: int | None) -> None:
        """Let the training resume: from the file, or (True) from the newest whole checkpoint of the work
        folder, and only where there is none start from ``load_from``. One line says that a ``seed`` which
        the user has given is not the checkpoint's, by which it goes on."""
        self._given_seed = seed
        self._resume, self._looks_for_last = True, checkpoint is True
        if isinstance(checkpoint, str):
            self._load_from = checkpoint

    @staticmethod
    def build_dataloader(dataloader, seed=None, diff_rank_seed=False):
        """mmengine's data loader, whose processes stay until a training that is stopped has saved.

        Without processes (``num_workers=0``), what is said of processes does not count.
        """
        if isinstance(dataloader, dict) and not dataloader.get('num_workers'):
            of_processes = ('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context')
            dataloader = {k: v for k, v in dataloader.items() if k not in of_processes}
        with values_told('data loader'):
            loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        return loader if loader is dataloader else keep_workers_until_saved(loader)

    def setup_env(self, env_cfg):
        """As mmengine's, which needs a GPU under torchrun; without one, the processes talk over gloo.

        Raises:
            RunFailed: Another process has not come in ``loader_timeout`` seconds.
        """
        if self._launcher == 'pytorch' and not torch.cuda.is_available() and not distributed.is_initialized():
            _meet(self.cfg.get('loader_timeout', 120))
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg, model):
        """As mmengine's; with ``channels_last=True`` in the config, weights are laid out (H, W, C) first.

        Narrow convolutions train about twice as fast so on a CPU, and under AMP on a GPU; values do not
        change. On a GPU some layers get kernels of their own (:func:`madnet.engine.speed.make_fast`).
        """
        if getattr(model, 'training_free', False):
            return model  # no weights: nothing to lay out, nothing for processes to keep equal
        if self.cfg.get('channels_last', False):
            model = model.to(memory_format=torch.channels_last)
        make_fast(model)
        if self.distributed and not torch.cuda.is_available():
            return MMDistributedDataParallel(module=model, broadcast_buffers=False)
        if not (self.distributed and self.cfg.get('capture_step', 'auto')):
            return super().wrap_model(model_wrapper_cfg, model)
        stream = side_stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            wrapped = super().wrap_model(model_wrapper_cfg, model)
        torch.cuda.current_stream().wait_stream(stream)
        return wrapped

    def _maybe_compile(self, target: str) -> None:
        """Compile backbone, neck and head for training, where the config has ``compile=True``, or
        ``torch.compile``'s arguments without ``disable=True``.

        mmengine would compile the whole step, optimiser and log included, which breaks into pieces.
        """
        chosen = self.cfg.get('compile') or {'disable': True}
        options = dict(chosen) if isinstance(chosen, Mapping) else {}
        if target != 'train_step' or options.pop('disable', False):
            return
        with values_told('compile', self.cfg.filename):
            compile_parts(bare(self.model), options)
        self.logger.info('Backbone, neck and head are compiled: the first batch takes long.')

    def call_hook(self, fn_name: str, **kwargs) -> None:
        """As mmengine's; a value that a hook does not take when it gets ready is the config's fault."""
        with values_told('hooks', self.cfg.filename) if fn_name == 'before_run' else nullcontext():
            super().call_hook(fn_name, **kwargs)

    def build_evaluator(self, evaluator):
        """As mmengine's; one line says where several metrics give numbers of one name."""
        built = super().build_evaluator(evaluator)
        return SeveralMetrics(built.metrics) if type(built) is Evaluator else built

    def build_optim_wrapper(self, optim_wrapper):
        """As mmengine's; a value that the optimiser does not take is the config's fault, and so is more than
        one optimiser, which neither our steps nor our hooks serve."""
        with values_told('optim_wrapper', self.cfg.filename):
            built = super().build_optim_wrapper(optim_wrapper)
        if isinstance(built, OptimWrapperDict):
            raise UserError(
                f'config: optim_wrapper: found several optimisers ({", ".join(built.keys())}), expected one. '
                'Rates of its own are given to a part by paramwise_cfg.custom_keys.'
            )
        return built

    def build_param_scheduler(self, scheduler):
        """As mmengine's; a value that a schedule does not take is the config's fault."""
        with values_told('param_scheduler', self.cfg.filename):
            return super().build_param_scheduler(scheduler)

    def train(self):
        """As mmengine's; what ``init_cfg`` names is trusted as other checkpoints are."""
        with trusting(self.trust_checkpoint):
            return super().train()

    def test(self) -> dict:
        """As mmengine's; hooks may have methods ``test_begins(runner)`` and ``run_ended(runner)``, the second
        called whatever ends the test."""
        self.call_hook('test_begins')
        if torch.cuda.is_available():  # what test_cfg.fp16 is there; mmengine's is float16
            torch.set_autocast_dtype('cuda', half_type('cuda'))
        try:
            with tuning_for(self.test_dataloader.dataset):
                return super().test()
        finally:
            self.call_hook('run_ended')

    def load_or_resume(self) -> None:
        """Resume from a named or from the newest whole checkpoint, or start from given weights.

        Raises:
            UserError: The named checkpoint can't be used, or all in the work folder are damaged.
        """
        if self._has_loaded:
            return
        looks = self._load_from is None if self._looks_for_last is None else self._looks_for_last
        if self._resume and looks:
            found = find_whole_checkpoint(self.work_dir, self.logger.warning, self.trust_checkpoint)
            if found is None:
                aside = sorted(Path(self.work_dir).glob(f'before_*/{LAST}'))
                hint = f' An earlier run lies in {aside[-1]}: --resume {aside[-1]}' if aside else ''
                self.logger.warning(f'{self.work_dir}: no checkpoint to resume from, starting anew.{hint}')
                self._resume = False
            else:
                self._load_from = str(found[0])
        super().load_or_resume()
        if self.trained_before is None and isinstance(self._train_loop, BaseLoop):
            self.trained_before = [part.as_plain() for part in parts_before(self.cfg)]

    def load_checkpoint(self, filename, map_location='cpu', strict=False, revise_keys=None):
        """Read a checkpoint and put its weights into the model.

        Args:
            filename: Path of a file.
            map_location: Unused: files are read on the CPU, the model keeps its device.
            strict: Unused: resuming always needs every key; ``load_from`` takes what fits and says
                what does not.
            revise_keys: Unused: a ``module.`` prefix is removed.

        Returns:
            The checkpoint.

        Raises:
            UserError: It can't be read, or does not belong to this model.
        """
        checkpoint = from_plain(read_checkpoint(filename, self.trust_checkpoint))
        if self._resume:
            _check_complete(checkpoint, filename)
            meta = checkpoint['meta']
            self._resumed_length, self.trained_before = length_of(meta), meta.get(BEFORE)
            # what the run began with, not the checkpoint that it goes on from, is for the record
            self.cfg.load_from = values_of(meta['cfg']).get('load_from') if 'cfg' in meta else None
            refuse_changes(meta, self.cfg, len(self.train_dataloader), self.world_size, str(filename))
            if changed := changed_draw(meta, self.cfg):
                self.logger.warning(f'{filename}: goes on with images drawn otherwise: {changed}.')
            self._go_on_by_seed(meta.get('seed'), str(filename))
        checkpoint.setdefault('state_dict', state_dict_of(checkpoint, filename))
        if not self._resume:
            checkpoint['state_dict'] = self._what_fits(checkpoint, filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        load_weights(bare(self.model), checkpoint, filename)
        self._has_loaded = True
        self.logger.info(f'Loaded {filename}')
        return checkpoint

    def _go_on_by_seed(self, seed: int | None, filename: str) -> None:
        """Take a checkpoint's seed, which mmengine would do with a warning that does not say which one wins,
        whoever has said the other."""
        if seed is None:
            return
        if self._given_seed not in (None, seed):
            self.logger.warning(
                f'{filename}: goes on with seed {seed}, that of the checkpoint; seed {self._given_seed} has '
                'no effect.'
            )
        if seed != self._randomness_cfg.get('seed'):
            self._randomness_cfg['seed'] = seed
            self.set_randomness(**self._randomness_cfg)
            self.cfg.randomness = {**self.cfg.get('randomness', {}), 'seed': seed}  # for the record

    def resume(self, filename, resume_optimizer=True, resume_param_scheduler=True, map_location='default'):
        """As mmengine's; a sampler that went by the run's seed goes on by the resumed one, and in a run of
        another length, the schedule is laid anew over all of it."""
        sampler: Any = self.train_dataloader.sampler
        by_seed = getattr(sampler, 'seed', None) == self.seed
        try:
            super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
        except ValueError as e:  # torch's, of groups that differ in number or length
            raise UserError(
                f'checkpoint {filename}: its optimiser state does not fit ({e}). Resume with the '
                'config that wrote it, or start a new run from its weights with --load-from.'
            ) from None
        if by_seed:
            sampler.seed = self.seed
        counts = getattr(self.optim_wrapper, '_accumulative_counts', 1)
        if self.iter % counts:
            self.logger.warning(
                f'{filename}: written after {self.iter} steps, within an accumulation over {counts}, of '
                'which no gradient is kept: the next update has fewer batches.'
            )
        before = self._resumed_length
        if before is None or before == self.max_epochs or not self.param_schedulers:
            return
        rates = [next(iter(self.optim_wrapper.get_lr().values()))[0]]
        lay_schedule_anew(self)
        rates += [next(iter(self.optim_wrapper.get_lr().values()))[0]]
        self.logger.warning(
            f'{filename}: written by a run of {before} epochs, which is to have {self.max_epochs} now: the '
            f'schedule is laid anew over all {self.max_epochs}, and goes on after epoch {self.epoch} with a '
            f'learning rate of {rates[1]:.3g} instead of {rates[0]:.3g}.'
        )

    def _what_fits(self, checkpoint: dict, filename: str) -> dict[str, torch.Tensor]:
        """The model's state with what of a checkpoint's fits; what does not is said in one line."""
        own = bare(self.model).state_dict()
        state = state_dict_of(checkpoint, filename)
        fitting = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
        if not fitting:
            load_weights(bare(self.model), checkpoint, filename)  # says which keys differ
            return dict(state)  # of the deployed form
        if len(fitting) < len(own) or len(fitting) < len(state):
            of_one_kind = ' madnet pretrained widen begins a wider network as a narrower one.'
            self.logger.warning(
                f'{filename}: {len(fitting)} of its {len(state)} tensors fit the model, '
                f'{len(own) - len(fitting)} of the model keep their initial values.'
                + (of_one_kind if own.keys() == state.keys() else '')
            )
        return own | fitting


def _check_complete(checkpoint: dict, filename: str) -> None:
    """Raise a UserError where training cannot go on from a checkpoint."""
    missing = {'meta', 'message_hub', 'optimizer'} - set(checkpoint)
    meta = {} if missing else checkpoint['meta']
    counted = isinstance(meta, dict) and all(isinstance(meta.get(key), int) for key in ('epoch', 'iter'))
    if missing or not counted:
        lacks = 'holds weights only' if missing else 'does not say at which epoch and iteration it was saved'
        raise UserError(
            f'checkpoint {filename}: {lacks}, training cannot go on from it. '
            'Resume from last.pth, or start a new run from these weights with --load-from.'
        )


def build_runner(cfg: Config, trust_checkpoint: bool = False) -> MadnetRunner:
    """A runner from a loaded config, whose tests take batches on a GPU."""
    if torch.cuda.is_available():
        batch_for_gpu(cfg)
    with trusting(trust_checkpoint), values_told('cannot be built', cfg.filename):
        runner = MadnetRunner.from_cfg(cfg)
    runner.trust_checkpoint = trust_checkpoint
    return runner
