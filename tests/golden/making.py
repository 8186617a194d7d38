# SPDX-License-Identifier: MIT
"""What the parts of made.py put bytes together with, and the files that they made."""
import struct

FILES = {}  # (target, "accept" or "reject", name): (bytes, text)


def u8(*v):
    return bytes(v)


def u16(v):
    return struct.pack(">H", v)


def u32(*v):
    return struct.pack(">%dI" % len(v), *v)


def u64(*v):
    return struct.pack(">%dQ" % len(v), *v)


def str8(text):
    return u8(len(text)) + text.encode()


def accept(target, name, data, text):
    FILES[target, "accept", name] = data, text


def reject(target, name, data, text):
    FILES[target, "reject", name] = data, text
