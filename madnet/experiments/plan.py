"""What a comparison consists of: networks × data sets × seeds."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from madnet.classical.detectors import DETECTORS
from madnet.config_files import find_config_file
from madnet.datasets.sources import find_sources
from madnet.datasets.wrappers import by_name, is_kind, kind_of, sets_of
from madnet.errors import UserError, expect_number, expect_whole, nearest
from madnet.evaluation.protocols import get_protocols
from madnet.experiments.networks import CLASSICAL, RECIPES, find_config, known_networks, label_of
from madnet.experiments.run import Run
from madnet.files import read_text
from madnet.plain_yaml import read_yaml
from madnet.records import get_pretrained, list_registered

#: In place of a data set: the one that each config names itself, such as synthetic scenes.
OWN = 'own'
#: In place of data sets to train on: those of the plan that are not tested on.
OTHERS = 'others'
#: What of the data holds for detectors and given weights as well.
_FOR_EVERY_RUN = ('split_set', 'value_range', 'mask_values')


@dataclass(frozen=True)
class Plan:
    """A whole comparison, as one YAML file says it.

    Attributes:
        networks: Names, or mappings with ``name`` and any of ``config`` (a path), ``label``, ``train_on``
            (data sets to train on together, instead of the one to test on; ``others``, alone or among them,
            for all of ``datasets`` but that one, and ``{dataset}`` for its name), ``checkpoint`` (weights to
            test instead of training: a file, or a name as of
            :func:`~madnet.engine.checkpoint_file.find_checkpoint`) and ``options``. ``all`` stands for every
            network of the recipe, ``classical`` for every training-free detector. They are done in this
            order, and one that begins from another's weights waits for it:
            ``options: {load_from: "…/seed{seed}/last.pth"}``.
        datasets: Names of the catalogue (``nuaa``), or folders; ``own`` for the one that a config names.
        also_test_on: More data sets that every network is tested on, scored one by one; ``{dataset}`` stands
            for the run's.
        seeds: One training each.
        recipe: ``'common'`` (one recipe for all), ``'published'`` (each network's own) or ``'toolbox'``
            (BasicIRSTD's).
        protocols: How to score.
        options: Dotted keys and values that override every config that trains. In these, and in a network's
            own, ``{dataset}`` and ``{seed}`` stand for those of the run; ``checkpoint`` takes ``{dataset}``.
        split_set, value_range, mask_values: As of :class:`~madnet.datasets.SIRSTDataset`, for every run:
            trained, given weights and training-free detectors alike. Among ``options`` they mean the same.
        views: Mirrored and turned views (1, 2, 4, 8) to test every network with, a line of the table each;
            none tests as the configs say, usually with one.
        amp: Mixed precision of every training.
        save_scores: Whether to keep each run's score maps beside its metrics.
        size: Side, in pixels, at which MACs and latency are measured.
        work_dir: Where everything goes.
        configs: The folder of configs; None for those of :func:`~madnet.config_files.config_folders`.
    """

    networks: tuple = ()
    datasets: tuple[str, ...] = ('nuaa',)
    also_test_on: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (42,)
    recipe: str = 'common'
    protocols: tuple[str, ...] = ('native',)
    options: Mapping = field(default_factory=dict)
    split_set: str | None = None
    value_range: Sequence[float] | str | None = None
    mask_values: Sequence[int] | None = None
    views: tuple[int, ...] = ()
    amp: str | None = None
    save_scores: bool = False
    size: int = 256
    work_dir: str = 'work_dirs/comparison'
    configs: str | None = None

    def runs(self) -> list[Run]:
        """Every run, data set after data set; the one place where configs are read.

        Raises:
            UserError: A network or a data set that does not exist, or a config that can't be read; names
                that come twice.
        """
        shorts = [short_name(None if dataset == OWN else dataset) for dataset in self.datasets]
        for dataset, short in zip(self.datasets, shorts, strict=True):
            if shorts.count(short) > 1:
                raise UserError(
                    f'datasets: {dataset}: another one is called {short!r} too; compare them apart.'
                )
        # each is found before the first is read, which takes PyTorch to check it
        found = [(entry, *self._config_of(entry)) for entry in self._entries()]
        runs = [
            run
            for dataset in self.datasets
            for entry in found
            for run in self._runs_of(*entry, None if dataset == OWN else dataset)
        ]
        called: dict[str, str] = {}
        for run in runs:
            other = called.setdefault(run.label, run.network)
            if other != run.network:
                raise UserError(
                    f'networks: tables call both {other} and {run.network} {run.label!r}; give one a label '
                    'of its own.'
                )
        _look_for_test_parts(runs)
        return runs

    def _entries(self) -> list[dict]:
        """A mapping for each network, the groups ``all`` and ``classical`` written out."""
        entries = [{'name': e} if isinstance(e, str) else dict(e) for e in self.networks]
        names = [e['name'] for e in entries]
        for name in names:
            if names.count(name) > 1:
                raise UserError(
                    f'networks: {name!r} comes {names.count(name)} times; give each a name of its own.'
                )
        groups = {'all': list(known_networks(self.recipe, self.configs)), CLASSICAL: list(DETECTORS)}
        written: list[dict] = []
        for entry in entries:
            if entry['name'] in groups and 'config' not in entry:
                members = (n for n in groups[entry['name']] if n not in names)
                # the second part of a training is no network of its own
                written += [{**entry, 'name': n, 'starts_anew': True} for n in members]
            else:
                written.append(entry)
        return written

    def _runs_of(
        self, entry: Mapping, config: Path, options: dict, recipe: str | None, dataset: str | None
    ) -> list[Run]:
        from mmseg.registry import MODELS

        from madnet.engine.checkpoint_file import is_registered
        from madnet.engine.training_free import is_training_free
        from madnet.models.segmentors import IRSTDSegmentor

        name, short = entry['name'], short_name(dataset)
        checkpoint = entry.get('checkpoint') and entry['checkpoint'].replace('{dataset}', short)
        if checkpoint and not (given_weights(checkpoint).is_file() or is_registered(checkpoint)):
            raise UserError(
                f'networks: {name}: checkpoint {checkpoint}: no such file, nor weights of this name.'
                + nearest(checkpoint, list_registered())
            )
        others = [other for other in self.datasets if other != dataset]
        train_on = [
            each
            for said in _listed(entry.get('train_on', []))
            for each in (others if said == OTHERS else [said.replace('{dataset}', short)])
        ]
        test_on = (dataset, *self.also_test_on) if self.also_test_on else ()
        reading = {key: getattr(self, key) for key in _FOR_EVERY_RUN}
        options = {
            **options,
            **{key: value for key, value in reading.items() if value is not None},
            **_data_options(dataset, train_on, bool(test_on)),
            **(entry.get('options') or {}),
        }
        settings = read_settings(config, options)
        has_network = not is_training_free(settings)
        if entry.get('starts_anew') and settings.get('load_from'):
            return []
        if self.views and has_network and not is_kind(settings['model'].get('type'), MODELS, IRSTDSegmentor):
            raise UserError(
                f'views: found {list(self.views)}, but the model of {config} is no IRSTDSegmentor, the only '
                'type that averages views. Leave the key out.'
            )
        trains = has_network and not checkpoint
        if trains and self.options:
            options = {**self.options, **options}
            settings = read_settings(config, options)
        runs = []
        for seed in self.seeds if trains else (None,):
            here = {'{dataset}': short, '{seed}': str(seed)}
            runs.append(
                Run(
                    network=name,
                    label=entry.get('label') or label_of(name, config),
                    config=str(config),
                    options=_filled(options, here),
                    settings=_filled(settings, here),
                    seed=seed,
                    checkpoint=checkpoint,
                    amp=self.amp if trains else None,
                    protocols=','.join(self.protocols),
                    folder=str(Path(self.work_dir, name, short, f'seed{seed}' if trains else 'test')),
                    views=self.views if has_network else (),
                    save_scores=self.save_scores,
                    test_on=tuple(dict.fromkeys(_filled(test_on, here))),
                    recipe=recipe if trains else None,
                )
            )
        return runs

    def _config_of(self, entry: Mapping) -> tuple[Path, dict, str | None]:
        if 'config' not in entry:
            return find_config(entry['name'], self.recipe, self.configs)
        try:
            return find_config_file(entry['config']), {}, None
        except UserError as e:
            raise UserError(f'networks: {entry["name"]}: {e}') from None


def _has_text_keys(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def read_settings(config: Path, options: Mapping) -> dict:
    """The resolved config as JSON holds it, without the folders of its runs and modules; options override it.

    Raises:
        UserError: As :func:`~madnet.engine.config.load_config`.
    """
    from madnet.engine.config import load_config

    settings = json.loads(json.dumps(by_name(load_config(config, dict(options)).to_dict()), default=str))
    for folder in ('work_dir', 'module_folders'):
        settings.pop(folder, None)
    return settings


def given_weights(checkpoint: str) -> Path:
    """The file of a run's ``checkpoint``; of registered weights, where it lies once it has been fetched."""
    from madnet.engine.checkpoint_file import SCHEME, find_checkpoint, is_registered

    if is_registered(checkpoint):
        return get_pretrained(checkpoint.removeprefix(SCHEME)).weights
    return find_checkpoint(checkpoint)


def _look_for_test_parts(runs: Sequence[Run]) -> None:
    """Refuse folders without the part that is tested, before anything trains.

    Sets that are not there, which a plan may be read without, are said by the runs that need them.
    """
    from madnet.datasets.locate import NoSuchSet
    from madnet.datasets.sirst_dataset import dataset_of

    asked = [
        each
        for run in runs
        if not run.test_on
        for each in sets_of(run.settings, 'test_dataloader')
        if kind_of(each) == 'SIRSTDataset'  # a derived class may find its images otherwise
    ]
    for value in {value for run in runs for value in run.test_on}:
        with suppress(UserError):
            asked += [{**where.arguments, 'split': 'test'} for where in find_sources(value)]
    # most networks differ in their pipelines alone
    parts = {str({**each, 'pipeline': None}): each for each in asked if each.get('data_root')}
    for _, part in sorted(parts.items()):
        try:
            dataset = dataset_of(part, exclude_near_test=False, lazy_init=True)
        except NoSuchSet:
            continue
        dataset.load_data_list()


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def short_name(dataset: str | None) -> str:
    """The name of a data set in folders: ``'nuaa'``, the last part of a folder's path, or ``'own'``."""
    return OWN if dataset is None else find_sources(dataset)[0].short


def _data_options(dataset: str | None, train_on: Sequence[str] | None, tested_apart: bool) -> dict:
    """Options that train and test on a data set, or train on several together and test on it, unless what is
    tested on is named apart."""
    if not train_on:
        return {} if dataset is None else {'dataset': dataset}
    where = find_sources(dataset)[0].arguments if dataset and not tested_apart else {}
    return {'dataset': list(train_on), **{f'test_dataloader.dataset.{k}': v for k, v in where.items()}}


def _filled(value: Any, here: Mapping[str, str]) -> Any:
    """A value with ``{dataset}`` and ``{seed}`` put in, wherever a string holds them."""
    if isinstance(value, Mapping):
        return {k: _filled(v, here) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(v, here) for v in value]
    if isinstance(value, str):
        for name, text in here.items():
            value = value.replace(name, text)
    return value


def read_plan(path: str | os.PathLike | None = None, minutes: float | None = None, **given) -> Plan:
    """A plan from a YAML file and from what the command line gives, which wins.

    Args:
        path: A YAML file whose keys are the attributes of :class:`Plan`, and ``minutes``; None starts from
            nothing.
        minutes: Train each network for so long, instead of for epochs.
        given: Attributes; None leaves one alone. Of ``options`` only the same keys give way.

    Raises:
        UserError: The file can't be read, has an unknown key or a value of the wrong kind; no network.
    """
    where = 'the command line' if path is None else str(path)
    content = {} if path is None else _read_file(Path(path))
    own = _options(content.get('options'), where)
    in_file = content.pop('minutes', None)
    minutes = in_file if minutes is None else minutes
    content |= {k: v for k, v in given.items() if v is not None}
    keys = Plan.__dataclass_fields__
    for key, value in content.items():
        if key not in keys:
            raise UserError(
                f'{where}: no key {key!r}, expected {", ".join((*keys, "minutes"))}.'
                + nearest(str(key), (*keys, 'minutes'))
            )
        if key in ('networks', 'datasets', 'also_test_on', 'seeds', 'protocols', 'views'):
            content[key] = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    content['options'] = {**own, **_options(given.get('options'), where)}
    for key in _FOR_EVERY_RUN:
        if key in content['options']:
            content.setdefault(key, content['options'].pop(key))
    if minutes is not None:
        expect_number(minutes, f'{where}: minutes', above=0)
        content['options']['train_cfg.minutes'] = minutes
    plan = Plan(**content)
    _check(plan, where)
    return replace(plan, protocols=tuple(p.name for p in get_protocols(plan.protocols)))


def _options(options: Any, where: str) -> dict:
    from madnet.engine.cli import parse_options

    if isinstance(options, (list, tuple)) and all(isinstance(pair, str) for pair in options):
        return parse_options(list(options))
    if options is not None and not _has_text_keys(options):
        raise UserError(f'{where}: options: found {options!r}, expected keys and values.')
    return dict(options or {})


def _read_file(path: Path) -> dict:
    try:
        content = read_yaml(read_text(path)) or {}
    except FileNotFoundError:
        hint = nearest(str(path), (str(p) for p in path.parent.glob('*.yaml')))
        raise UserError(f'{path}: no such file.{hint}') from None
    except (OSError, UnicodeDecodeError, UserError) as e:
        raise UserError(f'{path}: {e}') from None
    if not isinstance(content, dict):
        found = type(content).__name__
        raise UserError(f'{path}: found a {found}, expected keys such as networks and datasets.')
    # experiments/joint/plan_views.yaml → joint_views, mine.yaml → mine
    before, _, after = path.stem.partition('plan')
    name = path.stem if before else path.resolve().parent.name + after
    return {'work_dir': f'work_dirs/{name}', **content}


def _check_network(entry: object, plan: Plan, where: str) -> None:
    if isinstance(entry, str):
        entry = {'name': entry}
    if not isinstance(entry, Mapping) or 'name' not in entry:
        raise UserError(f'{where}: found {entry!r}, expected a name, or a mapping with a name.')
    name = str(entry['name'])
    if not re.fullmatch(r'\w[\w.+-]*', name):
        raise UserError(
            f'{where}: found the name {name!r}, expected letters, digits and "_-+.", which a folder is named '
            'after. Give a label for tables, and config for a file.'
        )
    where, known = f'{where}: {name}', ('name', 'config', 'label', 'checkpoint', 'train_on', 'options')
    for key, value in entry.items():
        if key not in known:
            raise UserError(f'{where}: no key {key!r}.{nearest(str(key), known)}')
        if key in known[:4] and not isinstance(value, str):
            raise UserError(f'{where}: {key}: found {value!r}, expected a text.')
    if '{seed}' in entry.get('checkpoint', ''):
        raise UserError(
            f'{where}: checkpoint: found {{seed}}, expected one file, or one for each {{dataset}}: '
            'given weights are tested once. Name a network for each seed.'
        )
    train_on = _listed(entry.get('train_on', []))
    if not _has_text_keys(entry.get('options', {})) or not all(isinstance(said, str) for said in train_on):
        raise UserError(f'{where}: expected options as a mapping, train_on as texts such as {OTHERS!r}.')
    if OTHERS in train_on and (OWN in plan.datasets or len(plan.datasets) < 2):
        raise UserError(
            f'{where}: train_on {OTHERS!r}: found datasets {list(plan.datasets)}, expected two or more that '
            'are named.'
        )


def _check(plan: Plan, where: str) -> None:
    kinds: dict[str, tuple[Any, str]] = {
        **dict.fromkeys(('recipe', 'work_dir'), (str, 'a text')),
        **dict.fromkeys(('datasets', 'also_test_on', 'protocols'), (str, 'texts')),
        **dict.fromkeys(('amp', 'configs'), ((str, type(None)), 'a text')),
        'save_scores': (bool, 'true or false'),
    }
    for key, (kind, words) in kinds.items():
        value = getattr(plan, key)
        for each in value if isinstance(value, tuple) else (value,):
            if not isinstance(each, kind):
                raise UserError(f'{where}: {key}: found {each!r}, expected {words}.')
    expect_whole(plan.size, f'{where}: size', least=1)
    for seed in plan.seeds:
        expect_whole(seed, f'{where}: seeds', least=0)
    if not plan.networks:
        raise UserError(f'{where}: no networks; name some, such as acm and madnet_nano, or all.')
    for key in ('datasets', 'seeds'):
        if not getattr(plan, key):
            raise UserError(f'{where}: {key}: found none, expected one or more.')
    if plan.amp not in (None, 'auto', 'fp16', 'bf16'):
        raise UserError(f'{where}: amp: found {plan.amp!r}, expected auto, fp16 or bf16.')
    if plan.recipe not in RECIPES:
        raise UserError(
            f'{where}: recipe: found {plan.recipe!r}, expected one of {", ".join(map(repr, RECIPES))}.'
            + nearest(str(plan.recipe), RECIPES)
        )
    for entry in plan.networks:
        _check_network(entry, plan, f'{where}: networks')
    get_protocols(plan.protocols)
    if plan.also_test_on and OWN in plan.datasets:
        raise UserError(
            f'{where}: also_test_on: found {OWN!r} in datasets, expected data sets by name or folder: what a '
            'config names is tested on as the config says.'
        )
    if plan.views:
        from madnet.models.segmentors.test_time import VIEWS

        for views in plan.views:
            if expect_whole(views, f'{where}: views') not in VIEWS:
                raise UserError(f'{where}: views: found {views!r}, expected some of {list(VIEWS)}.')
    for key in ('datasets', 'also_test_on', 'seeds', 'protocols', 'views'):
        twice = [value for value, times in Counter(getattr(plan, key) or ()).items() if times > 1]
        if twice:
            raise UserError(f'{where}: {key}: found {twice[0]!r} more than once.')
