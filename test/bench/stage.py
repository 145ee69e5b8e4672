"""stage: what a measurement plays on: the service, PostgreSQL, sessions and
anchors, each a process that is ended by its id, and the clocks to read them by.

The measured processes run on one processor, the service and this program on
another, where there are two.
"""

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

HOST_NAME = "service.pnvs.test"
START_SECONDS = 20
ACCESS_KEY_ID = "testid"
ACCESS_KEY_SECRET = "testsecret"

CPUS = sorted(os.sched_getaffinity(0))
MEASURED_CPU = {CPUS[0]}
OTHER_CPU = {CPUS[-1]}

REPLY = ('{"RequestId":"9D5A1A7E-1C7F-5C0B-8B8F-3E1F2A6D4C11","Message":"OK","Model":{"verificationId":'
         '"bXNnOjE3Nzk5MjA2OTY+Y2h+bmVsOlNNUw/8ZgV+Qp0J1c4=","status":"pending"},"Code":"OK","Success":true}')
HASHED, BUNDLE, ALONE = "hashed folder", "bundle", "our authority alone"


class CannotMeasure(Exception):
    """Something that a figure needs is not there."""


def run(*command, **options):
    """The output of a command; its error output where it fails."""
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, check=False, **options)
    if done.returncode != 0:
        raise CannotMeasure(f"{command[0]} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def wait_until(ready, what, seconds=START_SECONDS):
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise CannotMeasure(f"{what} did not start")
        time.sleep(0.02)


def start(command, cpus, end_signal=signal.SIGTERM, **options):
    """A process on these processors (None: on any), ended with this program."""
    process = subprocess.Popen([str(part) for part in command],
                               preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None, **options)
    atexit.register(end, process, end_signal)
    return process


def end(process, end_signal=signal.SIGTERM):
    if process.poll() is not None:
        return
    process.send_signal(end_signal)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def frozen(process):
    """A process and its children are stopped meanwhile."""
    pid = process.pid
    stopped = [pid]
    os.kill(pid, signal.SIGSTOP)		# first, that it has no more children
    try:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
            os.kill(int(child), signal.SIGSTOP)
            stopped.append(int(child))
        yield
    finally:
        for each in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


def keep_awake(cpus):
    """A process that runs where nothing else wants to.

    To wake a virtual processor that has gone to sleep costs the waker more than
    the request itself, and the more the longer the pause was: it would be the
    machine that is measured, and not alike for both sides.
    """
    def idle_only():
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        os.sched_setaffinity(0, cpus)
    process = subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=idle_only)		# pylint: disable=subprocess-popen-preexec-fn
    atexit.register(end, process)
    return process


def cpu_clock_ns(pid):
    """The processor time of a process so far; Linux counts it in nanoseconds."""
    return time.clock_gettime_ns((~pid << 3) | 2)


# --- certificates


class Certificates:
    """An authority made on the spot, and the service's certificate."""

    def __init__(self, place):
        self.ca_file = place / "ca.pem"
        self.key, self.certificate = place / "service.key", place / "service.pem"
        request, names, ca_key = place / "service.csr", place / "names", place / "ca.key"
        names.write_text(f"subjectAltName=DNS:{HOST_NAME},IP:127.0.0.1\n")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        run("openssl", "req", "-x509", *curve, "-keyout", ca_key, "-out", self.ca_file, "-days", 2,
            "-subj", "/CN=pnvs bench CA")
        run("openssl", "req", *curve, "-keyout", self.key, "-out", request, "-subj", f"/CN={HOST_NAME}")
        run("openssl", "x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", ca_key, "-CAcreateserial",
            "-days", 2, "-extfile", names, "-out", self.certificate)

    def hash_name(self):
        return run("openssl", "x509", "-hash", "-noout", "-in", self.ca_file).strip() + ".0"


