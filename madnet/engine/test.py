"""Testing, from a config and its checkpoint, if it needs one, to a table, ``metrics.json`` and pictures."""

import copy
import platform
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mmengine
import mmseg
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmseg.registry import DATASETS, METRICS, MODELS

import madnet
from madnet.config_files import find_config_file
from madnet.datasets.seen import CHOSEN, SCORED, TrainedPart, images_of, look_for_seen
from madnet.datasets.sirst_dataset import TargetDataset
from madnet.datasets.sources import set_name
from madnet.datasets.splits import few
from madnet.datasets.wrappers import is_kind, sets_of
from madnet.engine.bare_model import bare
from madnet.engine.checkpoint import load_weights, needs_weights, recorded_statistics
from madnet.engine.checkpoint_file import find_checkpoint, is_registered, read_checkpoint
from madnet.engine.cli import parse_options
from madnet.engine.config import load_config, require_parts
from madnet.engine.half_weights import warn_where_half_is_slow
from madnet.engine.hooks.negatives_hook import NegativesHook
from madnet.engine.irstd_metric import IRSTDMetric
from madnet.engine.new_maps import new_maps
from madnet.engine.runner import MadnetRunner, build_runner
from madnet.engine.sample_names import name_of
from madnet.engine.several_sets import (
    ScoredSet,
    content_of,
    detections_of,
    everything,
    labels_of,
    per_image_of,
    results_text,
)
from madnet.engine.training_free import is_training_free
from madnet.engine.training_record import trained_on, training_of, training_parts
from madnet.errors import UserError
from madnet.evaluation import Evaluator, get_protocols
from madnet.evaluation.protocols import ProtocolLike
from madnet.evaluation.targets import Least
from madnet.evaluation.thresholds import choose_operating_point, parts_chosen_on, refuse_limits_beside
from madnet.files import expect_writable, plain, sha256_of
from madnet.images.values import ValueRange
from madnet.models.segmentors import IRSTDSegmentor
from madnet.records import MAPS, MetricsFile, NegativesFile, write_results


@dataclass(frozen=True)
class Scored(ScoredSet):
    """One data set after its test.

    Attributes:
        runner: As the test left it.
    """

    runner: MadnetRunner


