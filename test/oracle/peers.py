"""Who signs: Alibaba's client (client.js) and src/core (sign.c), each a process behind a pipe; and who sends."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from client import Client as SimulatorClient

HERE = Path(__file__).resolve().parent
VERSION = "2017-07-25"
STAGES = ("date", "canonical_query", "canonical_request", "string_to_sign", "authorization")
SIGN_FIELDS = ("access_key_id", "access_key_secret", "security_token", "method", "host", "action", "version", "epoch",
               "nonce")
# All that is passed on: the client takes keys and proxies from the environment where it finds them there.
ENVIRONMENT = ("PATH", "NODE_PATH", "TMPDIR")


class Key(NamedTuple):
    access_key_id: str
    access_key_secret: str
    security_token: str = None


class Worker:
    """A process that answers each line by one. It ends with its standard input, so also when this process dies."""

    def __init__(self, *command):
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        self._name = Path(command[-1]).name
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def ask(self, line):
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer.endswith(b"\n"):
            raise RuntimeError(f"{self._name} died of: {line.decode()}")
        return answer

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait()


class Alibaba:
    """Alibaba Cloud's client, which both signs and sends."""

    def __init__(self):
        self._worker = Worker("node", HERE / "client.js")
        self.close = self._worker.close

    def sign(self, request):
        stages = self._ask("sign", request)
        # The canonical query has no text of its own there; it is the third line, and newlines are encoded in it.
        return {**stages, "canonical_query": stages["canonical_request"].split("\n")[2]}

    def call(self, simulator, key, action, params, name_provider=True):
        """HTTP status and parsed body. Without name_provider the client does not say where its key is from."""
        answer = self._ask("call", {**key._asdict(), "host": f"127.0.0.1:{simulator.port()}",
                                    "ca_file": simulator.ready["ca_file"], "action": action, "version": VERSION,
                                    "query": params, "name_provider": name_provider})
        return answer["status"], answer["body"]

    def _ask(self, what, request):
        return json.loads(self._worker.ask(json.dumps({what: request}).encode()))


class Core:
    """The extension's src/core signs; a few lines of Python send exactly what it says."""

    def __init__(self, program):
        self._worker = Worker(program)
        self.close = self._worker.close

    def sign(self, request):
        words = [word(request[field]) for field in SIGN_FIELDS]
        for name, value in request["query"].items():
            words += [word(name), word(value)]
        answer = self._worker.ask(" ".join(words).encode()).decode().split()
        return dict(zip(STAGES, (bytes.fromhex(text[1:]).decode() for text in answer), strict=True))

    def call(self, simulator, key, action, params):
        """HTTP status and parsed body."""
        stages = self.sign({
            **key._asdict(), "method": "POST", "host": f"127.0.0.1:{simulator.port()}", "action": action,
            "version": VERSION, "epoch": int(time.time()), "nonce": os.urandom(16).hex(), "query": params,
        })
        signed_headers = stages["canonical_request"].split("\n")[3:-3]
        head = [f"POST /?{stages['canonical_query']} HTTP/1.1", *signed_headers,
                f"Authorization: {stages['authorization']}", "Content-Length: 0", "", ""]
        status, _, body = SimulatorClient(simulator).exchange("\r\n".join(head).encode())
        return status, json.loads(body)


def word(value):
    return "-" if value is None else f"x{str(value).encode().hex()}"
