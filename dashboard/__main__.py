"""`python -m dashboard --host 127.0.0.1 --port 8008`: the console behind gunicorn's threads."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import click
from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.workers import gthread  # type: ignore[import-untyped]

from barber.errors import BarberError, SettingsError
from barber.settings import Settings
from dashboard import STREAMS, background, create_app, hub

LOOPBACK = ("127.0.0.1", "::1", "localhost")


# How long a connection without a request keeps an ending console: its browser asks again elsewhere.
gthread.STOP_KEEPALIVE_LINGER = 0.2


class Threads(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn's threads, which end soon although streams and idle connections are open."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        hub.close_all()
        super().handle_exit(sig, frame)
        self.method_queue.defer(self.murder_pending)

    def murder_pending(self) -> None:
        """Also lets go of connections on which nothing was ever asked, once it ends."""
        if not self.alive:
            for connection in self.pending_conns:
                connection.timeout = 0.0
        super().murder_pending()

    def handle_quit(self, sig: int, frame: Any) -> None:
        hub.close_all()
        super().handle_quit(sig, frame)


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn, configured here and by nothing else."""

    def __init__(
        self, settings: Settings, listener: socket.socket, *, threads: int, streams: int
    ) -> None:
        self.settings, self.streams = settings, streams
        self.host = listener.getsockname()[0]
        self.descriptor = listener.detach()  # gunicorn duplicates it, then closes it
        self.threads = threads
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"fd://{self.descriptor}",
            "worker_class": Threads,
            "workers": 1,
            # A stream keeps the thread it is answered in, so the others never want for one.
            "threads": self.threads + self.streams,
            "timeout": 60,
            "graceful_timeout": 3,
            "loglevel": "warning",
            "control_socket_disable": True,
            "proc_name": "barber-console",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called in the worker process, so that no database connection crosses a fork."""
        hosts = hosts_for(self.settings, self.host)
        app = create_app(self.settings, hosts=hosts, streams=self.streams)
        background.resume(app)
        return app


def hosts_for(settings: Settings, listening_on: str) -> tuple[str, ...] | None:
    """The names under which the console may be asked; None when only the network knows them."""
    here = (*LOOPBACK, "[::1]")
    if settings.public_url:
        return (urlsplit(settings.public_url).hostname or "", *here)
    return here if listening_on in LOOPBACK else None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        SettingsError: The address is in use or not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"the console cannot listen on {host}:{port} ({error.strerror}): "
            "name a free port with --port, or 0 for any"
        ) from error
    listener.listen(256)
    listener.set_inheritable(True)
    return listener


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8008, show_default=True, help="Port to listen on; 0 for any.")
@click.option("--threads", default=16, show_default=True, help="Requests answered at once.")
@click.option("--streams", default=STREAMS, show_default=True, help="Live pages besides.")
def main(host: str, port: int, threads: int, streams: int) -> None:
    """Serves the operator's console; settings come from BARBER_* variables."""
    try:
        settings = Settings.from_env(os.environ)
        listener = listen(host, port)
    except BarberError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    name = f"[{host}]" if ":" in host else host
    click.echo(f"console: http://{name}:{listener.getsockname()[1]}/")
    sys.stdout.flush()
    serve(Server(settings, listener, threads=threads, streams=streams))


def serve(server: Server) -> None:
    """Runs a console to its end, which both of its processes reach here.

    Requests are answered and sockets closed by then; to take the interpreter apart after that would
    take longer than all before, and an import that a thread is at is gone on with by the next one.
    """
    try:
        server.run()
    except SystemExit as end:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))


def run(arguments: Sequence[str] | None = None) -> None:
    """Runs the command with the given arguments, or those of the process."""
    main(args=arguments, prog_name="python -m dashboard")


if __name__ == "__main__":
    run()
