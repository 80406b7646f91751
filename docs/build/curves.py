"""Draws pictures of experiments from the logs beside them: ``python docs/build/curves.py``.

``experiments/ablation/seeds.png``: the validation IoU of each seed of the ablation, from its ``logs.txt``.
``experiments/tuned/curves.png``: the loss of the trainings on one set after the joint one.
"""

import re
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from madnet.experiments.plan import read_plan
from madnet.visualization.figure import new_figure, paper_style, save_picture, series_style

EXPERIMENTS = Path(__file__).resolve().parents[2] / 'experiments'
LOSS = re.compile(r'^epoch (\d+)/\d+  loss ([\d.]+)', re.MULTILINE)
#: Title → name of the curve → log, epochs before it.
TUNED = {
    'NUAA-SIRST': {f'nano, seed {seed}': (f'tuned/logs/nano_tuned_batch{seed}', 0) for seed in (42, 43, 44)},
    'NUDT-SIRST': {
        'nano, seed 42': ('tuned/logs/nudt_tuned_batch42', 0),
        'tiny, seed 42': ('tuned_tiny/logs/nudt_tiny_batch42', 0),
        'then whole images': ('tuned_tiny/logs/nudt_tiny_whole42', 150),
    },
    'IRSTD-1K': {f'nano, seed {seed}': (f'tuned/logs/irstd_tuned_batch{seed}', 0) for seed in (42, 43, 44)},
}


def read_ablation(text: str) -> dict[str, dict[int, float]]:
    """Name of the row → seed → validation IoU in percent, of ``== <name>, seed <n>`` and the log under it."""
    found: dict[str, dict[int, float]] = {}
    for part in text.split('\n== ')[1:]:
        name, seed = re.match(r'(\w+), seed (\d+)', part).groups()
        *_, iou = re.findall(r'^native +([\d.]+)', part, re.MULTILINE)
        found.setdefault(name, {})[int(seed)] = float(iou)
    return found


def draw_ablation() -> Figure:
    """A line for each change, a dot for each seed, a stroke at their mean."""
    plan = read_plan(EXPERIMENTS / 'ablation' / 'plan.yaml')
    labels = {run.network: run.label for run in plan.runs()}
    rows = read_ablation((EXPERIMENTS / 'ablation' / 'logs.txt').read_text(encoding='utf-8'))
    with paper_style():
        figure = new_figure('double', 0.21 * len(rows) + 0.6)
        axes = figure.add_subplot()
        kinds = ('of each image', 'over the batch')
        colours = {kind: series_style(i)['color'] for i, kind in enumerate(kinds)}
        for y, (name, seeds) in enumerate(rows.items()):
            colour = colours['over the batch' if name.startswith('batch') else 'of each image']
            axes.plot(list(seeds.values()), [y] * len(seeds), 'o', color=colour, markersize=4)
            axes.plot(sum(seeds.values()) / len(seeds), y, '|', color=colour, markersize=11)
        axes.set_yticks(range(len(rows)), [labels[name] for name in rows])
        axes.invert_yaxis()
        axes.set(xlabel='IoU on the validation images of NUAA-SIRST (%)', xlim=(-2, 100 * 0.75))
        key = [Patch(color=colour, label=f'loss {kind}') for kind, colour in colours.items()]
        for marker, size, label in (('o', 4, 'one seed'), ('|', 11, 'mean of seeds')):
            look = {'color': '#555555', 'linestyle': '', 'markersize': size}
            key.append(Line2D([], [], marker=marker, label=label, **look))
        axes.legend(handles=key, loc='lower left', fontsize=6)
    return figure


def draw_tuned() -> Figure:
    """Training loss by epoch, a panel for each set."""
    with paper_style():
        figure = new_figure('double', 2.2)
        for i, (dataset, logs) in enumerate(TUNED.items()):
            axes = figure.add_subplot(1, len(TUNED), i + 1)
            for k, (name, (log, before)) in enumerate(logs.items()):
                text = (EXPERIMENTS / f'{log}.txt').read_text(encoding='utf-8')
                epochs, losses = zip(*LOSS.findall(text), strict=True)
                epochs = [before + int(e) for e in epochs]
                axes.plot(epochs, [float(v) for v in losses], label=name, **series_style(k))
            axes.set(title=dataset, xlabel='epoch')
            axes.legend(fontsize=6)
        figure.axes[0].set_ylabel('loss in training, six maps')
    return figure


if __name__ == '__main__':
    save_picture(draw_ablation(), EXPERIMENTS / 'ablation' / 'seeds.png', dpi=150)
    save_picture(draw_tuned(), EXPERIMENTS / 'tuned' / 'curves.png', dpi=150)
