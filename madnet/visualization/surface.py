"""Score maps as surfaces, as the field's papers show them."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from madnet.visualization.figure import WIDTHS, drawable, fit_text, new_figure, paper_style


def peak_grid(plane: np.ndarray, cells: int = 96) -> np.ndarray:
    """Shrink a (H, W) map to at most ``cells`` a side, each cell the maximum of its block.

    A mean or a stride would lose a target of three pixels; its peak is what the surface is drawn for.
    """
    height, width = plane.shape
    step = max(1, math.ceil(max(height, width) / cells))
    rows, cols = math.ceil(height / step), math.ceil(width / step)
    padded = np.full((rows * step, cols * step), -np.inf)
    padded[:height, :width] = np.nan_to_num(plane)
    return padded.reshape(rows, step, cols, step).max((1, 3))


def draw_surfaces(
    maps: Mapping[str, np.ndarray],
    title: str = '',
    width: str = 'double',
    columns: int = 4,
    heights: Mapping[str, str] | None = None,
) -> Figure:
    """One surface for each map, side by side, with the same view and height axis (0–1).

    Args:
        maps: Title → (H, W) in 0–1; a title may hold a line break.
        title: Above all.
        width: ``'single'`` or ``'double'`` column.
        columns: Surfaces side by side at most.
        heights: Title → name of its height axis; default ``'score'``.
    """
    heights = heights or {}
    with paper_style():
        rows = math.ceil(len(maps) / columns)
        columns = math.ceil(len(maps) / rows)
        side = min(WIDTHS[width] / columns, 2.6)
        above = 0.25 if title else 0  # inches
        tall = rows * (side + 0.2) + above
        figure = new_figure(width, tall)
        # Before 3.11 matplotlib's layout measures surfaces wrongly and may never end.
        figure.set_layout_engine('none')
        right = 1 - 0.25 / WIDTHS[width]  # where the last height axis's label lies
        # halves of cells, so that a last row that is not full stands in the middle
        cells = figure.add_gridspec(
            rows,
            2 * columns,
            left=0,
            right=right,
            bottom=0,
            top=1 - (above + 0.2) / tall,
            wspace=0,
            hspace=0.2 / side,
        )
        for k, (name, plane) in enumerate(maps.items()):
            row, column = divmod(k, columns)
            left = 2 * column + (columns * rows - len(maps) if row == rows - 1 else 0)
            axes = figure.add_subplot(cells[row, left : left + 2], projection='3d')
            axes.patch.set_visible(False)  # it would cover the label of the one before
            grid = np.clip(peak_grid(np.asarray(plane, float)), 0, 1)
            height, wide = plane.shape
            x = np.linspace(0, wide, grid.shape[1])
            y = np.linspace(0, height, grid.shape[0])
            axes.plot_surface(
                *np.meshgrid(x, y), grid, cmap='viridis', vmin=0, vmax=1, rstride=1, cstride=1, linewidth=0,
                antialiased=False, rasterized=True,
            )  # fmt: skip
            axes.set(xlim=(0, wide), ylim=(height, 0), zlim=(0, 1))
            # where two axes meet, their numbers would lie over each other: one of them is enough
            axes.set_xticks((0, wide // 2, wide))
            axes.set_yticks((0, height // 2))
            axes.set_zticks((0.5, 1), ('0.5', '1'))
            axes.tick_params(labelsize=6, pad=-3, length=0)
            axes.set_xlabel('x (px)', fontsize=6, labelpad=-6)
            axes.set_ylabel('y (px)', fontsize=6, labelpad=-6)
            axes.set_zlabel(heights.get(name, 'score'), fontsize=6, labelpad=-7)
            axes.set_box_aspect((wide, height, 0.6 * max(wide, height)), zoom=0.8)
            axes.view_init(elev=32, azim=-60)
            for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
                axis.pane.set_facecolor('#f4f4f4')
                axis.pane.set_edgecolor('#cccccc')
            axes.set_title(drawable(name), fontsize=8, pad=0)
            fit_text(axes.title, side * figure.dpi)
        if title:
            figure.suptitle(drawable(title), fontsize=8)
    return figure
