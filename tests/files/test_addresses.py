"""Addresses an image may be fetched from, and those that lead somewhere else."""

import pytest

from app.files.addresses import is_public

PUBLIC = ("1.1.1.1", "8.8.8.8", "203.0.114.1", "172.15.0.1", "2606:4700:4700::1111", "2a00:1450:4001:80e::200e")
OTHERS = (
    *(
        "0.0.0.0",
        "10.0.0.1",
        "127.0.0.1",
        "127.1.2.3",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "255.255.255.255",
    ),
    *("100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.19.255.255", "192.88.99.1"),
    *("203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:169.254.169.254"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b::808:808", "64:ff9b:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1"),
    *("2001:0:53aa:64c::1", "2001:db8::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("100::1", "3fff::1", "5f00::1", "", "localhost", "1.1.1", "0x7f.1", "2130706433", "1.1.1.1.1"),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", OTHERS)
def test_not_public(address: str) -> None:
    assert not is_public(address)
