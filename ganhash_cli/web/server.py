"""Binds the port and runs the application on it until a signal comes."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket

import uvicorn
from starlette.types import ASGIApp

from ganhash_cli.errors import LockedError, UsageError
from ganhash_cli.web.gate import LOOPBACK

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def names(host: str) -> frozenset[str] | None:
    """Return what a Host header may name where `host` is bound; None for anything, where it is bound everywhere."""
    own = f"[{host}]" if ":" in host else host.lower()
    if host in _WILDCARDS:
        return None
    return LOOPBACK | {own} if is_loopback(host) else frozenset({own})


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes any that is free.

    Raises `LockedError` where the port is taken and `UsageError` where it cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            hint = "stop what listens there, or choose another port: --port 0 takes any that is free"
            raise LockedError(f"port {port} of {host} is in use", hint=hint) from error
        raise UsageError(
            f"cannot listen on port {port} of {host}: {error.strerror}",
            hint="--host must name this machine; ports below 1024 are the system's",
        ) from error


def address(listener: socket.socket, host: str) -> str:
    """Return the address to open in a browser."""
    named = socket.gethostname() if host in _WILDCARDS else f"[{host}]" if ":" in host else host
    return f"http://{named}:{listener.getsockname()[1]}/"


def run(app: ASGIApp, listener: socket.socket) -> None:
    """Answer requests until SIGINT or SIGTERM, which is raised again once those under way are answered."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what a client does wrong is no news
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=512,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listener])
