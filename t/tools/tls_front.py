"""Stands before a PostgreSQL server that knows no TLS, and speaks TLS for it: a server of a test, in clear, seen encrypted.

    tls_front.py PORT CERTIFICATE KEY     prints the port it listens on, at 127.0.0.1

Ends when its standard input does. Knows of the protocol what comes before TLS only (manual, chapter 55, "SSL Session
Encryption"): the request is answered with "S", one for GSSAPI with "N".
"""

import os
import socket
import ssl
import struct
import sys
import threading

SSL_REQUEST = 80877103


def pump(source, target):
    """Until either side is gone; then the other one is closed as well."""
    try:
        while content := source.recv(65536):
            target.sendall(content)
    except OSError:
        pass
    for end in source, target:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(client, port, context):
    try:
        while struct.unpack("!II", client.recv(8, socket.MSG_WAITALL)) != (8, SSL_REQUEST):
            client.sendall(b"N")
        client.sendall(b"S")
        client = context.wrap_socket(client, server_side=True)
        server = socket.create_connection(("127.0.0.1", port))
    except (OSError, struct.error):
        client.close()
        return
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)


def accept(listener, port, context):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, port, context), daemon=True).start()


def main():
    port, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=accept, args=(listener, int(port), context), daemon=True).start()
    sys.stdin.read()
    os._exit(0)


main()
