"""What stands between the page of ``madnet demo`` and whoever asks for it (ASGI)."""

from collections.abc import Callable
from typing import Any

# A browser that obeys it fetches nothing from elsewhere, whatever a library's page names.
POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"


class Guard:
    """Refuses requests whose body is larger than any that the page sends, and keeps browsers on this page.

    Args:
        app: What is guarded.
        most: Bytes.
    """

    def __init__(self, app: Callable, most: int):
        self.app, self.most = app, most

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return
        left = self.most
        length = dict(scope['headers']).get(b'content-length', b'0')
        if not length.isdigit() or int(length) > left:  # of bytes: ASCII alone
            words = f'larger than the {self.most // 2**20} MB that are taken at once'.encode()
            headers = [(b'content-type', b'text/plain'), (b'connection', b'close')]
            await send({'type': 'http.response.start', 'status': 413, 'headers': headers})
            await send({'type': 'http.response.body', 'body': words})
            return

        async def received() -> dict[str, Any]:
            nonlocal left
            message = await receive()
            left -= len(message.get('body', b''))
            return message if left >= 0 else {'type': 'http.disconnect'}

        async def sent(message: dict[str, Any]) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [*message.get('headers', ()), (b'content-security-policy', POLICY)]
            await send(message)

        await self.app(scope, received, sent)
