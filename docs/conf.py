"""The site: the Markdown of this repository and the docstrings, by ``make docs``."""

import sys
from pathlib import Path

from sphinx import addnodes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from madnet import __version__  # noqa: E402

project = 'madnet'
author = 'The madnet authors'
copyright = author
release = version = __version__
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx_copybutton']

# The root of the repository is the source, so that a link works on the site as it does in a checkout.
root_doc = 'docs/index'
include_patterns = [
    'docs/**.md',
    'experiments/**.md',
    'datasets/README.md',
    'madnet/pretrained/*.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
]
myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 4

add_module_names = False
autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True}
napoleon_use_ivar = True
napoleon_use_rtype = False

html_static_path = ['_static']
html_css_files = ['wide.css']  # tables of numbers are wide
html_theme = 'sphinx_book_theme'
html_title = f'madnet {release}'
html_theme_options = {'show_toc_level': 2, 'home_page_in_toc': False, 'use_download_button': False}
html_show_sourcelink = False


def folder_pages(app, tree) -> None:
    """A link to a folder leads to its README, as it does where the repository is browsed."""
    for node in tree.findall(addnodes.pending_xref):
        folder = (ROOT / Path(app.env.docname).parent / node['reftarget']).resolve()
        if node['reftype'] == 'myst' and (folder / 'README.md').is_file():
            page = (folder / 'README').relative_to(ROOT).as_posix()
            node['refdomain'], node['reftype'], node['reftarget'] = 'std', 'doc', f'/{page}'
            node['refexplicit'] = True


def redirect(app, exception) -> None:
    """The first page lies in ``docs/``; who opens the folder of the site gets there."""
    if exception is None and app.builder.format == 'html':
        page = (
            '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html"><title>madnet</title>'
        )
        (Path(app.outdir) / 'index.html').write_text(page, encoding='utf-8')


def setup(app) -> None:
    app.connect('doctree-read', folder_pages)
    app.connect('build-finished', redirect)
