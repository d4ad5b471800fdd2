"""What any server takes here: one answer to whatever comes, by two system calls and no HTTP."""

import socket
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + bytes(12)

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while connection.recv(1 << 16):
            connection.sendall(ANSWER)
    except ConnectionResetError:
        pass  # wrk hangs up so