class SystemView:
    """What a process sees as the system's certificates, and as its host names.

    The system's own certificates with our authority among them, as a folder of
    hashed names beside a bundle, or as the bundle alone, or a bundle of our
    authority alone, are laid over the places that libcurl was built with, in a
    mount namespace; so is a file of host names, with the service's.
    """

    def __init__(self, place, kind, certificates, ca_path, ca_file):
        self.kind, self.ca_path, self.ca_file = kind, ca_path, ca_file
        if kind == HASHED and not ca_path:
            raise CannotMeasure("this libcurl was built without a folder of certificates")
        if not ca_file:
            raise CannotMeasure("this libcurl was built without a bundle of certificates")
        self.folder, self.hosts = place / kind.replace(" ", "-"), place / "hosts"
        self.folder.mkdir()
        self.hosts.write_text(f"127.0.0.1 localhost {HOST_NAME}\n")
        bundle = self.folder / Path(ca_file).name
        bundle.write_text(("" if kind == ALONE else Path(ca_file).read_text()) + certificates.ca_file.read_text())
        self.count = bundle.read_text().count("BEGIN CERTIFICATE")
        if kind == HASHED:
            self._copy_folder(certificates)
        self._try()

    def _copy_folder(self, certificates):
        for entry in Path(self.ca_path).iterdir():
            if entry.is_file() and os.access(entry, os.R_OK) and not (self.folder / entry.name).exists():
                shutil.copyfile(entry, self.folder / entry.name)
        shutil.copyfile(certificates.ca_file, self.folder / certificates.hash_name())

    def _try(self):
        done = subprocess.run(self.wrap(["true"]), text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise CannotMeasure("this system lets no unprivileged user lay files over others in a name space of its own: "
                                + done.stderr.strip())

    def wrap(self, command):
        """The command under this view, as the same user and without the rights that laying it took."""
        targets = {str(Path(self.ca_file).parent)} | ({self.ca_path} if self.ca_path else set())
        mounts = [f"mount --bind '{self.folder}' '{target}'" for target in sorted(targets)]
        mounts.append(f"mount --bind '{self.hosts}' /etc/hosts")
        again = ["unshare", "--user", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}", "--"]
        return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", " && ".join(mounts) + ' && exec "$@"',
                "sh", *again, *[str(part) for part in command]]


# --- the service


