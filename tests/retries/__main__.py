"""Measures every client of docs/retries.md, one after the other, in some minutes: `python -m tests.retries [--write]`.

`--client NAME` measures those alone whose name contains it, and leaves the other rows as they are.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.retries.clients import CLIENTS, ROOT, ClientMissing
from tests.retries.measuring import TROUBLES, Outcome, measure
from tests.retries.table import write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.retries", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/retries.md")
    parser.add_argument("--client", default="", help="measure only clients with this in their name")
    options = parser.parse_args()
    os.environ.setdefault("SSL_CERT_FILE", str(ROOT / "tests/nobody.pem"))
    measured: dict[str, list[Outcome]] = {}
    try:
        for client in CLIENTS:
            if options.client in client.name:
                client.find()
                for trouble in TROUBLES:
                    with tempfile.TemporaryDirectory() as folder:
                        outcome = measure(client, trouble, Path(folder))
                    measured.setdefault(client.name, []).append(outcome)
                    print(client.name, trouble.name, outcome.cell, outcome.error or "", sep=" | ", flush=True)  # noqa: T201
    except ClientMissing as missing:
        sys.exit(str(missing))
    if options.write:
        write(measured)


if __name__ == "__main__":
    main()
