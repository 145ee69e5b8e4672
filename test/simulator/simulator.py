#!/usr/bin/env python3
"""A stand-in for Alibaba Cloud's Phone Number Verification Service, over real TLS on loopback.

When all its ports listen it prints one line of JSON: {"port", "endpoint", "ca_file", "log", "faults": {name: port}}.
See README.md beside this file.
"""

import argparse
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import releases
from certificates import Certificates
from credentials import CredentialEndpoints, KeyRing
from faults import Faults
from frontend import Frontend
from gateway import Gateway
from listener import HOST, Listener
from log import RequestLog
from service import Service

# A thread's default of 8 MiB is address space only, but a thousand of them exceed a container's limit.
THREAD_STACK_SIZE = 512 << 10
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def parse_arguments():
    parser = argparse.ArgumentParser(description="Simulates the Phone Number Verification Service on loopback.")
    parser.add_argument("--dir", required=True, type=Path, help="where ca.pem, requests.log and tls/ are written")
    parser.add_argument("--port", type=int, default=0, help="main port; 0, the default, takes a free one")
    parser.add_argument("--access-key-id", default="testid")
    parser.add_argument("--access-key-secret", default="testsecret")
    parser.add_argument("--security-token", help="demand this token with the access key")
    parser.add_argument("--exit-with-stdin", action="store_true",
                        help="release the names on standard input, one a line, and exit at its end")
    return parser.parse_args()


def raise_descriptor_limit():
    """Each connection is a descriptor, and the usual soft limit is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def release_until_end_of_stdin():
    for line in sys.stdin:
        releases.release(line.rstrip("\n"))
    os.kill(os.getpid(), signal.SIGTERM)


class Simulator:
    """Everything that listens; the ports last as long as this object does."""

    def __init__(self, options):
        options.dir.mkdir(parents=True, exist_ok=True)
        self._certificates = Certificates(options.dir)
        self._log = RequestLog((options.dir / "requests.log").absolute())
        keys = KeyRing(options.access_key_id, options.access_key_secret, options.security_token)
        frontend = Frontend(Gateway(keys), Service(), CredentialEndpoints(keys))
        self._main = Listener(self._log, "main", frontend.serve, self._certificates.context("server"), options.port)
        self._faults = Faults(self._log, frontend, self._certificates)

    def ready_line(self):
        return json.dumps({
            "port": self._main.port,
            "endpoint": f"https://{HOST}:{self._main.port}",
            "ca_file": str(self._certificates.authority),
            "log": str(self._log.path),
            "faults": self._faults.ports,
        })


def main():
    options = parse_arguments()
    raise_descriptor_limit()
    threading.stack_size(THREAD_STACK_SIZE)
    # Blocked before any thread exists, so that it is sigwait() below that gets them and nothing is interrupted midway.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    simulator = Simulator(options)
    if options.exit_with_stdin:
        threading.Thread(target=release_until_end_of_stdin, daemon=True).start()
    print(simulator.ready_line(), flush=True)
    signal.sigwait(STOP_SIGNALS)
    os._exit(0)  # connections may hang for ever, by design: nobody waits for their threads


if __name__ == "__main__":
    main()
