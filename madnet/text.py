"""Texts for people: numbers with their nouns, and names that come from outside, made safe to print, to
encode and to put into tables."""

import csv
import html
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence

# What a spreadsheet takes for a formula, behind the quotes that csv_text puts in front of it.
_FORMULA = re.compile(r"'*[=+\-@]")
# What Markdown takes for a mark; an underscore only at a word's end.
_MARKDOWN = re.compile(r'[\\`*\[\]$~]|(?<![^\W_])_|_(?![^\W_])')


def encodable(text: str) -> str:
    r"""A text that UTF-8 can hold: bytes of a file name that are not UTF-8 in the form ``\xff``."""
    return text if text.isascii() else ''.join(_escape(c) if '\ud800' <= c <= '\udfff' else c for c in text)


def one_form(name: str) -> str:
    """A name in Unicode's normal form C, in which lists are typed; macOS writes the same text in form D."""
    return unicodedata.normalize('NFC', name)


def two_forms(a: str, b: str) -> str:
    """Why two different names, which look the same, stand for one image; empty where the letters differ."""
    same = a != b and one_form(a) == one_form(b)
    return ', names that differ only in Unicode normal form (NFC against NFD)' if same else ''


def printable(text: str) -> str:
    r"""A text that does nothing to a terminal: control characters, and bytes that are not UTF-8, as
    ``\x1b``."""
    return text if text.isprintable() else ''.join(c if c.isprintable() else _escape(c) for c in text)


def _escape(char: str) -> str:
    if '\udc80' <= char <= '\udcff':  # how Python has a byte that is not UTF-8
        return f'\\x{ord(char) - 0xDC00:02x}'
    return char.encode('unicode_escape').decode()


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Comma-separated rows in which no cell is a formula and none holds control characters.

    A text that begins with ``=``, ``+``, ``-`` or ``@`` and is no number gets a ``'`` in front, which
    :func:`from_cell` takes off again.
    """
    out = io.StringIO(newline='')
    csv.writer(out, lineterminator='\n').writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str) or _is_number(value):
        return value
    text = printable(value)
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """The text that :func:`csv_text` put into a cell, control characters aside."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def score_text(score: float) -> str:
    """A score in 0–1 in six digits, or by what it lacks of 1 where they would say 1: ``1 − 3e-08``."""
    text = f'{score:.6g}'
    return f'1 − {1 - score:.2g}' if text == '1' and score < 1 else text


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 image``, ``3 images``; ``many`` where the plural is not ``one`` + s."""
    return f'{n} {one if n == 1 else many or f"{one}s"}'


def markdown_text(text: str) -> str:
    """A plain text as Markdown: its marks, ``$``, HTML and control characters are shown, not obeyed."""
    return _MARKDOWN.sub(r'\\\g<0>', printable(html.escape(text, quote=False)))


def natural(name: str) -> list:
    """A key that sorts numbers in names by their value: ``frame_2`` before ``frame_10``."""
    return [(0, int(part), '') if part.isdecimal() else (1, 0, part) for part in re.split(r'(\d+)', name)]
