"""The qualitative grid from folders of files."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from madnet.errors import UserError, nearest
from madnet.evaluation.folders import find_maps
from madnet.files import expect_writable
from madnet.images.score_maps import ScoreCensus, scores_and_greys
from madnet.visualization.figure import save_figure
from madnet.visualization.gallery import counted_by
from madnet.visualization.material import THRESHOLD, Material, detect
from madnet.visualization.panels import GridRow, MethodResult, draw_grid
from madnet.visualization.run_results import RunResult


def parse_methods(specs: Sequence[str]) -> dict[str, str]:
    """``NAME=DIR`` pairs as a dict.

    Raises:
        UserError: Not such a pair, or a name twice.
    """
    methods: dict[str, str] = {}
    for spec in specs:
        name, equals, folder = spec.partition('=')
        if not (name and equals and folder):
            raise UserError(f'found {spec!r}, expected METHOD=DIR, such as "Top-hat=results/tophat"')
        if name in methods:
            raise UserError(f'the method {name!r} is given twice')
        methods[name] = folder
    return methods


def grid_rows(
    material: Material,
    results: Mapping[str, RunResult],
    ids: Sequence[str],
    threshold: float = THRESHOLD,
) -> list[GridRow]:
    """Read what a grid shows of the images with these ids.

    Args:
        material: Images and masks.
        results: Method → its score maps, and by what they were scored.
        ids: As above.
        threshold: Above which a score is a detection, where a result had no other.

    Raises:
        UserError: A file can't be read, or its size is another than the image's.
    """
    rows = []
    for image_id in ids:
        image, truth = material.read(image_id)
        methods = {}
        for method, result in results.items():
            score = result.score_map(image_id, image.shape[:2])
            marks = detect(score, truth, *counted_by(result, threshold), image)
            methods[method] = MethodResult(score, *marks)
        rows.append(GridRow(image_id, image, truth, methods))
    return rows


def build_grid(
    image_dir: str | os.PathLike,
    mask_dir: str | os.PathLike,
    methods: Mapping[str, str | os.PathLike],
    out: str | os.PathLike,
    ids: Sequence[str] | None = None,
    count: int = 4,
    insets: int = 2,
    threshold: float = THRESHOLD,
    width: str = 'double',
    show: str = 'scores',
    serif: bool = False,
    mask_values: Sequence[int] | None = None,
    labels: Sequence[str] = (),
) -> tuple[Path, Path]:
    """Draw the grid of several methods' score maps as PDF and PNG, and return the two paths.

    Args:
        image_dir, mask_dir: Images and masks.
        methods: Method → folder of score maps (8- or 16-bit PNG, ``.npy``, ``.npz``), matched by stem.
        out: Path without ending.
        ids: The images to show; default ``count`` of those that all folders have, spread over them.
        insets, width, show, threshold, serif: See :func:`~madnet.visualization.panels.draw_grid`.
        mask_values: What masks hold; see :class:`~madnet.images.MaskRule`.
        labels: The methods whose maps are labels: 0 is background, anything else target.

    Raises:
        UserError: A folder or file is missing or can't be read, an id or a method is unknown, or maps are
            labels unannounced (see :class:`~madnet.images.score_maps.ScoreCensus`).
    """
    expect_writable(f'{out}.pdf', f'{out}.png')
    material = Material.from_folders(image_dir, mask_dir, mask_values)
    maps = {method: find_maps(folder, method) for method, folder in methods.items()}
    common = [i for i in material.images if i in material and all(i in files for files in maps.values())]
    if not common:
        firsts = {'an image': material.images, 'a mask': material.masks}
        firsts |= {f'a map of {method}': files for method, files in maps.items()}
        named = ', '.join(f'{next(iter(files))!r} is {what}' for what, files in firsts.items())
        raise UserError(
            f'no image of {image_dir} has a mask in {mask_dir} and a map of every method: names must agree, '
            f'but {named}'
        )
    if ids is None:
        count = min(count, len(common))
        ids = [common[(2 * k + 1) * len(common) // (2 * count)] for k in range(count)]
    for image_id in ids:
        if image_id not in common:
            lacking = [m for m, files in maps.items() if image_id not in files]
            known = image_id in material
            what = f'has no map of {", ".join(lacking)}' if known else 'has no image or no mask'
            raise UserError(f'{image_id!r} {what}.{nearest(image_id, common)}')
    material.check_masks(ids, str(mask_dir))
    for method in labels:
        if method not in methods:
            raise UserError(f'labels: no method {method!r}.{nearest(method, methods)}')
    for method in methods.keys() - {*labels}:
        census = ScoreCensus()
        for image_id in ids:
            census.add(scores_and_greys(maps[method][image_id])[1])
        census.refuse(str(methods[method]))
    results = {
        m: RunResult(m, Path(folder), scores=maps[m], labels=m in labels) for m, folder in methods.items()
    }
    rows = grid_rows(material, results, ids, threshold)
    figure = draw_grid(rows, insets, width, show, threshold, serif)
    return save_figure(figure, out)
