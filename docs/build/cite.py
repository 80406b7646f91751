"""Writes ``docs/cite.md`` from ``CITATION.cff``: how to cite the toolkit and each network, in BibTeX.

Run as ``python docs/build/cite.py``.
"""

import re
from pathlib import Path

from madnet.files import write_whole
from madnet.plain_yaml import read_yaml

ROOT = Path(__file__).resolve().parents[2]
HEAD = """# Cite

Please cite the paper of each network that you use, of each data set, and of each classical detector; and name
madnet with its version, since numbers depend on the evaluation. Beside a number stand its split and protocol.

* **Data sets**: `madnet dataset list` prints the paper and the licence of each.
* **Classical detectors**: [their page](classical.md) and `madnet predict --list` name the paper of each.
* **madnet and the networks**: below, and in [CITATION.cff](../CITATION.cff). Where one name stands for all
  authors, take them from the paper.
"""
_KINDS = {
    'article': ('article', 'journal'),
    'conference-paper': ('inproceedings', 'booktitle'),
    'software': ('software', ''),
}


def entry(record: dict, key: str) -> str:
    """One BibTeX entry of a reference in a CFF file."""
    kind, where = _KINDS[record['type']]
    fields = {
        'title': f'{{{record["title"]}}}',
        'author': ' and '.join(map(_name, record['authors'])),
        where: record.get('journal') or (record.get('conference') or {}).get('name'),
        'year': record.get('year'),
        'version': record.get('version'),
        'url': record.get('url'),
        'doi': record.get('doi'),
    }
    lines = [f'  {name:8} = {{{value}}},' for name, value in fields.items() if name and value]
    return '\n'.join([f'@{kind}{{{key},', *lines, '}'])


def _name(author: dict) -> str:
    if 'family-names' in author:
        return f'{author["family-names"]}, {author.get("given-names", "")}'.rstrip(', ')
    return 'others' if author['name'] == 'and others' else f'{{{author["name"]}}}'


def page(content: dict) -> str:
    """The whole page."""
    parts = [HEAD, '## madnet\n', f'```bibtex\n{entry(content, "madnet_toolbox")}\n```\n', '## Networks\n']
    for reference in content['references']:
        name = reference['notes'].partition(',')[0]
        key = re.sub(r'\W+', '', name.lower()) + str(reference.get('year', ''))
        parts += [
            f'{reference["notes"].replace("configs/", "`configs/")}`:\n',
            f'```bibtex\n{entry(reference, key)}\n```\n',
        ]
    return '\n'.join(parts)


if __name__ == '__main__':
    made = page(read_yaml((ROOT / 'CITATION.cff').read_text(encoding='utf-8')))
    write_whole(ROOT / 'docs' / 'cite.md', made)
