"""Addresses that the system calls for somebody: none of them may be inside its own network.

Who may register a webhook may choose an address. Without this, that would be a way to reach
databases, metadata services and consoles that only this machine can see. A name is looked up when
it is called, and the connection goes to the very address that was checked.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from barber.errors import InputError

LONGEST_URL = 2000
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def check_url(url: str, *, allow_private: bool) -> SplitResult:
    """An address's parts, when it may be called as far as its text tells.

    Args:
        url: What somebody gave.
        allow_private: Addresses of this network may be called, also without encryption.

    Raises:
        InputError: It may not; the message says why.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"{url[:100]!r} cannot be read as an address: {error}") from error
    if not url.isprintable() or " " in url or len(url) > LONGEST_URL:
        raise InputError(f"{url[:100]!r} is no address: give one such as https://example.com/hook")
    schemes = ("https", "http") if allow_private else ("https",)
    if parts.scheme not in schemes or not parts.hostname:
        raise InputError(f"{url[:100]!r} cannot be called: give an address with https://")
    if parts.username is not None or parts.password is not None:
        raise InputError("an address with a name or password in it is kept nowhere: leave them out")
    if port == 0:
        raise InputError(f"{url[:100]!r} names port 0: leave it out")
    if not allow_private:
        try:
            literal = ipaddress.ip_address(parts.hostname)
        except ValueError:
            return parts  # a name: looked up when it is called
        check_address(literal, parts.hostname)
    return parts


def resolve(host: str, port: int, *, allow_private: bool) -> str:
    """The address to connect to for a name.

    Raises:
        InputError: It has none, or any of them is not of the public network: a name with both is a
            trap.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"{host} has no address: {error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private:
        for address in addresses:
            check_address(ipaddress.ip_address(address.split("%")[0]), host)
    return addresses[0]


def check_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address, host: str) -> None:
    """Raises InputError for an address that is not of the public network."""
    inner: ipaddress.IPv4Address | ipaddress.IPv6Address = address
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            inner = address.ipv4_mapped
        elif address.sixtofour is not None:
            inner = address.sixtofour
        elif address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if not inner.is_global or inner.is_multicast or inner.is_reserved:
        raise InputError(
            f"{host} is {address}, an address of a private network: an operator of this system may "
            "allow that with BARBER_WEBHOOK_PRIVATE=1"
        )
