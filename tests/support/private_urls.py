"""Hundreds of ways to write an address that is not on the public network, and some that are public: for tests of code that opens URLs."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from ipaddress import IPv4Address

TARGETS = {
    "loopback": "127.0.0.1",
    "metadata": "169.254.169.254",
    "metadata of Alibaba": "100.100.100.200",
    "metadata of Oracle": "192.0.0.192",
    "host of Azure": "168.63.129.16",
    "ten": "10.1.2.3",
    "home": "192.168.1.1",
    "between": "172.31.255.254",
    "shared": "100.64.0.1",
    "this host": "0.0.0.0",
}
OTHERS = (
    *("127.255.255.254", "169.254.0.23", "169.254.170.2", "172.16.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1"),
    *("192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250"),
    *("240.0.0.1", "255.255.255.255", "161.26.0.10", "0.1.2.3"),
)
SIX = (
    *("::", "::1", "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fec0::1", "fc00::1", "fd00::1", "fd00:ec2::254"),
    *("fd20:ce::254", "ff02::1", "ff0e::1", "2001:db8::1", "2001::1", "2001:20::1", "2001:2::1", "2001:10::1"),
    *("2002::1", "100::1", "64:ff9b:1::1", "64:ff9b:1::808:808", "::ffff:0:808:808", "5f00::1", "3fff::1", "4000::1"),
    *("::8.8.8.8", "::2", "0:0:0:0:0:0:0:1", "2620:4f:8000::1", "2002:808:808::1", "fe80::1%25eth0", "fe80::1%eth0"),
)
FULL = str.maketrans("0123456789", "０１２３４５６７８９")
CIRCLED = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")
SUPER = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
BOLD = str.maketrans("0123456789", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗")


def _words(address: int) -> str:
    return f"{address >> 16:x}:{address & 0xFFFF:x}"


def _octets(address: str) -> list[int]:
    return [int(part) for part in address.split(".")]


NOTATIONS: dict[str, Callable[[str, int], str]] = {
    "dotted": lambda text, number: text,
    "decimal": lambda text, number: str(number),
    "hex": lambda text, number: f"0x{number:08x}",
    "hex, upper": lambda text, number: f"0X{number:08X}",
    "octal": lambda text, number: f"0{number:o}",
    "dotted octal": lambda text, number: ".".join(f"0{part:o}" for part in _octets(text)),
    "dotted hex": lambda text, number: ".".join(f"0x{part:x}" for part in _octets(text)),
    "padded octal": lambda text, number: ".".join(f"{part:#06o}".replace("0o", "0") for part in _octets(text)),
    "two parts": lambda text, number: f"{number >> 24}.{number & 0xFFFFFF}",
    "three parts": lambda text, number: f"{number >> 24}.{number >> 16 & 255}.{number & 0xFFFF}",
    "mixed": lambda text, number: f"0x{number >> 24:x}.0{number >> 16 & 255:o}.{number & 0xFFFF}",
    "trailing dot": lambda text, number: f"{text}.",
    "full-width": lambda text, number: text.translate(FULL),
    "circled": lambda text, number: text.translate(CIRCLED),
    "superscript": lambda text, number: text.translate(SUPER),
    "bold": lambda text, number: text.translate(BOLD),
    "ideographic dots": lambda text, number: text.replace(".", "。"),
    "half-width dots": lambda text, number: text.replace(".", "｡"),
    "full-width dots": lambda text, number: text.replace(".", "．"),
    "mapped": lambda text, number: f"[::ffff:{text}]",
    "mapped, hex": lambda text, number: f"[::ffff:{_words(number)}]",
    "mapped, long": lambda text, number: f"[0:0:0:0:0:FFFF:{_words(number)}]",
    "translated": lambda text, number: f"[::ffff:0:{_words(number)}]",
    "compatible": lambda text, number: f"[::{text}]",
    "NAT64": lambda text, number: f"[64:ff9b::{_words(number)}]",
    "NAT64, dotted": lambda text, number: f"[64:ff9b::{text}]",
    "NAT64, local": lambda text, number: f"[64:ff9b:1::{_words(number)}]",
    "6to4": lambda text, number: f"[2002:{_words(number)}::1]",
    "Teredo": lambda text, number: f"[2001:0:808:808:0:0:{_words(number ^ 0xFFFFFFFF)}]",
    "Teredo's server": lambda text, number: f"[2001:0:{_words(number)}:0:0:f7f7:f7f7]",
    "ISATAP": lambda text, number: f"[2606:4700::5efe:{_words(number)}]",
    "ISATAP, universal": lambda text, number: f"[2606:4700::200:5efe:{_words(number)}]",
}
NAMES = (
    *(
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "ｌｏｃａｌｈｏｓｔ",
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "loc\u00adalhost",
        "local\u200bhost",
    ),
    *("localhost.localdomain", "metadata", "metadata.google.internal", "METADATA.GOOGLE.INTERNAL.", "instance-data"),
    *("metadata.google。internal", "instance-data.ec2.internal", "kubernetes", "redis"),
    *("kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "printer.local", "db.internal", "nas.lan"),
    *("router.home.arpa", "wiki.intranet", "wiki.corp", "x.private", "x.onion", "1.0.0.127.in-addr.arpa"),
)
TEXTS = (
    # Numbers that are no address for some programs and one for others.
    *("https://425.510.425.510/", "https://256.256.256.256/", "https://1.2.3.4.5/", "https://4294967296/"),
    *("https://4294967297/", "https://0x/", "https://127..1/", "https://.127.0.0.1/"),
    *("https://08.8.8.8/", "https://a.0x7f/", "https://example.1/", "https://127.0.0.1../"),
    # A host for one program, a user or a path for another.
    *(
        "https://user@127.0.0.1/",
        "https://user:pass@example.com/",
        "https://@example.com/",
        "https://example.com@127.0.0.1/",
    ),
    *("https://example.com\\@127.0.0.1/", "https://127.0.0.1\\@example.com/", "https://example.com:443@127.0.0.1/"),
    *("https://127.0.0.1:80\\@example.com:80/", "https://example.com:@127.0.0.1/", "https://example.com%40127.0.0.1/"),
    *("https://%31%32%37.0.0.1/", "https://127.0.0.1%00.example.com/", "https://example.com%2f@127.0.0.1/"),
    *("https://127.0.0.1%2f.example.com/", "https://%6c%6f%63%61%6c%68%6f%73%74/", "https://127.0.0.1%20/"),
    *("https:\\\\127.0.0.1\\", "https:/\\127.0.0.1/", "https:127.0.0.1/", "https:/127.0.0.1/", "https:///127.0.0.1/"),
    *("https:////127.0.0.1/", "https://\\127.0.0.1/", "http:\\\\169.254.169.254/latest", "http:169.254.169.254"),
    # Characters that some programs strip, ignore or stop at.
    *(
        "https://127.0.0.1\t/",
        "https://127.0.\n0.1/",
        "https://exa\rmple.com/",
        " https://127.0.0.1/",
        "\thttps://127.0.0.1/",
    ),
    *("https://127.0.0.1 /", "https://127.0.0.1\0.example.com/", "ht\ntps://127.0.0.1/", "https://127.0.0.1\u00a0/"),
    *(
        "https://127.0.0.1\u2028/",
        "https://127.0.0.1\x01/",
        "https://127.0.0.1|example.com/",
        "https://example.com^127.0.0.1/",
    ),
    *("\n\nhttps://example.com/", "https://example.com/\r\nHost: 127.0.0.1", "https://exam\tple.com/"),
    # Ports and brackets.
    *("https://127.0.0.1:8080/", "https://127.0.0.1:443/x?y#z", "https://example.com:0/", "https://example.com:65536/"),
    *(
        "https://example.com:99999/",
        "https://example.com:-1/",
        "https://example.com:４４３/",
        "https://example.com:44 3/",
    ),
    *(
        "https://[127.0.0.1]/",
        "https://[::1/",
        "https://::1/",
        "https://[::1]x/",
        "https://[::1]:80:80/",
        "https://[v1.x]/",
    ),
    *("https://[]/", "https:///", "https://?x", "https://#x", "https://:443/", "https://.../", "https://-/"),
    *("https://[::1%25lo]/", "https://[fe80::1%25eth0]/", "https://[::ffff:127.0.0.1%25lo]/", "https://[example.com]/"),
    # Other schemes that a careless program opens.
    *(
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "file://127.0.0.1/etc/passwd",
        "ftp://127.0.0.1/x",
        "ftps://127.0.0.1/x",
    ),
    *("HTTPS://127.0.0.1/", "hTTp://169.254.169.254/latest/meta-data/", f"https://example.com/{'a' * 9000}"),
)


def literals() -> dict[str, str]:
    """Target → URL, for every target in every notation and every other address."""
    found = {}
    for what, address in TARGETS.items():
        for how, notation in NOTATIONS.items():
            found[f"{what}, {how}"] = f"https://{notation(address, int(IPv4Address(address)))}/latest/meta-data/"
    found |= {address: f"https://{address}/" for address in OTHERS}
    return found | {address: f"https://[{address}]:8443/x.png" for address in SIX}


PRIVATE: dict[str, str] = {
    **literals(),
    **{name: f"https://{name}/x" for name in NAMES},
    **{repr(text)[:60]: text for text in TEXTS},
}
ADDRESSES = sorted({*TARGETS.values(), *OTHERS, *(one for one in SIX if "%" not in one)})
"""As a resolver answers them."""
ADDRESSES += [str(ipaddress.ip_address(notation(address, int(IPv4Address(address)))[1:-1]))
              for address in TARGETS.values() for notation in NOTATIONS.values()
              if notation(address, 1).startswith("[")]  # fmt: skip
PUBLIC = {
    "https://example.com": ("https://example.com/", "example.com", 443),
    "HTTPS://EXAMPLE.com/A b": ("https://example.com/A%20b", "example.com", 443),
    "https://example.com:443/x?y=z#f": ("https://example.com/x?y=z", "example.com", 443),
    "https://example.com.:8443/": ("https://example.com:8443/", "example.com", 8443),
    "https://example.com?q=1": ("https://example.com/?q=1", "example.com", 443),
    "https://example.com:/x": ("https://example.com/x", "example.com", 443),
    "https://bücher.example.com/ü.png": (
        "https://xn--bcher-kva.example.com/%C3%BC.png",
        "xn--bcher-kva.example.com",
        443,
    ),
    "https://例え.jp/%E3%81%82": ("https://xn--r8jz45g.jp/%E3%81%82", "xn--r8jz45g.jp", 443),
    "https://8.8.8.8/x": ("https://8.8.8.8/x", "8.8.8.8", 443),
    "https://134744072/": ("https://8.8.8.8/", "8.8.8.8", 443),
    "https://[2606:4700:4700::1111]:8443/": ("https://[2606:4700:4700::1111]:8443/", "2606:4700:4700::1111", 8443),
    "https://[::ffff:8.8.8.8]/": ("https://[::ffff:808:808]/", "::ffff:808:808", 443),
    "https://[64:ff9b::8.8.8.8]/": ("https://[64:ff9b::808:808]/", "64:ff9b::808:808", 443),
    "https://172.32.0.1/": ("https://172.32.0.1/", "172.32.0.1", 443),
    "https://100.128.0.1/": ("https://100.128.0.1/", "100.128.0.1", 443),
    "https://a_b.example.com/@x": ("https://a_b.example.com/@x", "a_b.example.com", 443),
    "https://example.com/\\x": ("https://example.com/%5Cx", "example.com", 443),
    "https://user-pictures.s3.eu-west-1.amazonaws.com/a?X-Amz-Signature=a%2Fb&c": (
        "https://user-pictures.s3.eu-west-1.amazonaws.com/a?X-Amz-Signature=a%2Fb&c",
        "user-pictures.s3.eu-west-1.amazonaws.com",
        443,
    ),
}
"""URL → target notation, host, port."""
