"""Servers of motion JPEG on this machine, as cameras have them: HTTP, and RTSP (RFC 2326, RFC 2435)."""

import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer

import cv2

#: Seconds from one frame to the next.
PAUSE = 0.02
_BOUNDARY = 'frame'
#: Bytes of a scan in a packet.
_PACKET = 1400


def jpeg(image):
    """A colour JPEG whose chroma has half the sides, with the tables of the standard."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), options)[1].tobytes()


def served(kind, images):
    """A server in a thread of its own, and the address at which it gives the images once, then no more."""
    frames = [jpeg(image) for image in images]
    if kind == 'http':
        server = ThreadingHTTPServer(('127.0.0.1', 0), type('Handler', (_Http,), {'images': frames}))
    else:
        size = images[0].shape[::-1]
        handler = type('Handler', (_Rtsp,), {'images': frames, 'size': size})
        server = ThreadingTCPServer(('127.0.0.1', 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f'{kind}://127.0.0.1:{server.server_address[1]}/camera'


class _Http(BaseHTTPRequestHandler):
    """Parts of one endless answer."""

    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Type', f'multipart/x-mixed-replace; boundary={_BOUNDARY}')
        self.end_headers()
        for data in self.images:
            head = f'--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n'
            self.wfile.write(head.encode() + data + b'\r\n')
            time.sleep(PAUSE)

    def log_message(self, *_):
        """Say nothing."""


class _Rtsp(StreamRequestHandler):
    """RTP between the answers, on the same connection."""

    def handle(self):
        for method, number, transport in self._requests():
            if method == 'SETUP' and 'TCP' not in transport:  # older OpenCVs ask for UDP first
                self._answer(number, [], '', '461 Unsupported Transport')
                continue
            self._answer(number, *self._about(method))
            if method == 'PLAY':
                for frame, data in enumerate(self.images):
                    self._send(frame, data)
                    time.sleep(PAUSE)
                return

    def _requests(self):
        while line := self.rfile.readline():
            number, transport = '0', ''
            while (header := self.rfile.readline().strip()) != b'':
                name, _, value = header.decode().partition(':')
                number = value.strip() if name.lower() == 'cseq' else number
                transport = value if name.lower() == 'transport' else transport
            yield line.decode().split()[0], number, transport

    @staticmethod
    def _about(method):
        """Headers and content of an answer."""
        if method == 'OPTIONS':
            return ['Public: OPTIONS, DESCRIBE, SETUP, PLAY'], ''
        if method == 'DESCRIBE':
            lines = ['v=0', 'o=- 0 0 IN IP4 127.0.0.1', 's=camera', 't=0 0', 'm=video 0 RTP/AVP 26']
            return ['Content-Type: application/sdp'], '\r\n'.join([*lines, 'a=control:track0', ''])
        transport = ['Transport: RTP/AVP/TCP;unicast;interleaved=0-1'] if method == 'SETUP' else []
        return ['Session: 1', *transport], ''

    def _answer(self, number, headers, content, status='200 OK'):
        lines = [
            f'RTSP/1.0 {status}',
            f'CSeq: {number}',
            *headers,
            f'Content-Length: {len(content)}',
            '',
            content,
        ]
        self.wfile.write('\r\n'.join(lines).encode())

    def _send(self, frame, data):
        """A frame in packets: its tables in the first, then the scan."""
        tables, scan = _parts(data)
        for offset in range(0, len(scan), _PACKET):
            part, last = scan[offset : offset + _PACKET], offset + _PACKET >= len(scan)
            # JPEG: where the part belongs, chroma at half the sides, own tables, sides over eight
            head = struct.pack(
                '>II', offset, 1 << 24 | 255 << 16 | self.size[0] // 8 << 8 | self.size[1] // 8
            )
            if offset == 0:
                head += struct.pack('>HH', 0, len(tables)) + tables
            self.sequence = getattr(self, 'sequence', -1) + 1
            time_stamp = int(frame * PAUSE * 90000)
            rtp = struct.pack('>BBHII', 0x80, 26 | last << 7, self.sequence & 0xFFFF, time_stamp, 1)
            packet = rtp + head + part
            self.wfile.write(b'$\0' + struct.pack('>H', len(packet)) + packet)


def _parts(data):
    """The quantisation tables of a JPEG, and its scan."""
    tables, at = b'', 2
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], 'big')
        if data[at + 1] == 0xDB:
            segment = data[at + 4 : at + 2 + length]
            tables += b''.join(segment[k + 1 : k + 65] for k in range(0, len(segment), 65))
        at += 2 + length
    return tables, data[at + 2 + int.from_bytes(data[at + 2 : at + 4], 'big') : -2]
