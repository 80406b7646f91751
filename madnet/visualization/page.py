"""HTML pages that need nothing from elsewhere: one frame, one style, light and dark."""

import base64
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import madnet
from madnet.text import printable


def render_page(template: str, title: str, **context: Any) -> str:
    """A page as text, from a file of ``templates/`` that extends ``page.html``. Its filter ``base64`` takes
    bytes; everything else is escaped. A name in it that ``context`` gives no value is an error."""
    environment = Environment(
        loader=PackageLoader('madnet.visualization', 'templates'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['base64'] = lambda data: base64.b64encode(data).decode('ascii')
    made = datetime.now().astimezone().strftime('%Y-%m-%d %H:%M %Z')
    return environment.get_template(template).render(
        title=printable(title), made=made, version=madnet.__version__, **context
    )