class Service:
    """nginx with the canned reply: on one port it keeps a connection for ever,
    on the other it closes it after each reply.  Its log says which requests came
    on a connection of their own, and which of those resumed a TLS session."""

    CONFIGURATION = """
        daemon off; master_process off; pid {place}/nginx.pid; error_log {place}/error.log;
        worker_rlimit_nofile 8192; events {{ worker_connections 4096; }}
        http {{
            client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
            uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
            server_tokens off; tcp_nodelay on; keepalive_timeout 3600s; keepalive_time 24h;
            log_format facts '$connection_requests $ssl_session_reused $status $request_uri';
            ssl_certificate {certificate}; ssl_certificate_key {key};
            ssl_session_tickets on; ssl_session_cache shared:sessions:1m;
            default_type application/json;
            add_header x-acs-request-id 9D5A1A7E-1C7F-5C0B-8B8F-3E1F2A6D4C11;
            add_header x-acs-trace-id 3f1c5a1b7d0e4c2f9a8b6d4e2c0f1a3b;
            add_header Access-Control-Allow-Origin *;
            add_header Access-Control-Expose-Headers *;
            add_header ETag 1xkpVvQ2m8C4a6Zt0bYdXsw3;
            server {{ listen 127.0.0.1:{kept} ssl; keepalive_requests 1000000000;
                      access_log {place}/kept.log facts buffer=64k flush=1s; location / {{ return 200 '{reply}'; }} }}
            server {{ listen 127.0.0.1:{closing} ssl; keepalive_requests 1;
                      access_log {place}/closing.log facts buffer=64k flush=1s; location / {{ return 200 '{reply}'; }} }}
        }}
    """

    def __init__(self, place, certificates):
        self.place = place
        self.kept, self.closing = self._free_ports()
        configuration = place / "nginx.conf"
        configuration.write_text(self.CONFIGURATION.format(
            place=place, certificate=certificates.certificate, key=certificates.key,
            kept=self.kept, closing=self.closing, reply=REPLY))
        self.process = start(["nginx", "-e", place / "error.log", "-p", place, "-c", configuration], OTHER_CPU,
                             stderr=subprocess.DEVNULL)
        wait_until(self._answers, "nginx (see " + str(place / "error.log") + ")")

    @staticmethod
    def _free_ports():
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [listener.getsockname()[1] for listener in listeners]
        for listener in listeners:
            listener.close()
        return ports

    def _answers(self):
        if self.process.poll() is not None:
            raise CannotMeasure("nginx did not start: " + (self.place / "error.log").read_text())
        try:
            socket.create_connection(("127.0.0.1", self.kept), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        """Ends it, so that its logs are whole."""
        end(self.process, signal.SIGQUIT)

    def log(self, name):
        """For each request: how many the connection had had, resumed, status, path."""
        return [line.split() for line in (self.place / f"{name}.log").read_text().splitlines()]


# --- PostgreSQL


class Server:
    """A private PostgreSQL; every session of it runs on the measured processor."""

    def __init__(self, place, name, endpoint, ca_file, view=None, preload=True, more=""):
        self.sockets = place / name
        self.sockets.mkdir()
        data = self.sockets / "data"
        run("initdb", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "-U", "postgres", "-D", data)
        with open(data / "postgresql.conf", "a", encoding="ascii") as configuration:
            configuration.write(f"""
                listen_addresses = ''
                unix_socket_directories = '{self.sockets}'
                fsync = off
                autovacuum = off
                jit = off
                client_min_messages = error
                session_preload_libraries = '{"pnvs" if preload else ""}'
                pnvs.endpoint = '{endpoint}'
                pnvs.ca_file = '{ca_file or ""}'
                pnvs.access_key_id = '{ACCESS_KEY_ID}'
                pnvs.access_key_secret = '{ACCESS_KEY_SECRET}'
                pnvs.limits = ''
                {more}
                """)
        command = ["postgres", "-D", data]
        self.command = view.wrap(command) if view else command
        self.log = open(self.sockets / "log", "w", encoding="utf-8")
        self.start()
        self.sql("CREATE EXTENSION pnvs")

    def start(self):
        self.process = start(self.command, MEASURED_CPU, signal.SIGINT, stdout=self.log, stderr=self.log,
                             env={**os.environ, "LC_ALL": "C.UTF-8"})
        wait_until(self._answers, "PostgreSQL")

    def _answers(self):
        if self.process.poll() is not None:
            raise CannotMeasure("PostgreSQL did not start: " + (self.sockets / "log").read_text())
        return subprocess.run(["pg_isready", "-q", "-h", str(self.sockets)], check=False).returncode == 0

    def options(self):
        return ["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", str(self.sockets), "-U", "postgres", "-d", "postgres"]

    def sql(self, *arguments):
        statement = ["-c", arguments[0]] if len(arguments) == 1 else list(arguments)
        return run("psql", *self.options(), *statement)

    def session(self):
        return Session(self)

    def stop(self):
        end(self.process, signal.SIGINT)


class Session:
    """A session that stays, and the clock of its backend."""

    def __init__(self, server):
        self.psql = start(["psql", *server.options()], OTHER_CPU, text=True, bufsize=1,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pid = int(self.ask("SELECT pg_backend_pid()"))

    def ask(self, statement):
        self.psql.stdin.write(statement + ";\n")
        answer = self.psql.stdout.readline().strip()
        if answer == "" or "ERROR" in answer:
            raise CannotMeasure(f"PostgreSQL: {answer}")
        return answer

    def timed(self, statement):
        """(answer, wall, CPU of the backend), in nanoseconds."""
        cpu, wall = cpu_clock_ns(self.pid), time.monotonic_ns()
        answer = self.ask(statement)
        wall = time.monotonic_ns() - wall
        return answer, wall, cpu_clock_ns(self.pid) - cpu

    def close(self):
        self.psql.stdin.close()
        self.psql.wait(10)
        self.psql.stdout.close()


class Bare:
    """The anchor for calls: bare.c, driven as a session is."""

    def __init__(self, program, ca_kind, certificate, url, view=None):
        command = [program, ca_kind, certificate, url, url.partition("://")[2]]
        self.process = start(view.wrap(command) if view else command, MEASURED_CPU, text=True, bufsize=1,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def calls(self, count, first):
        """(wall, CPU), in nanoseconds, as the program measures itself."""
        self.process.stdin.write(f"{count} {first}\n")
        answer = self.process.stdout.readline().split()
        if len(answer) != 3 or answer[0] != str(count):
            raise CannotMeasure("bare: " + " ".join(answer))
        return int(answer[1]), int(answer[2])

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
