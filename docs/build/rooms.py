"""Draws ``docs/images/rooms.png``: which folder of the package imports which.

Run as ``python docs/build/rooms.py``.
"""

import ast
from graphlib import TopologicalSorter
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


def draw() -> None:
    """Boxes in rows, the lowest rooms at the bottom; an arrow points to what is imported."""
    rooms = read_rooms(ROOT / 'madnet')
    arrows, level = direct(rooms), levels(rooms)
    rows = [sorted(r for r in rooms if level[r] == n) for n in range(max(level.values()) + 1)]
    broadest = max(map(len, rows))
    place = {
        room: ((i - (len(row) - 1) / 2) * COLUMN, n * ROW)
        for n, row in enumerate(rows)
        for i, room in enumerate(row)
    }
    figure = Figure((broadest * COLUMN, len(rows) * ROW))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-broadest * COLUMN / 2, broadest * COLUMN / 2), ylim=(-ROW / 2, (len(rows) - 0.5) * ROW))
    axes.axis('off')
    line = {'arrowstyle': '-|>', 'color': '#8a939c', 'linewidth': 0.9, 'shrinkA': 0, 'shrinkB': 1}
    for room, others in arrows.items():
        for other in others:
            (x0, y0), (x1, y1) = place[room], place[other]
            axes.annotate('', (x1, y1 + HEIGHT / 2), (x0, y0 - HEIGHT / 2), arrowprops=line, zorder=1)
    for room, (x, y) in place.items():
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
    save_picture(figure, ROOT / 'docs' / 'images' / 'rooms.png', dpi=110)


if __name__ == '__main__':
    draw()
