"""Frames a second of prediction from file to file, beside those of the bare network."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from madnet.datasets.scenes import SMALLEST, synth_scene
from madnet.errors import UserError, nearest
from madnet.inference import OnnxPredictor, Predictor
from madnet.inference.base_predictor import BasePredictor
from madnet.inference.export import export_network
from madnet.inference.inputs import Frame
from madnet.inference.outputs import parse_formats
from madnet.inference.sharing import predict_in_turn, start_writing, warm_up
from madnet.records import list_registered, text_table
from madnet.text import counted


@dataclass
class Form:
    """A network in one of its forms.

    Attributes:
        predictor: From file to targets; None where that has no option for this form.
        bare: Frame (H, W, C) → scores, by the network alone.
    """

    predictor: BasePredictor | None
    bare: Callable[[np.ndarray], object]


def _in_torch(predictor: Predictor, network: Callable | None = None) -> Form:
    model = predictor.model
    network = network or model.encode_decode
    mean, std = (t.view(1, -1, 1, 1) for t in (model.data_preprocessor.mean, model.data_preprocessor.std))

    @torch.no_grad()
    def bare(pixels: np.ndarray) -> torch.Tensor:
        frame = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        return network((frame - mean) / std, [{}]).sigmoid()

    return Form(predictor, bare)


def _trained(model: str, folder: Path, batch: int) -> Form:
    predictor = Predictor(model, device='cpu', batch=batch)
    predictor.model.to(memory_format=torch.contiguous_format)
    return _in_torch(predictor)


def _folded(model: str, folder: Path, batch: int) -> Form:
    return _in_torch(Predictor(model, device='cpu', fold=True, batch=batch))


def _compiled(model: str, folder: Path, batch: int) -> Form:
    predictor = Predictor(model, device='cpu', fold=True)
    return Form(None, _in_torch(predictor, torch.compile(predictor.model.encode_decode)).bare)


def _onnx(model: str, folder: Path, batch: int) -> Form:
    export_network(Predictor(model, device='cpu'), folder / 'network.onnx')
    predictor = OnnxPredictor(folder / 'network.onnx', threads=torch.get_num_threads(), batch=batch)
    return Form(predictor, lambda pixels: predictor.score(pixels, 'frame'))


#: Form → what makes it; the first is the one that is trained: unfolded, in PyTorch's own layout of memory.
FORMS = {'trained': _trained, 'folded': _folded, 'compiled': _compiled, 'onnx': _onnx}


def benchmark(
    model: str = 'madnet_nano',
    sizes: Sequence[int] = (256, 512, 1024, 2048),
    pixels: int = 2**21,
    rounds: int = 3,
    threads: int = 1,
    batch: int = 1,
    format: str = 'png,csv,json',
    forms: Sequence[str] | None = None,
) -> dict:
    """Measure a network's forms in turn, print a table, and return all figures.

    Reading, drawing and writing go on beside the network, as in ``madnet predict``: on a machine with a core
    more than ``threads``, prediction from file to file is nearly as quick as the bare network.

    Args:
        model: A shipped network.
        sizes: Sides of the square frames, pixels, at least 48; each is taken once.
        pixels: Of all frames of a round together, at least four frames.
        rounds: How often all forms are measured, in turn.
        threads: That compute.
        batch: Images that are computed together.
        format: What is written of each frame, as ``--format`` of ``madnet predict``.
        forms: Some of :data:`FORMS`; None for all.

    Returns:
        ``rows``: size, form, frames, and of each round seconds for all frames: ``bare`` and ``files``;
        ``bare_cpu`` and ``files_cpu`` of the CPU, of which ``files_own_cpu`` in the network's thread (with
        one thread, what it took where a core is free for the others).

    Raises:
        UserError: An unknown form or format, a size that is too small, or a model that is no shipped network.
    """
    if model not in list_registered():
        raise UserError(
            f'benchmark predict: found {model!r}, expected the name of a shipped network (madnet pretrained '
            f'list has them).{nearest(model, list_registered())}'
        )
    for form in forms or ():
        if form not in FORMS:
            raise UserError(f'--forms: found {form!r}, expected {", ".join(FORMS)}.{nearest(form, FORMS)}')
    for size in sizes:
        if size < SMALLEST:
            raise UserError(f'--sizes {size}: expected {SMALLEST} or more, as synthetic scenes have.')
    kinds = parse_formats(format)
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    rows = []
    with tempfile.TemporaryDirectory(prefix='madnet-benchmark-') as folder:
        made = {name: FORMS[name](model, Path(folder), batch) for name in forms or FORMS}
        for size in dict.fromkeys(sizes):
            frames = _frames(Path(folder) / str(size), size, max(4, pixels // size**2))
            found: dict[str, list[dict[str, float]]] = {name: [] for name in made}
            for _ in range(rounds):
                for name, one in made.items():
                    found[name].append(_measure(one, frames, Path(folder) / 'out', kinds))
            rows += [{'size': size, 'form': n, 'frames': len(frames), 'rounds': r} for n, r in found.items()]
    print(
        f'{model}, {counted(threads, "thread")}, batches of {batch}, {format}; '
        f'medians of {counted(rounds, "round")}'
    )
    print(text_table(_table(rows)))
    return {'model': model, 'threads': threads, 'batch': batch, 'format': format, 'rows': rows}


def _frames(folder: Path, size: int, number: int) -> list[Frame]:
    folder.mkdir()
    scenes = [synth_scene(3, k, size).image for k in range(4)]
    paths = [folder / f'{k:04d}.png' for k in range(number)]
    for k, path in enumerate(paths):
        cv2.imwrite(str(path), scenes[k % 4])
    return [Frame(path) for path in paths]


def _measure(form: Form, frames: Sequence[Frame], out: Path, kinds: Sequence[str]) -> dict[str, float]:
    images = [np.asarray(cv2.imread(str(frame.path), 0))[..., None] for frame in frames[:4]]
    form.bare(images[0])
    wall, cpu = time.perf_counter(), time.process_time()
    for k in range(len(frames)):
        form.bare(images[k % 4])
    seconds = {'bare': time.perf_counter() - wall, 'bare_cpu': time.process_time() - cpu}
    if form.predictor is not None:
        outcomes: list = [None] * len(frames)
        writing = start_writing(len(frames))
        writing.call(warm_up).result()  # a network takes longer to load than they to start
        wall, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
        predict_in_turn(form.predictor, writing, out, kinds, [(f, f.path.stem) for f in frames], outcomes)
        seconds['files'] = time.perf_counter() - wall
        seconds['files_own_cpu'] = time.thread_time() - own
        seconds['files_cpu'] = time.process_time() - cpu
        wrong = [outcome for outcome in outcomes if not isinstance(outcome, dict)]
        if wrong:
            raise UserError(str(wrong[0]))
    return seconds


def _table(rows: Sequence[dict]) -> list[list[str]]:
    head = ['size', 'form', 'network alone', 'file to file', 'share']
    head += ['CPU ms alone', 'in its thread', 'beside', 'trained / this']
    table = [head]
    trained = {row['size']: row['rounds'] for row in rows if row['form'] == 'trained'}
    for row in rows:
        bare, cpu = _median(row, 'bare'), _median(row, 'bare_cpu')
        cells = [f'{row["frames"] / bare:.2f}/s']
        if 'files' in row['rounds'][0]:
            share = statistics.median(r['bare'] / r['files'] for r in row['rounds'])
            own = _median(row, 'files_own_cpu')
            beside = _median(row, 'files_cpu') - own
            cells += [f'{row["frames"] / _median(row, "files"):.2f}/s', f'{100 * share:.0f} %']
            times = [cpu, own, beside]
        else:
            cells += ['–', '–']
            times = [cpu]
        cells += [f'{1000 * t / row["frames"]:.1f}' for t in times] + ['–'] * (3 - len(times))
        # of one round: from round to round a machine that others share may be half as fast
        pairs = zip(trained.get(row['size'], ()), row['rounds'], strict=False)
        ratios = [one['bare_cpu'] / other['bare_cpu'] for one, other in pairs]
        cells.append(f'{statistics.median(ratios):.2f}' if ratios else '–')
        table.append([str(row['size']), row['form'], *cells])
    return table


def _median(row: dict, key: str) -> float:
    return statistics.median(r[key] for r in row['rounds'])
