"""A TCP proxy whose connections a test cuts, slows down, holds and refuses."""

import socket
import struct
import threading
import time

CHUNK = 4096
# Closes with a reset, as a network does that is gone: nothing of what was sent is waited for.
RESET = struct.pack("ii", 1, 0)


class Way:
    """The way to a port of this machine. What `fate` says holds for all that comes after."""

    def __init__(self, to):
        self.to, self.port, self.pairs = to, 0, set()
        self.lock, self.listener = threading.Lock(), None
        self.heal()

    def heal(self):
        """Everything passes at once, in new connections and in those that are there."""
        self.pause_s, self.left, self.holds = 0, None, False
        if self.listener is None:
            self.listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self.listener.getsockname()[1]
            threading.Thread(target=self._accept, args=[self.listener], daemon=True).start()

    def cut(self, after_bytes):
        """Resets all connections when so many bytes more have passed towards the server."""
        self.left = after_bytes

    def slow(self, pause_s):
        """Passes some bytes, then pauses."""
        self.pause_s = pause_s

    def hold(self):
        """Passes nothing and says nothing, as a network does that has lost its route."""
        self.holds = True

    def close(self):
        """Refuses new connections, and resets those that are there."""
        if self.listener is not None:
            # Wakes the thread that accepts.
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        self._reset()

    def _reset(self):
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            for end in pair:
                drop(end)

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.to), 5)
                server.settimeout(None)
            except OSError:
                drop(client)
                continue
            pair = (client, server)
            with self.lock:
                self.pairs.add(pair)
            for up, (source, target) in [(True, pair), (False, pair[::-1])]:
                threading.Thread(target=self._pass, args=[source, target, up, pair],
                                 daemon=True).start()

    def _pass(self, source, target, up, pair):
        try:
            while data := source.recv(CHUNK):
                while self.holds and pair in self.pairs:
                    time.sleep(0.02)
                if self.pause_s:
                    time.sleep(self.pause_s)
                if up and self.left is not None:
                    data, self.left = data[:self.left], self.left - len(data)
                target.sendall(data)
                if up and self.left is not None and self.left <= 0:
                    self.left = None
                    return self._reset()
        except OSError:
            pass
        # Both ends of HTTP and MQTT end together.
        with self.lock:
            self.pairs.discard(pair)
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


def drop(end):
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
