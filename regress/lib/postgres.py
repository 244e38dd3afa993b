#!/usr/bin/python3
"""
postgres.py: a private PostgreSQL for tests: own data, own socket and port on
the loopback address, a password of its own. It runs as user `postgres`, who
must be able to reach the folder; durable (fsync is on), as in earnest.

A server of the same folder that a killed run left is ended first; data that
initdb did not complete are made anew, complete ones are used again.

As a command: `postgres.py start DIR` prints the URL of a database, `stop DIR`
ends the server and keeps its data.
"""
import glob
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys

if __package__:
    from . import host
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import host

USER = "postgres"
START_SECONDS = 60
STOP_SECONDS = 30
SETTINGS = {
    "fsync": "on",
    # Not in /dev/shm, which others of this host clear.
    "dynamic_shared_memory_type": "mmap",
    "synchronous_commit": "on",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


def program(name):
    """The newest one installed."""
    found = glob.glob("/usr/lib/postgresql/*/bin/" + name)
    if not found:
        raise AssertionError("no %s: package postgresql is missing" % name)
    return max(found, key=lambda path: int(path.split("/")[4]))


def as_user(*argv):
    if os.geteuid() != 0:
        return list(argv)
    return ["setpriv", "--reuid=" + USER, "--regid=" + USER,
            "--init-groups", *argv]


class Postgres:
    """
    Starts a server in folder, and returns once it answers. env: further
    variables of its environment.
    """

    def __init__(self, folder, env=None):
        # It is the server's alone, not that of what it is started with.
        self.env = ["%s=%s" % pair for pair in (env or {}).items()]
        self.folder = os.path.abspath(folder)
        self.data = self.path("data")
        self.process = None
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o700)
        if not os.path.exists(self.path("made.json")):
            self.make()
        with open(self.path("made.json")) as file:
            made = json.load(file)
        self.port, self.password = made["port"], made["password"]
        self.start()

    def path(self, name):
        return os.path.join(self.folder, name)

    def url(self, database="postgres"):
        return "postgresql://%s:%s@127.0.0.1:%d/%s" % (
            USER, self.password, self.port, database)

    # ---- life -----------------------------------------------------------

    def make(self):
        self.end_former()
        shutil.rmtree(self.data, ignore_errors=True)
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        password = secrets.token_hex(16)
        # Through a descriptor: a file would be for others to read.
        read_end, write_end = os.pipe()
        os.write(write_end, password.encode() + b"\n")
        os.close(write_end)
        try:
            # initdb is of another user, who opens it by its name.
            os.fchmod(read_end, 0o444)
            done = subprocess.run(
                as_user(program("initdb"), "-D", self.data, "-U", USER,
                        "-A", "scram-sha-256", "-E", "UTF8",
                        "--locale=C.UTF-8", "--no-sync",
                        "--pwfile=/dev/fd/%d" % read_end),
                pass_fds=(read_end,), cwd="/", stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        finally:
            os.close(read_end)
        if done.returncode != 0:
            raise AssertionError("initdb: " + done.stdout)
        with open(self.path("made.new"), "w") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump({"port": host.free_port(), "password": password}, file)
        os.rename(self.path("made.new"), self.path("made.json"))

    def start(self):
        """Begins (again) with the data and the port that it has."""
        self.end_former()
        argv = ["env", *self.env, program("postgres"), "-D", self.data, "-p", str(self.port),
                "-c", "unix_socket_directories=" + self.folder]
        for name, value in SETTINGS.items():
            argv += ["-c", "%s=%s" % (name, value)]
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen(
                as_user(*argv), cwd="/", stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)
        if __package__:
            host.note_daemon(self.process.pid)
        host.wait_for("PostgreSQL answers", self.answers, START_SECONDS, 0.05)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError("postgres ended:\n" + "\n".join(
                host.read(self.path("log")).splitlines()[-20:]))
        ready = subprocess.run(
            [program("pg_isready"), "-q", "-h", "127.0.0.1",
             "-p", str(self.port)])
        return ready.returncode == 0

    def processes(self):
        """All of the server: their working directory is its data folder."""
        found = []
        for process in host.processes():
            try:
                if os.readlink("/proc/%d/cwd" % process.pid) == self.data:
                    found.append(process.pid)
            except OSError:
                pass
        return found

    def running(self):
        """The process id of the first one, or None."""
        words = host.read(os.path.join(self.data, "postmaster.pid")).split()
        pid = int(words[0]) if words and words[0].isdigit() else 0
        return pid if pid in self.processes() else None

    def end(self, how):
        pid = self.running()
        for each in self.processes():
            host.signal_pid(each, signal.SIGCONT)
        if pid is not None:
            host.signal_pid(pid, how)
        try:
            host.wait_for("PostgreSQL has ended", self.ended, STOP_SECONDS)
        finally:
            for each in self.processes():
                host.signal_pid(each, signal.SIGKILL)

    def ended(self):
        if self.process is not None:
            self.process.poll()
        return not self.processes()

    def stop(self):
        """Ends sessions and server; what was committed stays."""
        self.end(signal.SIGINT)
        self.process = None

    def kill(self):
        """As a crash: every process ends at once."""
        for each in self.processes():
            host.signal_pid(each, signal.SIGKILL)
        self.end(signal.SIGKILL)
        self.process = None

    def end_former(self):
        self.end(signal.SIGQUIT)
        # They may name a zombie, or what another process is by now.
        for stale in [os.path.join(self.data, "postmaster.pid")] + glob.glob(
                glob.escape(self.folder) + "/.s.PGSQL.*"):
            if os.path.lexists(stale):
                os.unlink(stale)

    # ---- databases ------------------------------------------------------

    def psql(self, sql, database="postgres"):
        """Runs SQL; what it prints, without decoration."""
        done = subprocess.run(
            [program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-h",
             "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database],
            input=sql, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env={**os.environ, "PGPASSWORD": self.password})
        if done.returncode != 0:
            raise AssertionError("psql: " + done.stdout)
        return done.stdout

    def create(self, name):
        """A fresh database; its URL."""
        self.psql('DROP DATABASE IF EXISTS "%s" WITH (FORCE);\n'
                  'CREATE DATABASE "%s";' % (name, name))
        return self.url(name)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        sys.exit("usage: postgres.py start DIR | stop DIR")
    if sys.argv[1] == "start":
        print(Postgres(sys.argv[2]).create("takod"))
        return
    server = Postgres.__new__(Postgres)
    server.folder = os.path.abspath(sys.argv[2])
    server.data, server.process = server.path("data"), None
    if server.running() is None:
        sys.exit("no server runs in " + server.folder)
    server.stop()


if __name__ == "__main__":
    main()
