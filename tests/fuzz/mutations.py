"""Damage of known kinds, drawn from a seed: bytes, text, trees of JSON and XML, members of archives."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np

NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
# an address of this machine that notes every request takes the place of this text
TRAP = "http://trap.invalid"
TOKENS = (
    *("", " ", "nan", "NaN", "inf", "-inf", "1e999", "-1", "0", "-0", "1e308", "1e-320", "9" * 20, "0x10", "\uff11"),
    *("null", "None", "true", "yes", "~", "1:30", "1_0", "[]", "{}", "\x01", "../../x", "x" * 5000, "<&>", "\u202e"),
    "=1+1",
    *("2021-02-30", "0000-00-00T00:00:00", "9999-12-31T23:59:60", "2021-01-01T00:00:60.5", "2021-01-01T00:00:00+05:00"),
    *("1677-01-01", "2262-05-01T00:00:00", "-5000", "181", "91,181", f"{TRAP}/x", f"/vsicurl/{TRAP}/x.tif"),
)  # fmt: skip
WORDS = (0, 1, 0xFF, 0x7F, 0x80, 0xFFFF, 0x7FFF, 0x8000, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 2**63 - 1, 2**64 - 1)

Rng = np.random.Generator
Damage = Callable[[bytes, Rng], bytes]


def token(rng: Rng) -> str:
    return TOKENS[int(rng.integers(len(TOKENS)))]


def place(rng: Rng, size: int) -> int:
    """A position in a file, every other time within its header."""
    return int(rng.integers(max(1, min(size, 600) if rng.random() < 0.5 else size)))


def damaged_bytes(data: bytes, rng: Rng) -> bytes:
    """Flip, cut, insert, overwrite or move bytes."""
    new = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at, length = place(rng, len(new)), int(rng.integers(1, 40))
        match int(rng.integers(8)):
            case 0:
                del new[at:]
            case 1:
                del new[at : at + length]
            case 2:
                new[at:at] = rng.bytes(length)
            case 3:
                new[at : at + length] = bytes(len(new[at : at + length]))
            case 4:
                size = (1, 2, 4, 8)[int(rng.integers(4))]
                word = WORDS[int(rng.integers(len(WORDS)))] % 2 ** (8 * size)
                new[at : at + size] = word.to_bytes(size, "little" if rng.random() < 0.7 else "big")[: len(new) - at]
            case 5:
                source = place(rng, len(new))
                new[at : at + length] = new[source : source + length]
            case 6:
                new += new[at : at + length] * 3
            case _:
                if new:
                    new[min(at, len(new) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(new)


def damaged_text(data: bytes, rng: Rng) -> bytes:
    """Replace numbers by other texts, change digits, and repeat or drop lines."""
    for _ in range(int(rng.integers(1, 3))):
        numbers = list(NUMBER.finditer(data))
        lines = data.split(b"\n")
        which = int(rng.integers(5))
        if which <= 2 and numbers:
            found = numbers[int(rng.integers(len(numbers)))]
            new = token(rng).encode() if which else str(rng.normal(0, 10.0 ** rng.integers(-2, 9))).encode()
            data = data[: found.start()] + new + data[found.end() :]
        elif which == 3:
            at = int(rng.integers(len(lines)))
            data = b"\n".join([*lines[:at], *(lines[at : at + 1] * int(rng.integers(0, 3))), *lines[at + 1 :]])
        else:
            at = int(rng.integers(len(data) + 1))
            data = data[:at] + token(rng).encode() + data[at + int(rng.integers(3)) :]
    return data


def damaged_json(data: bytes, rng: Rng) -> bytes:
    """Replace, drop, repeat or nest one node of a tree."""
    tree = json.loads(data)
    holders = [tree]
    for holder in holders:
        parts = holder.values() if isinstance(holder, dict) else holder
        holders += [part for part in parts if isinstance(part, dict | list) and part]
    holder = holders[int(rng.integers(len(holders)))]
    keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    if not keys:
        return b"[]"
    key = keys[int(rng.integers(len(keys)))]
    match int(rng.integers(6)):
        case 0:
            del holder[key]
        case 1:
            holder[key] = token(rng)
        case 2:
            holder[key] = (None, True, -1, 0, 1e300, float("nan"), 2**70, [], {}, "")[int(rng.integers(10))]
        case 3:
            holder[key] = [holder[key]]
        case 4:
            other = holders[int(rng.integers(len(holders)))]
            holder[key] = json.loads(json.dumps(other))
        case _:
            if isinstance(holder, dict):
                holder[token(rng)] = holder.pop(key)
            else:
                holder += holder[: int(rng.integers(1, 4))]
    text = json.dumps(tree)
    if rng.random() < 0.03:
        text = text.replace("[", "[" * 3000, 1)
    return text.encode()


def damaged_xml(data: bytes, rng: Rng) -> bytes:
    """Change the text, the attributes or the place of one element, leaves of few brothers as often as of many."""
    root = ElementTree.fromstring(data)
    parents = [(parent, child) for parent in root.iter() for child in parent]
    by_tag: dict[str, list[Any]] = {}
    for pair in parents:
        by_tag.setdefault(pair[1].tag, []).append(pair)
    tags = sorted(by_tag)
    pairs = by_tag[tags[int(rng.integers(len(tags)))]]
    parent, child = pairs[int(rng.integers(len(pairs)))]
    match int(rng.integers(9)):
        case 0:
            parent.remove(child)
        case 1:
            parent.append(child)
        case 2:
            child.tag = "other"
        case 3:
            child.clear()
        case 4 if child.attrib:
            name = list(child.attrib)[int(rng.integers(len(child.attrib)))]
            child.set(name, token(rng).replace("\x01", ""))
        case 5 if (child.text or "").strip():
            child.text = damaged_text((child.text or "").encode(), rng).decode("utf-8", "replace").replace("\x01", "")
        case 6:
            for _, brother in pairs:
                brother.text = token(rng).replace("\x01", "")
        case _:
            child.text = token(rng).replace("\x01", "")
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def damaged_member(inner: Damage) -> Damage:
    """Damage one member of a zip, or the zip itself."""

    def damage(data: bytes, rng: Rng) -> bytes:
        if rng.random() < 0.4:
            return damaged_bytes(data, rng)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = sorted(members)[int(rng.integers(len(members)))]
        members[name] = inner(members[name], rng)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr("../" + member if rng.random() < 0.02 else member, content)
        return out.getvalue()

    return damage


def either(*damages: Damage) -> Damage:
    """One of several kinds of damage, all as often; bytes where the tree cannot be read."""

    def damage(data: bytes, rng: Rng) -> bytes:
        return damages[int(rng.integers(len(damages)))](data, rng)

    return damage


def damaged_tiff(data: bytes, rng: Rng) -> bytes:
    """Change the type, the count or the value of one tag of a TIFF, or its bytes anywhere."""
    order = "<" if data[:2] == b"II" else ">"
    if rng.random() < 0.4 or data[2:4] not in (b"\x2a\0", b"\0\x2a"):
        return damaged_bytes(data, rng)
    new = bytearray(data)
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    entry = directory + 2 + 12 * int(rng.integers(count))
    field, size = ((0, 2), (2, 2), (4, 4), (8, 4))[int(rng.choice(4, p=[0.1, 0.2, 0.2, 0.5]))]
    (old,) = struct.unpack_from(order + {2: "H", 4: "I"}[size], new, entry + field)
    word = (WORDS[int(rng.integers(len(WORDS)))], old + 1, old * 2, old // 2, old * 1000)[int(rng.integers(5))]
    new[entry + field : entry + field + size] = (word % 2 ** (8 * size)).to_bytes(
        size, {"<": "little", ">": "big"}[order]
    )
    return bytes(new)
