"""String formats: what upstream's formats accept."""

from __future__ import annotations

import pytest

from kplane.api.structural.formats import CHECKS, accepts
from kplane.api.structural.spec import STRING_FORMATS

GOOD = {
    "bsonobjectid": ["507f1f77bcf86cd799439011"],
    "uri": ["http://a.example/b?c=d#e", "/path", "mailto:a@b", "*", "https://[::1]:80/", "a://u:p@h:1/x%20y"],
    "email": ["a@b.example", "A B <a@b.example>", '"a b"@c.example', "a@b"],
    "hostname": ["a.example", "a", "1.example", "ä.example"],
    "ipv4": ["10.0.0.1", "010.000.00.1", "::ffff:1.2.3.4"],
    "ipv6": ["::1", "2001:DB8::1", "::ffff:1.2.3.4"],
    "cidr": ["10.0.0.0/8", "::/0", "010.0.0.0/8"],
    "mac": ["01:02:03:04:ab:CD", "01-02-03-04-05-06", "0102.0304.0506", "01:02:03:04:05:06:07:08"],
    "uuid": ["01234567-89AB-cdef-0123-456789abcdef", "0123456789abcdef0123456789abcdef"],
    "uuid3": ["01234567-89ab-3def-0123-456789abcdef"],
    "uuid4": ["01234567-89ab-4def-8123-456789abcdef"],
    "uuid5": ["01234567-89ab-5def-b123-456789abcdef"],
    "isbn": ["0321751043", "978-0321751041"],
    "isbn10": ["0321751043", "0-8044-2957-X"],
    "isbn13": ["978-0321751041"],
    "creditcard": ["4111 1111 1111 1111", "378282246310005"],
    "ssn": ["123-45-6789", "123456789"],
    "hexcolor": ["#FFF", "a0b1c2"],
    "rgbcolor": ["rgb(0, 255,12)"],
    "byte": ["YWJj", "YWI=", "YQ=="],
    "password": ["", "anything"],
    "date": ["2024-02-29"],
    "duration": ["1h30m", "-1.5s", "0", "22 ns", "2 days", "1us", ".5h", "1 hours"],
    "date-time": ["2024-02-29T23:59:59Z", "2024-01-01t00:00:00.123+01:00"],
    "quantity": ["10Gi", "0.5", "1e3", "-1"],
    "k8s-short-name": ["a", "a-1"],
    "k8s-long-name": ["a.b-c"],
}
BAD = {
    "bsonobjectid": ["507f1f77bcf86cd79943901", "g" * 24],
    "uri": ["", "a", "a b", "http://[::1", "http://h:x/", "/%zz", "\x7f", "http://a b/"],
    "email": ["", "a", "@b", "a@", "a b@c", "a@b@c", "<a@b"],
    "hostname": ["", "-a", "a_b.example", "a" * 64, "a..b"],
    "ipv4": ["10.0.0", "10.0.0.256", "::1", "1.2.3.4%eth0", "1.2.3.٤"],
    "ipv6": ["10.0.0.1", ":::", "fe80::1%eth0", "1:2"],
    "cidr": ["10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/ 8"],
    "mac": ["01:02:03:04:05", "01:02-03:04:05:06", "gg:02:03:04:05:06"],
    "uuid": ["01234567-89ab-cdef-0123-456789abcde"],
    "uuid3": ["01234567-89ab-4def-0123-456789abcdef"],
    "uuid4": ["01234567-89ab-4def-c123-456789abcdef"],
    "uuid5": ["01234567-89ab-4def-8123-456789abcdef"],
    "isbn": ["0321751044"],
    "isbn10": ["0321751044", "032175104"],
    "isbn13": ["978-0321751042"],
    "creditcard": ["4111 1111 1111 1112", "1"],
    "ssn": ["12-45-6789"],
    "hexcolor": ["#FFFF", "#ggg"],
    "rgbcolor": ["rgb(0,0,256)", "rgb(1,2)"],
    "byte": ["", "YQ=", "a b", "YW-j"],
    "date": ["2023-02-29", "2024-1-1", "20240101", "2024-01-01T"],
    "duration": ["", "1", "h", "1 parsec", "1h30", "99999999999999999999h"],
    "date-time": ["2024-01-01", "2024-01-01T24:00:00Z", "2024-01-01T00:00:00", "2024-02-30T00:00:00Z"],
    "quantity": ["", "x", "1Zi", " 1"],
    "k8s-short-name": ["A", "a.b", "a" * 64],
    "k8s-long-name": ["a..b", "A"],
}


@pytest.mark.parametrize(("form", "text"), [(form, text) for form, texts in GOOD.items() for text in texts])
def test_a_format_accepts(form: str, text: str) -> None:
    assert accepts(form, text)


@pytest.mark.parametrize(("form", "text"), [(form, text) for form, texts in BAD.items() for text in texts])
def test_a_format_refuses(form: str, text: str) -> None:
    assert not accepts(form, text)


def test_every_supported_format_has_a_check() -> None:
    assert set(CHECKS) == STRING_FORMATS
