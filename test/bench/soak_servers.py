"""soak_servers: a primary with its synchronous standby, and what befalls them.

Each server that is gone for good takes its folder along.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import stage
from queue_stage import Wire
from stage import CannotMeasure

START_SECONDS = 120
WORKER = "backend_type = 'pnvs worker'"
SESSION_ERRORS = (OSError, CannotMeasure)
SERVER = """
    listen_addresses = ''
    jit = off
    shared_preload_libraries = 'pnvs'
    restart_after_crash = on
    max_connections = 40
    max_wal_size = '2GB'
    wal_keep_size = '1GB'
    wal_retrieve_retry_interval = '200ms'
    wal_receiver_status_interval = '1s'
    wal_sender_timeout = '10s'
    synchronous_standby_names = '{standbys}'
    pnvs.endpoint = '{endpoint}'
    pnvs.ca_file = '{ca_file}'
    pnvs.access_key_id = 'testid'
    pnvs.access_key_secret = 'testsecret'
    pnvs.limits = ''
    pnvs.max_in_flight = {window}
    pnvs.request_timeout = '5s'
    pnvs.reconcile_for = '{reconcile_s}s'
    pnvs.max_attempts = 100
    pnvs.service_sid = 'FA1'
    pnvs.max_tries = 5
    pnvs.scan_interval = '5s'
"""


class Node:
    """One PostgreSQL: a folder, and the process while there is one."""

    def __init__(self, place, name):
        self.sockets, self.process = place / name, None
        self.sockets.mkdir()
        self.data, self.log = self.sockets / "data", place / f"{name}.log"

    def configure(self, settings):
        with open(self.data / "postgresql.auto.conf", "a", encoding="ascii") as configuration:
            configuration.write(f"unix_socket_directories = '{self.sockets}'\n{settings}\n")

    def start(self):
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = stage.start(["postgres", "-D", self.data], None, signal.SIGQUIT, stdout=log,
                                       stderr=log, env={**os.environ, "LC_ALL": "C.UTF-8"})
        self.wait_until_ready()

    def wait_until_ready(self):
        stage.wait_until(self._answers, f"PostgreSQL (see {self.log})", START_SECONDS)

    def _answers(self):
        if self.process.poll() is not None:
            raise CannotMeasure("PostgreSQL has ended: " + self.log.read_text()[-2000:])
        return subprocess.run(["pg_isready", "-q", "-h", str(self.sockets)], check=False).returncode == 0

    def stop_at_once(self):
        """An immediate shutdown; it waits for its processes, and so fences."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)

    def remove(self):
        shutil.rmtree(self.sockets)


class Servers:
    """The pair (or the primary alone), and the disturbances."""

    def __init__(self, place, service, certificates, options):
        self.place, self.nodes, self.logs = place, 0, []
        self.random = random.Random(f"{options.seed}-servers")
        self.primary, self.standby = self._new_node(), None
        stage.run("initdb", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "-U", "postgres", "-D", self.primary.data)
        self.primary.configure(SERVER.format(endpoint=service.url, ca_file=certificates.ca_file, window=options.window,
                                             reconcile_s=options.reconcile_for, standbys="standby" if options.standby else ""))
        self.primary.start()
        if options.standby:
            self.add_standby()
        self.sql("CREATE EXTENSION pnvs")

    def _new_node(self):
        self.nodes += 1
        node = Node(self.place, f"server-{self.nodes}")
        self.logs.append(node.log)
        return node

    def add_standby(self):
        self.standby = self._new_node()
        stage.run("pg_basebackup", "-h", self.primary.sockets, "-U", "postgres", "-D", self.standby.data, "-X", "stream",
                  "-c", "fast", "--no-sync")
        self.standby.configure(f"primary_conninfo = 'host={self.primary.sockets} user=postgres application_name=standby'")
        (self.standby.data / "standby.signal").touch()
        self.standby.start()
        stage.wait_until(lambda: self.primary_says("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == ["1"],
                         "the standby", START_SECONDS)

    def wire(self):
        """A session with the primary of the moment."""
        wire = Wire(self.primary)
        wire.socket.settimeout(START_SECONDS)
        return wire

    def primary_says(self, statement):
        """As soon as the server answers."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                wire = self.wire()
                try:
                    return wire.run(statement)
                finally:
                    wire.close()
            except SESSION_ERRORS:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def sql(self, statement):
        return stage.run("psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", self.primary.sockets, "-U", "postgres",
                         "-d", "postgres", "-c", statement)

    # --- the disturbances; each returns when the server answers again

    def kinds(self):
        """Whether it can cut requests off, by its name; each is a method of that name."""
        kinds = {"kill_worker": True, "kill_client": True, "terminate_worker": True, "restart": True}
        return {**kinds, "promote": True, "restart_standby": False} if self.standby else kinds

    def _some_process(self, condition):
        pids = []
        deadline = time.monotonic() + START_SECONDS
        while not pids:
            pids = self.primary_says(f"SELECT pid FROM pg_stat_activity WHERE {condition} ORDER BY pid")
            if time.monotonic() > deadline:
                raise CannotMeasure(f"no process with {condition}")
        return int(self.random.choice(pids))

    def kill_worker(self):
        self._kill(WORKER)

    def kill_client(self):
        self._kill("backend_type = 'client backend' AND pid <> pg_backend_pid()")

    def _kill(self, condition):
        pid = self._some_process(condition)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return self._kill(condition)
        stage.wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of a process")
        return self.primary.wait_until_ready()

    def terminate_worker(self):
        self.primary_says(f"SELECT pg_terminate_backend({self._some_process(WORKER)})")

    def restart(self):
        self.primary.stop_at_once()
        self.primary.start()

    def promote(self):
        old = self.primary
        old.stop_at_once()
        stage.run("pg_ctl", "promote", "-D", self.standby.data, "-t", START_SECONDS)
        self.primary = self.standby
        old.remove()
        self.add_standby()

    def restart_standby(self):
        self.standby.stop_at_once()
        self.standby.start()

    def stop(self):
        for node in (self.standby, self.primary):
            if node:
                stage.end(node.process, signal.SIGINT)

    def crashes(self):
        """What the logs have of processes that ended by a signal that nobody sent, or of a panic."""
        lines = [line for log in self.logs for line in log.read_text(errors="replace").splitlines()]
        return [line for line in lines if "PANIC" in line or "TRAP" in line
                or ("was terminated by signal" in line and "signal 9" not in line)]
