"""Targets, backgrounds and images in numbers, data sets side by side."""

from pathlib import Path

from madnet.curation.comparison import as_text, compare, quantiles, statistics_json
from madnet.curation.measures import measure
from madnet.curation.sources import open_parts, walk
from madnet.curation.statistics_page import statistics_page
from madnet.errors import UserError
from madnet.files import expect_writable, write_json, write_whole
from madnet.records import text_table

PAGE, JSON = 'index.html', 'statistics.json'
MOST_SETS = 8


def stats(
    sets: list[str],
    split: str | None = None,
    synthetic: int | None = None,
    images: int | None = None,
    out: str = 'dataset_statistics',
    **reading,
) -> None:
    """Measure, write the page and the JSON, and print the gist.

    Raises:
        UserError: No or too many sets, one that is not found, or a file that cannot be read.
    """
    for option, value in (('--synthetic', synthetic), ('--images', images)):
        if value is not None and value < 1:
            raise UserError(f'{option}: found {value}, expected 1 or more.')
    count = len(sets) + (synthetic is not None)
    if not 1 <= count <= MOST_SETS:
        raise UserError(
            f'found {count} data sets, expected 1 to {MOST_SETS}: names such as nuaa, or folders; '
            '--synthetic N counts as one.'
        )
    expect_writable(Path(out, JSON), Path(out, PAGE))
    parts = open_parts(sets, split.split(',') if split else (), synthetic=synthetic, **reading)
    measured = [(part, measure(walk(part, images))) for part in parts]
    comparisons = compare(measured)
    names = list(dict.fromkeys(part.set_name for part in parts))
    write_json(Path(out, JSON), statistics_json(measured, comparisons), indent=1)
    page = write_whole(
        Path(out, PAGE), statistics_page(measured, comparisons, f'Data set statistics: {", ".join(names)}')
    )
    shown = {'area': 'area, px', 'scr': 'local SCR', 'contrast': 'contrast, grey levels', 'slope': 'slope β'}
    rows = [
        [
            part.name,
            f'{m.images:,}',
            f'{m.targets:,}',
            *(' / '.join(map(as_text, quantiles(m.values[key]))) for key in shown),
        ]
        for part, m in measured
    ]
    print(text_table([['10 / 50 / 90 %', 'images', 'targets', *shown.values()], *rows]))
    for comparison in comparisons:
        print(f'\n{comparison.sentence}')
    print(f'\npage  {page}\nJSON  {page.with_name(JSON)}')
