"""A real Chroma server on loopback that a test may stop and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import chromadb
from chromadb.config import Settings

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 60
PAUSE_SECONDS: Final = 0.02


class ChromaServer:
    """`chroma run` over a directory; the port stays the same from one start to the next."""

    def __init__(self, directory: Path) -> None:
        self.port = _free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        chroma = Path(sysconfig.get_path("scripts")) / "chroma"
        command = [
            str(chroma),
            "run",
            "--path",
            str(self._directory / "data"),
            "--host",
            HOST,
            "--port",
            str(self.port),
        ]
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own words
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError((self._directory / "server.log").read_text())
            time.sleep(PAUSE_SECONDS)

    def stop(self) -> None:
        """Kill the server; stopping twice is fine."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let the server hold still, its connections open, until `resume`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # else it may answer once more

    def resume(self) -> None:
        """Let a paused server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> ClientAPI:
        """A new client of the server."""
        return chromadb.HttpClient(host=HOST, port=self.port, settings=Settings(anonymized_telemetry=False))

    def _answers(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port
