"""What a comparison consists of: networks × data sets × seeds, each with its config."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from madnet.errors import UserError, nearest
from madnet.experiments.systems import label_of

#: Recipe → the folders under ``configs/`` in which its experiments lie.
RECIPES = {'modern': ('zoo/modern', 'modern'), 'paper': ('zoo', '.')}
#: Detectors without training; they belong to every recipe.
CLASSICAL = 'classical'
DATASETS = ('nuaa', 'nudt', 'irstd1k', 'sirstaug')


@dataclass(frozen=True)
class Run:
    """One training and its test, or a test alone.

    Attributes:
        network: Name of the network, and of the folder of its runs.
        label: How tables and figures call it.
        dataset: Short name of the data set, such as ``'nuaa'``.
        config: Its config file.
        seed: Of the training; None where nothing is trained.
        checkpoint: Weights that are tested instead of training; None trains (or needs no weights).
        options: ``KEY=VALUE`` pairs that override the config.
        amp: Mixed precision of the training, as ``tools/train.py --amp``.
        protocols: Names with commas.
        folder: Where checkpoints, logs and ``metrics.json`` go.
        views: To test with, one number after the other; none tests as the config says.
    """

    network: str
    label: str
    dataset: str
    config: str
    seed: int | None
    checkpoint: str | None
    options: tuple[str, ...]
    amp: str | None
    protocols: str
    folder: str
    views: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """As progress lines call it."""
        return f'{self.network} {self.dataset}' + ('' if self.seed is None else f' seed {self.seed}')

    def wanted(self) -> dict:
        """What decides the outcome of the training; a folder that holds another is not touched."""
        keys = ('config', 'seed', 'checkpoint', 'options', 'amp')
        return {k: list(v) if isinstance(v := asdict(self)[k], tuple) else v for k in keys}

    def tests(self) -> dict[int | None, Path]:
        """Number of views (None: the config's) → the folder of that test's ``metrics.json``.

        One view lies with the training, where ``tools/test.py`` puts it too.
        """
        folder = Path(self.folder)
        return {n: folder if n == 1 else folder / f'views{n}' for n in self.views} or {None: folder}


@dataclass(frozen=True)
class Plan:
    """A whole comparison, as one YAML file says it.

    Attributes:
        networks: Names, or mappings with ``name`` and any of ``config`` (a path that may hold
            ``{dataset}``), ``label``, ``checkpoint`` (weights to test instead of training; may hold
            ``{dataset}``) and ``options``. ``all`` stands for every network of the recipe,
            ``classical`` for every detector without training. In one process they are done in this order, so
            that one can begin from another's weights: ``options: {load_from: "…/seed{seed}/last.pth"}``.
        datasets: Short names, such as ``nuaa``.
        seeds: One training each.
        recipe: ``'modern'`` (one recipe for all) or ``'paper'`` (each network's own).
        protocols: How to score.
        options: ``KEY: VALUE`` overrides of every config. In these and in a network's own, ``{dataset}`` and
            ``{seed}`` stand for those of the run.
        views: Mirrored and turned views (1, 2, 4, 8) to test every network with, a line of the table each;
            none tests as the configs say, usually with one.
        amp: Mixed precision of every training.
        size: Side, in pixels, at which MACs and latency are measured.
        work_dir: Where everything goes.
        configs: The folder of configs.
    """

    networks: tuple = ()
    datasets: tuple[str, ...] = ('nuaa',)
    seeds: tuple[int, ...] = (42,)
    recipe: str = 'modern'
    protocols: tuple[str, ...] = ('native',)
    options: Mapping | Sequence[str] = ()
    views: tuple[int, ...] = ()
    amp: str | None = None
    size: int = 256
    work_dir: str = 'work_dirs/zoo'
    configs: str = 'configs'

    def runs(self) -> list[Run]:
        """Every run, data set after data set.

        Raises:
            UserError: A network or a data set that has no config; names that come twice.
        """
        return [
            run for dataset in self.datasets for entry in self._entries() for run in self._of(entry, dataset)
        ]

    def _entries(self) -> list[dict]:
        groups = {'all': RECIPES[self.recipe], CLASSICAL: (CLASSICAL,)}
        entries = [{'name': e} if isinstance(e, str) else dict(e) for e in self.networks]
        names = [e['name'] for e in entries]
        for name in names:
            if names.count(name) > 1:
                raise UserError(
                    f'networks: {name!r} comes {names.count(name)} times; give each a name of its own.'
                )
        expanded = []
        for entry in entries:
            if entry['name'] not in groups:
                expanded.append(entry)
                continue
            for name in sorted(known_networks(self.configs, groups[entry['name']])):
                if name not in names:
                    expanded.append({**entry, 'name': name, 'optional': True})
        return expanded

    def _of(self, entry: Mapping, dataset: str) -> list[Run]:
        name = entry['name']
        if 'config' in entry:
            config = Path(entry['config'].replace('{dataset}', dataset))
            if not config.is_file():
                raise UserError(f'networks: {name}: config {config}: no such file.')
        elif entry.get('optional') and dataset not in known_networks(self.configs, self._folders())[name]:
            return []
        else:
            config = find_config(name, dataset, self.recipe, self.configs)
        checkpoint = entry.get('checkpoint')
        if checkpoint is not None:
            checkpoint = checkpoint.replace('{dataset}', dataset)
            if not Path(checkpoint).is_file():
                raise UserError(f'networks: {name}: checkpoint {checkpoint}: no such file.')
        has_network, averages_views, starts_from = _look_into(config)
        if entry.get('optional') and starts_from:
            return []  # the second part of a training is no network of its own
        if self.views and has_network and not averages_views:
            raise UserError(
                f'views: found {list(self.views)}, but the model of {config} is no IRSTDSegmentor, the only '
                'type that averages views. Leave the key out.'
            )
        trains = checkpoint is None and has_network
        options = (*(as_pairs(self.options) if trains else ()), *as_pairs(entry.get('options') or ()))
        return [
            Run(
                network=name,
                label=entry.get('label') or label_of(name),
                dataset=dataset,
                config=str(config),
                seed=seed,
                checkpoint=checkpoint,
                options=tuple(o.replace('{dataset}', dataset).replace('{seed}', str(seed)) for o in options),
                amp=self.amp if trains else None,
                protocols=','.join(self.protocols),
                folder=str(Path(self.work_dir, name, dataset, f'seed{seed}' if trains else 'test')),
                views=self.views if has_network else (),
            )
            for seed in (self.seeds if trains else (None,))
        ]

    def _folders(self) -> tuple[str, ...]:
        return (*RECIPES[self.recipe], CLASSICAL)


def read_plan(path: str | os.PathLike | None = None, **given) -> Plan:
    """A plan from a YAML file and from what the command line gives, which wins.

    Args:
        path: A YAML file whose keys are the attributes of :class:`Plan`; None starts from nothing.
        given: Attributes; None leaves one alone.

    Raises:
        UserError: The file can't be read, has an unknown key or a value of the wrong kind; no network.
    """
    where = 'the command line'
    content: dict = {}
    if path is not None:
        where = str(path)
        try:
            content = yaml.safe_load(Path(path).read_text(encoding='utf-8')) or {}
        except FileNotFoundError:
            hint = nearest(str(path), (str(p) for p in Path(path).parent.glob('*.yaml')))
            raise UserError(f'{path}: no such file.{hint}') from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
            raise UserError(f'{path}: not readable as YAML: {e}') from None
        if not isinstance(content, dict):
            raise UserError(
                f'{path}: found a {type(content).__name__}, expected keys such as networks and datasets.'
            )
        content.setdefault('work_dir', f'work_dirs/{_name_of(Path(path))}')
    content |= {k: v for k, v in given.items() if v is not None}
    keys = Plan.__dataclass_fields__
    for key, value in content.items():
        if key not in keys:
            raise UserError(f'{where}: no key {key!r}, expected {", ".join(keys)}.{nearest(key, keys)}')
        if key in ('networks', 'datasets', 'seeds', 'protocols', 'views'):
            content[key] = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    plan = Plan(**content)
    _check(plan, where)
    return plan


def _name_of(path: Path) -> str:
    """Of ``experiments/joint/plan_views.yaml`` ``joint_views``, of ``mine.yaml`` ``mine``."""
    name, _, rest = path.stem.partition('plan')
    return path.stem if name else path.resolve().parent.name + rest


def _check(plan: Plan, where: str) -> None:
    if not plan.networks:
        raise UserError(f'{where}: no networks; name some, such as acm and madnet_nano, or all.')
    if plan.recipe not in RECIPES:
        raise UserError(
            f'{where}: recipe: found {plan.recipe!r}, expected {" or ".join(map(repr, RECIPES))}.'
            + nearest(str(plan.recipe), RECIPES)
        )
    for entry in plan.networks:
        known = {'name', 'config', 'label', 'checkpoint', 'options'}
        if isinstance(entry, Mapping) and 'name' in entry:
            for key in set(entry) - known:
                raise UserError(f'{where}: networks: {entry["name"]}: no key {key!r}.{nearest(key, known)}')
        elif not isinstance(entry, str):
            raise UserError(f'{where}: networks: found {entry!r}, expected a name, or a mapping with a name.')
    for seed in plan.seeds:
        if not isinstance(seed, int) or seed < 0:
            raise UserError(f'{where}: seeds: found {seed!r}, expected whole numbers from 0.')
    if plan.views:
        from madnet.models.segmentors.irstd_segmentor import VIEWS

        for views in plan.views:
            if views not in VIEWS:
                raise UserError(f'{where}: views: found {views!r}, expected some of {list(VIEWS)}.')


def known_networks(configs: str | os.PathLike, folders: Iterable[str]) -> dict[str, set[str]]:
    """Network → data sets for which one of the folders has a config ``<network>_<dataset>.py``."""
    known: dict[str, set[str]] = {}
    for folder in folders:
        for path in Path(configs, folder).glob('*.py'):
            network, _, dataset = path.stem.rpartition('_')
            if network and dataset in DATASETS:
                known.setdefault(network, set()).add(dataset)
    return known


def find_config(network: str, dataset: str, recipe: str, configs: str | os.PathLike = 'configs') -> Path:
    """The config file of a network on a data set under a recipe.

    Raises:
        UserError: There is none; the nearest names are offered.
    """
    folders = (*RECIPES[recipe], CLASSICAL)
    for folder in folders:
        path = Path(configs, folder, f'{network}_{dataset}.py')
        if path.is_file():
            return path
    if dataset not in DATASETS:
        raise UserError(
            f'data set {dataset!r}: unknown, expected one of {", ".join(DATASETS)}.'
            + nearest(dataset, DATASETS)
        )
    known = known_networks(configs, folders)
    if network in known:
        raise UserError(
            f'network {network!r}: no config for {dataset!r} under recipe {recipe!r}, '
            f'only for {", ".join(sorted(known[network]))}.'
        )
    for other in RECIPES:
        if other != recipe and network in known_networks(configs, RECIPES[other]):
            raise UserError(
                f'network {network!r}: has configs under recipe {other!r} only, found recipe {recipe!r}.'
                + nearest(network, known)
            )
    raise UserError(
        f'network {network!r}: no config {network}_{dataset}.py under {configs}/{{{",".join(folders)}}}.'
        + (nearest(network, known) or f' Known: {", ".join(sorted(known)) or "none"}.')
    )


def as_pairs(options: Mapping | Sequence[str]) -> tuple[str, ...]:
    """``KEY=VALUE`` for each option."""
    if isinstance(options, Mapping):
        return tuple(f'{k}={v}' for k, v in options.items())
    return tuple(options)


def _look_into(config: Path) -> tuple[bool, bool, bool]:
    """Whether a config has a network, one that averages views, and one that starts from given weights."""
    from madnet.engine.config import load_config
    from madnet.engine.training_free import is_training_free

    cfg = load_config(config)
    return not is_training_free(cfg), cfg.model.type == 'IRSTDSegmentor', bool(cfg.get('load_from'))


@dataclass(frozen=True)
class Shard:
    """A share of the runs.

    Attributes:
        rank: From 0.
        count: Shares in all.
        local_rank: Number of this process on its machine, to choose a GPU by; None leaves the GPU alone.
        source: Where this is known from.
    """

    rank: int = 0
    count: int = 1
    local_rank: int | None = None
    source: str = ''

    def of(self, runs: Sequence[Run]) -> list[Run]:
        """Every ``count``-th run, so that slow networks and data sets are spread."""
        return list(runs[self.rank :: self.count])


def find_shard(text: str | None = None, environment: Mapping[str, str] = os.environ) -> Shard:
    """This process's share: from ``'r/n'`` (r from 1), or from torchrun's or srun's environment, or all.

    Raises:
        UserError: ``text`` is not of that form.
    """
    if text is not None:
        rank, _, count = text.partition('/')
        if not (rank.isdigit() and count.isdigit() and 1 <= int(rank) <= int(count)):
            raise UserError(f'--shard: found {text!r}, expected r/n with r from 1 to n, such as 1/4.')
        return Shard(int(rank) - 1, int(count), source='--shard')
    for source, rank, count, local in (
        ('torchrun', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
        # a job step's own count: in a batch script without srun, SLURM_NTASKS may be greater than one as well
        ('srun', 'SLURM_PROCID', 'SLURM_STEP_NUM_TASKS', 'SLURM_LOCALID'),
    ):
        if rank in environment and int(environment.get(count, 1)) > 1:
            local_rank = int(environment.get(local, 0))
            return Shard(int(environment[rank]), int(environment[count]), local_rank, source)
    return Shard()