def run_test(
    config: str,
    checkpoint: str | None = None,
    protocols: ProtocolLike | Sequence[ProtocolLike] | None = None,
    out: str | None = None,
    show_dir: str | None = None,
    save_scores: bool = False,
    split: str | None = None,
    launcher: str = 'none',
    options: Sequence[str] | Mapping[str, Any] | None = None,
    trust_checkpoint: bool = False,
    workers: int = 1,
    views: int | None = None,
    scales: Sequence[float] | None = None,
    merge: str | None = None,
    dataset: str | None = None,
    threshold: str | float | None = None,
    amp: bool = False,
    fa_budget: float | None = None,
    save_negatives: bool = False,
    min_area: int | None = None,
    min_scr: float | None = None,
    min_rank: float | None = None,
    value_range: ValueRange = None,
    mask_values: Sequence[int] | None = None,
) -> MetricsFile:
    """Score a checkpoint, or a classical detector, on a part of the config's data set or sets.

    Args:
        config: The config file, or its name, that the checkpoint was trained with, or of a detector; or the
            name of shipped weights, which bring theirs.
        checkpoint: Path of the weights, or the name of shipped ones; None for a classical detector.
        protocols: As :func:`~madnet.evaluation.get_protocols` takes them, such as names with commas or
            ``'all'``; None for what the config's ``test_evaluator`` says,
            usually ``'native'``.
        out: Folder for ``metrics.json`` and ``per_image.csv``; default the checkpoint's, without one
            ``work_dirs/<name of the config>_<data set>``. Those of a former test there are replaced once this
            one has ended, and its ``scores`` and ``overlays`` go with them.
        show_dir: Folder for a picture of each image; None draws none. Of several data sets each has a folder
            in it, as under ``scores``.
        save_scores: Whether to keep the score maps, in ``<out>/scores``.
        split: Part of the data set; None for what the config says, usually ``'test'``.
        launcher: ``'none'``, ``'pytorch'`` (torchrun) or ``'slurm'``.
        options: ``KEY=VALUE`` pairs that override the config, or a dict of dotted keys and values.
        trust_checkpoint: Whether the checkpoint may hold pickled objects.
        workers: Processes that share the images, for a classical detector.
        views: Mirrored and turned views of each image whose logits a network's prediction averages: 1, 2, 4
            or 8; None for what the config says, usually 1.
        scales: At which a network predicts, such as (1, 0.7, 0.5), each with all views; None for what the
            config says, usually 1 alone.
        merge: What is taken of the scales' logits, ``'mean'`` (default) or ``'max'``.
        dataset: As of :func:`~madnet.engine.config.load_config`; several are scored one by one, and together.
        threshold: Probability above which is target, in place of the protocols' own; ``'best:val'`` for the
            one with the best IoU on that part of the data.
        fa_budget: False-alarm pixels over all pixels, such as 1e-5: the least rank of detections that keeps
            to it is chosen on the validation part, and Pd and Fa at it are reported beside the numbers.
        amp: In half precision (bfloat16; float16 on a GPU that lacks it); then it is tested in full precision
            as well, and the difference is reported.
        save_negatives: Whether to keep the places of false detections, in ``<out>/negatives.json``, for
            trainings that place crops around them; of the test part they are refused.
        min_area, min_scr, min_rank: As of :class:`~madnet.evaluation.targets.Least`: what a component above
            0.5 must have at least, as in ``madnet predict``; None for what the config's ``test_evaluator``
            says, usually nothing.
        value_range, mask_values: As of :func:`~madnet.engine.train.training_config`.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UserError: The config, the checkpoint, a protocol, the threshold or the data are not as they should
            be, or ``out`` cannot be written to.
    """
    if protocols is not None:
        protocols = get_protocols(protocols)  # what is wrong with it is said before anything is read
    if checkpoint is None and is_registered(config):
        checkpoint = config
    elif not (is_registered(config) and is_registered(checkpoint or '')):
        config = str(find_config_file(config))
    weights = None if checkpoint is None else read_checkpoint(checkpoint, trust_checkpoint)
    options = parse_options(options, value_range=value_range, mask_values=mask_values)
    cfg = load_config(config, options, dataset, recorded_statistics(weights), trained_on(weights))
    require_parts(cfg, ('model', 'test_dataloader', 'test_evaluator', 'test_cfg'), config, 'a test')
    _check_checkpoint(config, checkpoint, is_training_free(cfg), cfg.work_dir)
    in_work_dir = checkpoint is None or is_registered(checkpoint)
    folder = Path(out or (cfg.work_dir if in_work_dir else Path(str(checkpoint)).parent))
    expect_writable(folder / MetricsFile.FILE)
    cfg.launcher = launcher
    test_time = {'views': views, 'scales': scales, 'merge': merge}
    limits = {'min_area': min_area, 'min_scr': min_scr, 'min_rank': min_rank}
    least = {key: value for key, value in limits.items() if value is not None}
    refuse_limits_beside(threshold, least)
    _our_evaluator(cfg, config).update(least)
    if amp:
        warn_where_half_is_slow('cuda' if torch.cuda.is_available() else 'cpu')

    def checked(
        split: str | None, chosen: Iterable[ProtocolLike], hooks: Sequence[dict] = (), half: bool = amp
    ) -> dict[str, Config]:
        made = config_for_test(cfg, chosen, config, split, hooks, workers, **test_time)
        if half:
            made.test_cfg.fp16 = True
        each = configs_by_set(made, hooks)
        for label, one in each.items():  # what is wrong with the last is found before the first is scored
            with _told_of(label, each):
                _check_set(one)
        return each

    def score(*part: Any, **how: Any) -> dict[str, Scored]:
        each, found = checked(*part, **how), {}
        for label, one in each.items():
            with _told_of(label, each):
                found[label] = _score(one, weights, checkpoint)
        return found

    trained = training_parts(checkpoint, weights)
    asked = protocols_of(cfg, config) if protocols is None else protocols
    if save_negatives:
        _refuse_test_part(split, cfg)
        _refuse_one_name(map(set_name, sets_of(cfg, 'test_dataloader')))
    with new_maps(folder, show_dir, save_scores) as (maps, hooks):

        @cache
        def look_at_all_parts() -> None:
            for part in parts_chosen_on(threshold, fa_budget):
                checked(part, asked)
            checked(split, asked, hooks)

        def to_choose(part: str, chosen: Sequence[ProtocolLike]) -> Evaluator:
            look_at_all_parts()
            found = score(part, chosen)
            _look_for_seen(f'the choice on {part!r}', found, trained, CHOSEN)
            return everything(found)

        scored = [d.get('split') if split is None else split for d in sets_of(cfg, 'test_dataloader')]
        point = choose_operating_point(asked, threshold, fa_budget, scored, to_choose)
        if save_negatives:
            hooks.append({'type': 'NegativesHook', 'threshold': point.threshold.get('threshold', 0.5)})
        sets = score(split, point.protocols, hooks)
        if not save_negatives:  # which are for a training, and of training images
            _look_for_seen('this test', sets, trained, SCORED)
        full = report(score(split, point.protocols, half=False), config, checkpoint) if amp else None
        said = point.said_of(everything(sets))
        found = report(sets, config, checkpoint, training=training_of(weights or {}), **said)
        if is_main_process():
            write_results(folder, found, per_image_of(sets), detections_of(sets), maps)
    if is_main_process():
        print(_in_words(found))
        if full is not None:
            print(f'half precision changes {_difference(found, full)}')
        print(f'numbers  {folder / "metrics.json"}, {folder / "per_image.csv"}')
        if save_scores:
            print(f'scores   {folder / MAPS}')
        if save_negatives:
            print(f'negatives {_negatives(sets, config, checkpoint).write(folder / NegativesFile.FILE)}')
        if show_dir is not None:
            print(f'pictures {show_dir}')
    return found


