"""A small writer of databases in MaxMind's format (version 2.0), IPv4 only, for tests."""

import ipaddress
import struct


def _value(value) -> bytes:
    if isinstance(value, str):
        data = value.encode()
        assert len(data) < 29
        return bytes([2 << 5 | len(data)]) + data
    if isinstance(value, dict):
        return bytes([7 << 5 | len(value)]) + b"".join(_value(key) + _value(held) for key, held in value.items())
    if isinstance(value, list):
        # Types past 7 have a byte of their own: 11 is an array.
        return bytes([len(value), 11 - 7]) + b"".join(_value(held) for held in value)
    number, bits = value if isinstance(value, tuple) else (value, 32)
    data = number.to_bytes(8, "big").lstrip(b"\0")
    if bits == 64:
        return bytes([len(data), 9 - 7]) + data
    return bytes([{16: 5, 32: 6}[bits] << 5 | len(data)]) + data


def database(kind: str, records: dict[str, dict]) -> bytes:
    """A database of networks and what is known of each."""
    nodes: list[list] = [[None, None]]
    data, offsets = b"", {}
    for network, record in records.items():
        encoded = _value(record)
        if encoded not in offsets:
            offsets[encoded] = len(data)
            data += encoded
        network = ipaddress.ip_network(network)
        bits = int(network.network_address)
        at = 0
        for depth in range(network.prefixlen):
            bit = bits >> (31 - depth) & 1
            if depth == network.prefixlen - 1:
                nodes[at][bit] = ("data", offsets[encoded])
            else:
                if nodes[at][bit] is None:
                    nodes.append([None, None])
                    nodes[at][bit] = len(nodes) - 1
                at = nodes[at][bit]

    def pointer(held) -> int:
        if held is None:
            return len(nodes)
        return held if isinstance(held, int) else len(nodes) + 16 + held[1]

    tree = b"".join(struct.pack(">I", pointer(held))[1:] for node in nodes for held in node)
    metadata = {"node_count": len(nodes), "record_size": (24, 16), "ip_version": (4, 16), "database_type": kind, "languages": ["en"],
                "binary_format_major_version": (2, 16), "binary_format_minor_version": (0, 16),
                "build_epoch": (1_700_000_000, 64),
                "description": {"en": "a test"}}
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _value(metadata)


def countries(by_network: dict[str, str]) -> bytes:
    return database("Test-Country", {net: {"country": {"iso_code": code}} for net, code in by_network.items()})


def networks(by_network: dict[str, int]) -> bytes:
    return database("Test-ASN", {net: {"autonomous_system_number": number} for net, number in by_network.items()})
