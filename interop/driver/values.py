"""Payload values: their spelling on a line, the set that every pair exchanges, and when two are the same."""

from __future__ import annotations

import base64
import math
from typing import Any

SAFE_INTEGER_MAX = 2**53 - 1

TEXTS = ["", "plain", "ünïcödé 漢字 🎉 \u202e", 'line\nbreak\t"quoted" \\ back/slash', "\u007f\u0080\uffff"]
INTEGERS = [
    0, 1, -1, 23, 24, 127, 128, 255, 256, -32, -33, -128, -129, 32767, 32768, 65535, 65536,
    2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, -(2**32), 2**53 - 1, 2**53, -(2**53),
    2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1,
]  # fmt: skip
FLOATS = [0.1, -0.5, 13.950000000000001, 0.30000000000000004, 1e-300, 5e-324, 2.2250738585072014e-308]
FLOATS += [1.7976931348623157e308, 1e21, -1e-7, math.pi]
INTEGRAL_FLOATS = [1.0, -2.0, 1e15]
STRUCTURES = [None, True, False, [], {}, [[], [[]], {"": None}], {"a": [1, {"b": [True, None, "ü"]}], "ключ": "значение"}]
BINARIES = [b"", b"\x00", bytes(range(256)), b"\x00" * 70_000]


def encode(value: Any) -> Any:
    """A value as line JSON."""
    if isinstance(value, bytes):
        return {"$binary": base64.b64encode(value).decode()}
    if isinstance(value, float):
        return {"$float": repr(value)}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE_INTEGER_MAX:
        return {"$integer": str(value)}
    if isinstance(value, dict):
        return {key: encode(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(inner) for inner in value]
    return value


def decode(value: Any) -> Any:
    """The inverse of `encode`."""
    if isinstance(value, dict):
        if len(value) == 1:
            ((key, inner),) = value.items()
            if key == "$binary":
                return base64.b64decode(inner)
            if key == "$float":
                return float(inner)
            if key == "$integer":
                return int(inner)
        return {key: decode(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [decode(inner) for inner in value]
    return value


def as_json_text(value: Any) -> Any:
    """The specification's spelling of binary in JSON, for a client that leaves it to the application."""
    if isinstance(value, bytes):
        return "\0" + base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: as_json_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_json_text(inner) for inner in value]
    return value


def same(one: Any, other: Any, loose_numbers: bool) -> bool:
    """Equality to the bit. `loose_numbers`: an end that has one number type may turn 1.0 into 1 and back."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other and (loose_numbers or type(one) is type(other))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other, [loose_numbers] * len(one)))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key], loose_numbers) for key in one)
    return type(one) is type(other) and one == other
