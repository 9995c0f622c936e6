"""moto's S3 service, in memory. Prints its address, and ends with its standard input.

It runs in an environment of its own.
"""

import sys

from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(f"http://{host}:{port}", flush=True)  # noqa: T201 - the answer
sys.stdin.read()
server.stop()
