"""Draws ``docs/images/rooms.png``: which folder of the package imports which.

Run as ``python docs/build/rooms.py``.
"""

import ast
from collections.abc import Sequence
from graphlib import TopologicalSorter
from itertools import pairwise, permutations
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from madnet.visualization.figure import save_picture

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT, COLUMN, ROW = 1.55, 0.56, 1.85, 1.05


def read_rooms(package: Path) -> dict[str, set[str]]:
    """Room → rooms that any of its modules imports, anywhere in it."""
    rooms = {path.parent.name: set() for path in package.glob('*/__init__.py')}
    for room, others in rooms.items():
        for path in (package / room).rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [node.module or '', *(f'{node.module}.{a.name}' for a in node.names)]
                others |= {n.split('.')[1] for n in names if n.startswith('madnet.')} & set(rooms) - {room}
    return rooms


def direct(rooms: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that longer ways imply."""
    below: dict[str, set[str]] = {}
    for room in TopologicalSorter(rooms).static_order():
        below[room] = rooms[room].union(*(below[other] for other in rooms[room]))
    return {
        room: {o for o in others if not any(o in below[p] for p in others - {o})}
        for room, others in rooms.items()
    }


def levels(rooms: dict[str, set[str]]) -> dict[str, int]:
    """How many rooms lie below at most, one upon another."""
    found: dict[str, int] = {}
    for room in TopologicalSorter(rooms).static_order():
        found[room] = 1 + max((found[other] for other in rooms[room]), default=-1)
    return found


def lay_out(arrows: dict[str, set[str]], level: dict[str, int]) -> dict[tuple[str, ...], tuple[float, float]]:
    """``(room,)`` → (x, y) of its box; ``(room, other, n)`` → where the arrow between the two passes row n,
    beside the boxes there."""
    ways = {
        (a, b): [(a,), *((a, b, str(n)) for n in range(level[a] - 1, level[b], -1)), (b,)]
        for a, others in arrows.items()
        for b in sorted(others)
    }
    neighbours: dict[tuple[str, ...], list[tuple[str, ...]]] = {(room,): [] for room in sorted(level)}
    for way in ways.values():
        for one, next_one in pairwise(way):
            neighbours.setdefault(one, []).append(next_one)
            neighbours.setdefault(next_one, []).append(one)
    rows = [[k for k in neighbours if row_of(k, level) == n] for n in range(max(level.values()) + 1)]
    place = {k: (x, n * ROW) for n, row in enumerate(rows) for k, x in spread(row)}

    def length(order: Sequence[tuple[str, ...]]) -> float:
        return sum((x - place[k][0]) ** 2 for key, x in spread(order) for k in neighbours[key])

    for n in [*range(len(rows)), *reversed(range(len(rows)))] * 4:
        # of all orders of a row the one with the shortest arrows
        place.update((k, (x, n * ROW)) for k, x in spread(min(permutations(rows[n]), key=length)))
    return place


def row_of(key: tuple[str, ...], level: dict[str, int]) -> int:
    """In which row a box lies, or an arrow passes."""
    return int(key[2]) if len(key) > 1 else level[key[0]]


def spread(row: Sequence[tuple[str, ...]]) -> list[tuple[tuple[str, ...], float]]:
    """Places side by side in a row, around its middle; an arrow needs less room than a box."""
    widths = [COLUMN if len(key) == 1 else COLUMN / 3 for key in row]
    ends = [sum(widths[: i + 1]) - sum(widths) / 2 for i in range(len(row))]
    return [(key, end - width / 2) for key, end, width in zip(row, ends, widths, strict=True)]


def told(rooms: dict[str, set[str]]) -> str:
    """All that a picture of the rooms shows, in words, which it keeps: a test compares them with today's."""
    return '; '.join(f'{room}: {", ".join(sorted(others))}' for room, others in sorted(direct(rooms).items()))


def draw(rooms: dict[str, set[str]]) -> Figure:
    """Boxes in rows, the lowest rooms at the bottom; an arrow points to what is imported."""
    arrows, level = direct(rooms), levels(rooms)
    place = lay_out(arrows, level)
    side = max(abs(x) for x, _ in place.values()) + COLUMN / 2
    count = max(level.values()) + 1
    figure = Figure((2 * side, count * ROW))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-side, side), ylim=(-ROW / 2, (count - 0.5) * ROW))
    axes.axis('off')
    colour = '#8a939c'
    for room, others in arrows.items():
        for other in sorted(others):
            passed = [place[room, other, str(n)] for n in range(level[room] - 1, level[other], -1)]
            way = [(x, y + end) for x, y in passed for end in (HEIGHT / 2, -HEIGHT / 2)]
            way.insert(0, (place[(room,)][0], place[(room,)][1] - HEIGHT / 2))
            axes.plot(*zip(*way, strict=True), color=colour, linewidth=0.9, zorder=1)
            x, y = place[(other,)]
            line = {'arrowstyle': '-|>', 'color': colour, 'linewidth': 0.9, 'shrinkA': 0, 'shrinkB': 1}
            axes.annotate('', (x, y + HEIGHT / 2), way[-1], arrowprops=line, zorder=1)
    for room in rooms:
        x, y = place[(room,)]
        axes.add_patch(
            FancyBboxPatch(
                (x - WIDTH / 2, y - HEIGHT / 2),
                *(WIDTH, HEIGHT),
                boxstyle='round,pad=0,rounding_size=0.08',
                facecolor='#eef3f7',
                edgecolor='#33566f',
                zorder=2,
            )
        )
        axes.text(x, y, room, ha='center', va='center', fontsize=11, color='#1c2b36', zorder=3)
    return figure


if __name__ == '__main__':
    found = read_rooms(ROOT / 'madnet')
    picture = ROOT / 'docs' / 'images' / 'rooms.png'
    save_picture(draw(found), picture, dpi=110, metadata={'Description': told(found)})
