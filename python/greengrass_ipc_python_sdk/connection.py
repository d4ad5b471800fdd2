"""HTTP/1.1 to the core, with headers longer than http.client would read.

One connection is kept for each thread: a call costs two requests, and connecting anew would cost
more than either.
"""
import os
import select
import socket
import threading

# A client context of 1 MiB is the most that the core takes; it is passed on in a header.
MOST_HEAD_BYTES = 4 << 20

_kept = threading.local()


class Connection(object):
    """An open connection."""

    def __init__(self, host, port):
        self.address = (host, port)
        # Sockets survive a fork, and two processes must not share one.
        self.pid = os.getpid()
        self.socket = socket.create_connection(self.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile('rb')

    def is_usable(self):
        """Whether it is this process's own, and the core has not closed it."""
        if self.pid != os.getpid():
            return False
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return not poll.poll(0)

    def close(self):
        self.reader.close()
        self.socket.close()

    def ask(self, method, path, headers, body):
        """Status, headers with names in lower case, and body of the answer. Waits without limit."""
        lines = ['{} {} HTTP/1.1'.format(method, path), 'Host: localhost']
        lines.extend('{}: {}'.format(name, value) for name, value in headers.items())
        lines.append('Content-Length: {}'.format(len(body)))
        head = ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1')
        self.socket.sendall(head + body if len(body) < 1 << 16 else head)
        if len(body) >= 1 << 16:
            self.socket.sendall(body)
        return self._answer()

    def _answer(self):
        status = 100
        while status == 100:
            status_line = self._line(MOST_HEAD_BYTES)
            parts = status_line.split(None, 2)
            if len(parts) < 2 or not parts[0].startswith('HTTP/1.') or not parts[1].isdigit():
                raise OSError('the core answered {!r}'.format(status_line[:100]))
            status = int(parts[1])
            headers = self._headers()
        if 'transfer-encoding' in headers:
            raise OSError('the core answered in chunks')
        length = int(headers.get('content-length', 0))
        body = self.reader.read(length)
        if len(body) != length:
            raise OSError('the core closed the connection within its answer')
        return status, headers, body

    def _headers(self):
        headers, left = {}, MOST_HEAD_BYTES
        while True:
            line = self._line(left)
            if not line:
                return headers
            left -= len(line)
            name, _, value = line.partition(':')
            headers[name.strip().lower()] = value.strip()

    def _line(self, most):
        line = self.reader.readline(most)
        if not line.endswith(b'\n'):
            raise OSError('the core closed the connection' if len(line) < most
                          else 'the head of the answer is too large')
        return line.rstrip(b'\r\n').decode('latin-1')


def ask(host, port, method, path, headers, body):
    """Asks on this thread's connection. Raises OSError when there is no answer."""
    for name, value in headers.items():
        if '\r' in value or '\n' in value:
            raise OSError('the header {} may not have line breaks'.format(name))
    connection = getattr(_kept, 'connection', None)
    if connection is not None and (
            connection.address != (host, port) or not connection.is_usable()):
        connection.close()
        connection = None
    # Whatever goes wrong on the way, an answer may be half read: the next one begins anew.
    _kept.connection = None
    if connection is None:
        connection = Connection(host, port)
    try:
        answer = connection.ask(method, path, headers, body)
    except BaseException:
        connection.close()
        raise
    if answer[1].get('connection', '').lower() == 'close':
        connection.close()
    else:
        _kept.connection = connection
    return answer