def _look_for_seen(what: str, sets: Mapping[str, Scored], trained: Sequence[TrainedPart], so: str) -> None:
    """Note how many images of each set were trained on, and say so."""
    if trained and is_main_process():
        images = [images_of(one.runner.test_dataloader.dataset) for one in sets.values()]
        for one, seen in zip(sets.values(), look_for_seen(what, images, trained, so), strict=True):
            one.dataset['trained_on'] = seen


def _refuse_test_part(split: str | None, cfg: Config) -> None:
    asked = {dataset.get('split') if split is None else split for dataset in sets_of(cfg, 'test_dataloader')}
    if asked & {'test', 'all'}:
        raise UserError(
            '--save-negatives: a training that saw places of test images would know them; give --split '
            'trainval or fit.'
        )


def _refuse_one_name(names: Iterable[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise UserError(
                f'--save-negatives: {times} data sets are called {name}; take the negatives of each alone.'
            )


def _negatives(sets: Mapping[str, Scored], config: str, checkpoint: str | None) -> NegativesFile:
    _refuse_one_name(one.dataset['name'] for one in sets.values())
    points: dict[str, dict] = {}
    for one in sets.values():
        [hook] = [hook for hook in one.runner.hooks if isinstance(hook, NegativesHook)]
        points[one.dataset['name']] = hook.points
    return NegativesFile(points, {'config': str(config)} | ({'checkpoint': checkpoint} if checkpoint else {}))


def _difference(found: MetricsFile, other: MetricsFile) -> str:
    """By how much the leading metrics of one test are above another's, protocol by protocol."""
    lines = []
    for protocol, values in found.results.items():
        pairs = {k: (values.get(k), other.results[protocol].get(k)) for k in ('IoU', 'nIoU', 'Pd')}
        known = {k: 100 * (a - b) for k, (a, b) in pairs.items() if a is not None and b is not None}
        lines.append(f'{protocol} ' + ', '.join(f'{k} by {change:+.3f} %' for k, change in known.items()))
    return '; '.join(lines)


def protocols_of(cfg: Config, name: str) -> list[ProtocolLike]:
    """The protocols that a config's ``test_evaluator`` names."""
    protocols = _our_evaluator(cfg, name).get('protocols', 'native')
    return [protocols] if isinstance(protocols, (str, dict)) else list(protocols)


@contextmanager
def _told_of(label: str, sets: Sized) -> Iterator[None]:
    """Put the name of a set, where there are several, before what is wrong with it."""
    try:
        yield
    except UserError as e:
        raise (UserError(f'{label}: {e}') if len(sets) > 1 else e) from None


def _check_set(cfg: Config) -> None:
    """Look for the images of a set, and at their ids where something is kept by them."""
    with DATASETS.switch_scope_and_registry(cfg.get('default_scope') or 'mmseg'):
        dataset = MadnetRunner.build_dataloader(cfg.test_dataloader, seed=0).dataset
    if cfg.custom_hooks:
        _refuse_repeated_ids(dataset)


def _score(cfg: Config, weights: dict | None, checkpoint: str | None) -> Scored:
    # mmengine always writes a log into its work folder, where a training's own may lie
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        cfg.experiment_name = Path(folder).name  # one's own, though the runs of several sets share a second
        runner = build_runner(cfg)
        if weights is not None:
            load_weights(bare(runner.model), weights, checkpoint)
        numbers, metric = runner.test(), find_metric(runner)
    others = plain({key: value for key, value in numbers.items() if key not in metric.last_numbers})
    described = _describe(runner.test_dataloader.dataset)
    return Scored(described, metric.evaluator, runner, other_metrics=others or None)


def _refuse_repeated_ids(dataset: Any) -> None:
    """Stop where what is kept by an image's id would be lost to another image."""
    names = Counter(name_of(dataset.get_data_info(k)) for k in range(len(dataset)))
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        whose = getattr(dataset, 'dataset_name', type(dataset).__name__)
        raise UserError(
            f'{whose}, {getattr(dataset, "split", "all")!r}: {len(twice)} ids stand for several images each '
            f'({few(twice)}), and pictures, score maps and negatives are kept by id; test each part alone.'
        )


def _describe(dataset: Any) -> dict:
    """What ``metrics.json`` says of a data set; of another package's, its folder and size."""
    if hasattr(dataset, 'describe'):
        return dataset.describe()
    return {
        'name': str(getattr(dataset, 'data_root', None) or type(dataset).__name__),
        'images': len(dataset),
    }


def configs_by_set(cfg: Config, hooks: Sequence[dict]) -> dict[str, Config]:
    """A config for each of the data sets in the test loader, by a name that tells them apart.

    Args:
        cfg: Of :func:`config_for_test`.
        hooks: Configs of its hooks; of several sets, each gets folders of its own from them.
    """
    datasets = sets_of(cfg, 'test_dataloader')
    names = labels_of(datasets)
    made = {}
    for name, dataset in zip(names, datasets, strict=True):
        made[name] = copy.deepcopy(cfg)
        made[name].test_dataloader.dataset = copy.deepcopy(dataset)
        if len(names) > 1:
            made[name].custom_hooks = [
                {k: str(Path(v, name)) if k in ('folder', 'show_dir') else v for k, v in hook.items()}
                for hook in hooks
            ]
    return made


def config_for_test(
    cfg: Config,
    protocols: Iterable[ProtocolLike],
    name: str,
    split: str | None = None,
    hooks: Sequence[dict] = (),
    workers: int = 1,
    **test_time,
) -> Config:
    """What is left of a config for a test, in which nothing trains, validates or draws.

    Args:
        cfg: A loaded config; it is not changed.
        protocols: The protocols to score under.
        name: Name of the config for messages.
        split, workers: As of :func:`run_test`.
        hooks: Configs of hooks that follow the test, instead of the training's ``custom_hooks``.
        test_time: ``views``, ``scales`` and ``merge``, likewise.

    Raises:
        UserError: ``split``, ``workers`` or one of ``test_time`` does not fit the config; ``test_evaluator``
            has no ``IRSTDMetric``.
    """
    cfg = copy.deepcopy(cfg)
    if workers != 1:
        _share_images(cfg, workers)
    _set_test_time(cfg, name, {k: v for k, v in test_time.items() if v is not None})
    for dataset in sets_of(cfg, 'test_dataloader'):
        if is_kind(dataset.type, DATASETS, TargetDataset):
            dataset.split = split or dataset.get('split', 'test')
        elif split is not None:
            raise UserError(f'--split {split}: config {name}: a {dataset.type} has no parts to choose from.')
    _our_evaluator(cfg, name).update(protocols=list(protocols), scr=True)
    cfg.custom_hooks = list(hooks)
    if cfg.get('visualizer'):
        cfg.visualizer.vis_backends = []
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        cfg[key] = None
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[key] = None
    cfg.load_from, cfg.resume = None, False  # where a training would begin
    return cfg


def _our_evaluator(cfg: Config, name: str) -> ConfigDict:
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    ours = [each for each in evaluators if is_kind(each['type'], METRICS, IRSTDMetric)]
    if not ours:
        kinds = ', '.join(str(each['type']) for each in evaluators)
        raise UserError(
            f"config {name}: test_evaluator: found {kinds}, expected dict(type='IRSTDMetric') among them, "
            'as in test_evaluator=[dict(...), dict(type="IRSTDMetric")]; it scores one class against '
            'background.'
        )
    return ours[0]


def find_metric(runner: Runner) -> IRSTDMetric:
    """The first :class:`IRSTDMetric` of a runner's test, whatever metrics stand beside it."""
    return next(metric for metric in runner.test_evaluator.metrics if isinstance(metric, IRSTDMetric))


def report(sets: Mapping[str, Scored], config: str, checkpoint: str | None, **more: Any) -> MetricsFile:
    """What ``metrics.json`` says of a test.

    Args:
        sets: By name; of several, the numbers are those of all their images, and each has its own beside.
        config: Name of the config.
        checkpoint: Path of the weights, None for a training-free detector.
        more: ``training``; ``threshold`` and ``threshold_chosen_on`` where it is not the protocols' own.
    """
    runner = next(iter(sets.values())).runner
    model, least = bare(runner.model), find_metric(runner).least
    content = {
        'config': str(config),
        'checkpoint': checkpoint
        and {'path': str(checkpoint), 'sha256': sha256_of(find_checkpoint(checkpoint))},
        'views': getattr(getattr(model, 'test_cfg', None), 'views', 1),
        'least': asdict(least) if least != Least() else None,
        **_scales_of(getattr(model, 'test_cfg', None) or {}),
        **more,
        **content_of(sets),
        'versions': {
            'madnet': madnet.__version__,
            'torch': torch.__version__,
            'mmengine': mmengine.__version__,
            'mmseg': mmseg.__version__,
            'python': platform.python_version(),
        },
    }
    if getattr(model, 'training_free', False):
        content['detector'] = model.describe()
    return MetricsFile.from_json(plain(content))


def _scales_of(test_cfg: Mapping[str, Any]) -> dict[str, Any]:
    scales = list(test_cfg.get('scales', [1]))
    return {} if scales == [1] else {'scales': scales, 'merge': test_cfg['merge']}


def _in_words(found: MetricsFile) -> str:
    sets: Mapping[Any, Any] = found.sets or {found.dataset.name: found}
    lines = [
        ', '.join(filter(None, (label, one.dataset.split)))
        + f': {one.dataset.images} images'
        + (f', lists {one.dataset.split_set}' if one.dataset.split_set else '')
        for label, one in sets.items()
    ]
    if found.detector:
        lines.append('{title}; detections where {formula} (rule {rule})'.format(**found.detector))
    return '\n'.join([*lines, results_text(found)])


def _check_checkpoint(config: str, checkpoint: str | None, training_free: bool, work_dir: str) -> None:
    if checkpoint is None and not training_free:
        raise needs_weights(config, work_dir)
    if checkpoint is not None and training_free:
        raise UserError(
            f'config {config}: a classical detector has no weights, found the checkpoint '
            f'{checkpoint}. Leave it out: madnet test {config}'
        )


def _set_test_time(cfg: Config, config: str, given: Mapping[str, Any]) -> None:
    if given and not is_kind(cfg.model.type, MODELS, IRSTDSegmentor):
        option, value = next(iter(given.items()))
        raise UserError(
            f'--{option} {value}: config {config} is of type {cfg.model.type}; only IRSTDSegmentor, the type '
            'of our networks, averages views and scales. Leave the option out.'
        )
    cfg.merge_from_dict({f'model.test_cfg.{key}': value for key, value in given.items()})


def _share_images(cfg: Config, workers: int) -> None:
    if workers < 1:
        raise UserError(f'--workers {workers}: expected 1 or more')
    if not is_training_free(cfg):
        raise UserError(
            f'--workers {workers}: is for classical detectors; a network takes larger batches '
            'instead: --cfg-options test_dataloader.batch_size=8'
        )
    cfg.model.workers = workers
    # enough for each process that a slow image keeps no other waiting for long
    cfg.test_dataloader.batch_size = 4 * workers
