"""Start Python programs as forks of a process that has imported the packages they need.

`ForkServer` starts that process, which runs this file as a program. A fork reads the settings and
imports the code of the site by itself, so forks may have different environments and folders.
"""

import ctypes
import json
import os
import resource
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

PACKAGES = [
    "asyncio",
    "autobahn.twisted.websocket",
    "channels.db",
    "channels.generic.websocket",
    "channels_redis.core",
    "channels_redis.pubsub",
    "click",
    "dj_database_url",
    "django.contrib.admin.utils",
    "django.core.handlers.asgi",
    "django.core.mail",
    "django.core.management.commands.migrate",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.template.defaulttags",
    "django.test",
    "django.views.generic",
    "h2.connection",
    "hyperlink",
    "msgpack",
    "psycopg_pool",
    "service_identity",
    "twisted.internet._sslverify",
    "twisted.internet.asyncioreactor",
    "twisted.internet.endpoints",
    "twisted.web.http",
    "uvicorn.main",
    "uvloop",
    "websockets.asyncio.server",
    "whitenoise.middleware",
]
"""Modules that read no settings, open no files and install no reactor when they are imported."""
_PR_SET_PDEATHSIG = 1


class Fork:
    """A program that runs in a fork, with what `Process` uses of `subprocess.Popen`."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.pid = int(self._read())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while the program runs."""
        if self.returncode is None and _is_readable(self._line, 0):
            return self._finish()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is not None:
            return self.returncode
        if not _is_readable(self._line, timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return self._finish()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _finish(self) -> int:
        self.returncode = int(self._read() or -signal.SIGKILL)  # the fork server was killed
        self._line.close()
        return self.returncode

    def _read(self) -> bytes:
        with self._line.makefile("rb", buffering=0) as lines:
            return lines.readline()


class ForkServer:
    """The client of a process that forks; it is started on first use and ends with this process."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "forks")
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        errors: Path | None = None,
    ) -> Fork:
        """Run Python with `arguments`: `-m` and a module, `-c` and code, or a file; then others.

        The program leads a process group. What it prints is appended to `log`, and what it prints
        to standard error as well, or to `errors`.
        """
        if self._process is None:
            self._process = self._start()
        log.touch()
        line = socket.socket(socket.AF_UNIX)
        line.connect(self._path)
        request = {
            "arguments": list(arguments),
            "env": dict(env),
            "cwd": str(cwd),
            "outputs": [str(log), str(errors or log)],
            "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        }
        line.sendall(json.dumps(request).encode() + b"\n")
        return Fork(line)

    def run(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Run Python with `arguments` to its end, as `subprocess.run` does; kill it when late."""
        with tempfile.TemporaryDirectory() as folder:
            log, errors = Path(folder, "log"), Path(folder, "errors")
            fork = self.start(arguments, env=env, cwd=cwd, log=log, errors=errors)
            try:
                code = fork.wait(seconds)
            finally:
                if fork.poll() is None:
                    os.killpg(fork.pid, signal.SIGKILL)
                    fork.wait()
            return subprocess.CompletedProcess(
                arguments, code, log.read_text(), errors.read_text() if errors.exists() else ""
            )

    def stop(self) -> None:
        if self._process is not None:
            self._process.communicate()  # the end of its input ends it
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the process; it ends at the end of its input, and so when this process ends."""
        pipe = subprocess.PIPE
        command = [sys.executable, __file__, self._path]
        started = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd="/", process_group=0)
        assert started.stdout
        if not started.stdout.readline():
            raise RuntimeError("the fork server did not start")
        return started


def _is_readable(line: socket.socket, timeout: float | None) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        return bool(selector.select(timeout))


# What runs in the process that forks.


class Forker:
    """Forks once for each connection; writes the process id to it, and the exit code at the end."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(100)
        self._wakeup, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        self._lines: dict[int, socket.socket] = {}
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> dict[str, Any]:
        """Fork until the input ends. Returns in the forks only, with the request of each."""
        selector = selectors.DefaultSelector()
        for source in (sys.stdin, self._listener, self._wakeup):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    self._end()
                elif key.fileobj is self._wakeup:
                    self._reap()
                elif request := self._fork():
                    selector.close()
                    return request

    def _fork(self) -> dict[str, Any]:
        """Return the request in the new process, and nothing in this one."""
        line, _ = self._listener.accept()
        with line.makefile("rb") as lines:
            request: dict[str, Any] = json.loads(lines.readline())
        pid = os.fork()
        if pid == 0:
            line.close()
            self._leave()
            return request
        os.setpgid(pid, 0)  # before anybody signals the group
        self._lines[pid] = line
        line.sendall(b"%d\n" % pid)
        return {}

    def _reap(self) -> None:
        self._wakeup.recv(4096)
        while self._lines:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._lines.pop(pid) as line:
                line.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))

    def _end(self) -> NoReturn:
        for pid in self._lines:
            os.killpg(pid, signal.SIGKILL)
        sys.exit()

    def _leave(self) -> None:
        """Drop what only the process that forks needs."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in (self._listener, self._wakeup, self._wakes, *self._lines.values()):
            one.close()


def _become(request: dict[str, Any]) -> None:
    """Give this process what a new one would have: group, files, folder, environment."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    resource.setrlimit(resource.RLIMIT_NOFILE, request["files"])
    files = [(os.devnull, os.O_RDONLY)]
    files += [(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in request["outputs"]]
    for number, (path, flags) in enumerate(files):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])


def _run(arguments: Sequence[str]) -> None:
    """Do what `python` does with these arguments."""
    first, rest = arguments[0], list(arguments[1:])
    if first == "-m":
        sys.path[0] = str(Path.cwd())
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.path[0] = ""
        sys.argv = ["-c", *rest[1:]]
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.path[0] = str(Path(first).resolve().parent)
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


def _serve(path: str) -> None:
    for name in PACKAGES:
        import_module(name)
    forker = Forker(path)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    request = forker.serve()
    _become(request)
    _run(request["arguments"])


if __name__ == "__main__":
    _serve(sys.argv[1])
