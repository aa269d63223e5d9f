"""Which addresses may be called for somebody."""

from __future__ import annotations

import socket

import pytest

from barber.addresses import check_url, resolve
from barber.errors import InputError

INSIDE = [
    "https://127.0.0.1/x",
    "https://10.1.2.3/x",
    "https://192.168.0.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[fd00::1]/",
    "https://[fe80::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://224.0.0.1/",
    "https://100.64.0.1/",
]
ODD = [
    "http://example.com/",
    "ftp://example.com/",
    "https://",
    "https://user:word@example.com/",
    "https://example.com:99999/",
    "https://example.com/a b",
    "https://example.com/\n",
    "file:///etc/passwd",
    "https://" + "a" * 3000,
]


@pytest.mark.parametrize("url", [*INSIDE, *ODD])
def test_what_may_not_be_called_is_refused(url):
    with pytest.raises(InputError):
        check_url(url, allow_private=False)


def test_a_public_address_and_an_allowed_private_one_pass():
    assert check_url("https://8.8.8.8/hook", allow_private=False).hostname == "8.8.8.8"
    assert check_url("http://127.0.0.1:80/hook", allow_private=True).port == 80


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"]])
def test_a_name_that_leads_inside_is_found_out_when_it_is_called(monkeypatch, addresses):
    """The network cannot be made to answer so in a test."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 443)) for each in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
    with pytest.raises(InputError, match="private network"):
        resolve("trap.example", 443, allow_private=False)
    assert resolve("trap.example", 443, allow_private=True) == addresses[0]
