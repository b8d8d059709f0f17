"""Counts what the Python clients find; each check says what it expected and what came."""

import sys
import traceback
import uuid

counts = {"ok": 0, "wrong": 0}


def check(name, found, expected):
    """One value, compared with its type: 1 is neither True nor 1.0 (but a driver may have a UUID of its own)."""
    same_type = type(found) is type(expected) or isinstance(found, uuid.UUID) and isinstance(expected, uuid.UUID)
    if same_type and found == expected:
        counts["ok"] += 1
    else:
        counts["wrong"] += 1
        print(f"WRONG {name}: expected {expected!r}, found {found!r}")


def broken(name):
    """A part that ended with an exception that nobody expected."""
    counts["wrong"] += 1
    print(f"WRONG {name}:")
    traceback.print_exc(file=sys.stdout)


def report():
    print(f"{counts['ok']} ok, {counts['wrong']} wrong")
