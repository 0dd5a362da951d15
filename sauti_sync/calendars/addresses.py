"""Which addresses a calendar may be at.

A calendar address is user input, and the worker stands inside the operator's network: without this policy it could
be sent to the metadata service of a cloud or to a neighbour's admin page. The name is resolved here, every address
that it has is judged, and the connection goes to a judged address, not to the name: a second look-up could give
another answer (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

from sauti_sync.errors import Outage, Permanent

#: Nothing was sent while no connection stood, so the next address may be tried.
_ADDRESSES_TRIED = 4

Resolver = Callable[[str, int], Awaitable[list[str]]]

#: IPv6 forms that carry an IPv4 address; a translator on the way would connect to that one.
_NAT64 = IPv6Network("64:ff9b::/96")
_REFUSED_6 = tuple(
    IPv6Network(network)
    # The last three are special-purpose networks that not every Python knows: documentation, site-local, SRv6.
    for network in ("64:ff9b:1::/48", "2001::/32", "2002::/16", "::/96", "3fff::/20", "fec0::/10", "5f00::/16")
)
#: Likewise: protocol assignments, 6to4 relays, and the host of a virtual machine on Azure.
_REFUSED_4 = tuple(IPv4Network(network) for network in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"))


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None or any(address in network for network in _REFUSED_6):
            return False
        if address in _NAT64:
            return _is_global(IPv4Address(int(address) & 0xFFFF_FFFF))
    elif any(address in network for network in _REFUSED_4):
        return False
    return _is_global(address)


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
        or address.is_link_local or address.is_private
    )  # fmt: skip


def check_url(url: str, *, allow_private: bool) -> httpx.URL:
    """The parsed address; raises Permanent `calendar_address_refused`.

    Wants https, a host and no user part; with `allow_private`, http will do.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise Permanent("calendar_address_refused") from None
    schemes = ("https", "http") if allow_private else ("https",)
    if parsed.scheme not in schemes or not parsed.host or not 0 < (parsed.port or 443) < 65_536:
        raise Permanent("calendar_address_refused")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise Permanent("calendar_address_refused")
    return parsed


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host; raises Outage `calendar_unavailable`."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Outage("calendar_unavailable") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class PinnedTransport(httpx.AsyncBaseTransport):
    """Connects to judged addresses only; TLS is still checked against the name.

    One instance serves one host: connections are pooled by address, and must not be shared between names.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, *, allow_private: bool, resolver: Resolver = resolve) -> None:
        self._inner = inner
        self._allow_private = allow_private
        self._resolver = resolver

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Judge, pin, pass on. Raises Permanent `calendar_address_refused`."""
        url = check_url(str(request.url), allow_private=self._allow_private)
        name = url.raw_host.decode("ascii")
        addresses = await self._resolver(name, url.port or (443 if url.scheme == "https" else 80))
        # One bad address among good ones is enough: which of them answers is not in our hands.
        if not addresses or not (self._allow_private or all(is_public(address) for address in addresses)):
            raise Permanent("calendar_address_refused")
        request.extensions["sni_hostname"] = name
        for address in addresses[:_ADDRESSES_TRIED]:
            request.url = url.copy_with(host=address)
            try:
                return await self._inner.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        raise Outage("calendar_unavailable")

    async def aclose(self) -> None:
        """Close the connections below."""
        await self._inner.aclose()
