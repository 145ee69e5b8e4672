"""The other side, for the self-test: starts a simulator as its child and sends it signed requests."""

import http.client
import json
import secrets
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import signature

VERSION = "2017-07-25"
SIMULATOR = Path(__file__).with_name("simulator.py")
TIMEOUT_SECONDS = 30


def utc_now(offset=0):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset))


class SimulatorProcess:
    """A simulator that ends when this object is closed, or its owner dies."""

    def __init__(self, directory, *arguments):
        command = [sys.executable, SIMULATOR, "--dir", directory, "--exit-with-stdin", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.ready = json.loads(self.process.stdout.readline())
        self.context = ssl.create_default_context(cafile=self.ready["ca_file"])

    def port(self, name="main"):
        return self.ready["port"] if name == "main" else self.ready["faults"][name]

    def log(self, event=None):
        """What is complete by now: the last line may still be on its way."""
        complete = Path(self.ready["log"]).read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in complete.splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    def connect(self, port="main", timeout=TIMEOUT_SECONDS):
        """A socket that has been through TLS."""
        sock = socket.create_connection(("127.0.0.1", self.port(port)), timeout)
        return self.context.wrap_socket(sock, server_hostname="localhost")

    def release(self, name):
        self.process.stdin.write(f"{name}\n".encode())
        self.process.stdin.flush()

    def close(self):
        """What the simulator wrote to standard error, and its exit code."""
        self.process.stdin.close()
        errors = self.process.stderr.read().decode()
        code = self.process.wait(TIMEOUT_SECONDS)
        self.process.stdout.close()
        self.process.stderr.close()
        return errors, code


class Client:
    """Signs and sends; every request may be bent by overriding what is put into it."""

    def __init__(self, simulator, access_key_id="testid", secret="testsecret", token=None):
        self._simulator = simulator
        self._key = access_key_id, secret
        self._token = token
        self._host = f"localhost:{simulator.port()}"

    def headers(self, action, params, version=VERSION, body=b"", **more):
        """more: further headers, with underscores for dashes; they replace those of the same name."""
        headers = {
            "host": self._host,
            "x-acs-action": action,
            "x-acs-version": version,
            "x-acs-date": utc_now(),
            "x-acs-signature-nonce": secrets.token_hex(16),
            **({"x-acs-security-token": self._token} if self._token else {}),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        return signature.signed_headers(*self._key, list(params.items()), headers, body)

    def wire(self, action, params, headers=None, method="POST", path="/", body=b""):
        """The bytes of a request."""
        headers = headers or self.headers(action, params)
        query = signature.canonical_query(params.items())
        lines = [f"{method} {path}?{query} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    def exchange(self, data, sock=None):
        """Status, headers and body of the reply to these bytes."""
        with (sock or self._simulator.connect()) as sock:
            sock.sendall(data)
            response = http.client.HTTPResponse(sock)
            response.begin()
            return response.status, response.headers, response.read()

    def call(self, action, params, **bent):
        """HTTP status and parsed body."""
        status, _, body = self.exchange(self.wire(action, params, **bent))
        return status, json.loads(body)
