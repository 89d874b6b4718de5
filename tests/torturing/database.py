"""database.py: what chatd keeps of a room, read from its file by another hand."""
import json
import os
import sqlite3
import struct

# In the inbox, before lines and keys: room (0: the end), first seq, time, count, bytes of lines, keys, changes.
PART = struct.Struct("=QQQIIII")


def _lines(blob):
    return [json.loads(line) for line in bytes(blob).splitlines()]


def parts(blob):
    """(room, first seq, lines, where it ends) of each part of a row of the inbox."""
    at = 0
    while at < len(blob):
        room, first, _, _, lines, keys, changes = PART.unpack_from(blob, at)
        if room == 0:
            return
        at += PART.size
        end = at + lines + keys + changes
        yield room, first, blob[at:at + lines], end
        at = end


def _inbox(db, room):
    for (blob,) in db.execute("SELECT parts FROM inbox ORDER BY id"):
        for of, first, lines, _ in parts(blob):
            if of == room:
                yield first, lines


def all_is_moved(path):
    """Whether everything that was said is where it belongs, and nothing in the inbox."""
    db = sqlite3.connect(path)
    try:
        return all(not list(parts(blob)) for (blob,) in db.execute("SELECT parts FROM inbox"))
    finally:
        db.close()


def read(data, name, after):
    """(seq, text, time) of each message of the room behind that seq, in the file's order, and the seq to go on from."""
    db = sqlite3.connect(os.path.join(data, "chatd.db"), isolation_level=None)
    try:
        db.execute("BEGIN")
        room = db.execute("SELECT id FROM rooms WHERE name = ?", (name,)).fetchone()
        if room is None:
            return []
        low = room[0] << 40
        # A row may begin before.
        start = db.execute("SELECT max(id) FROM messages WHERE id BETWEEN ? AND ?", (low, low + after + 1)).fetchone()[0]
        rows = [lines for (lines,) in db.execute("SELECT lines FROM messages WHERE id BETWEEN ? AND ? ORDER BY id",
                                                 (start or low, low + (1 << 40) - 1))]
        rows += [lines for _, lines in sorted(_inbox(db, room[0]))]
        return [(m["seq"], m["text"], m["time"]) for lines in rows for m in _lines(lines) if m["seq"] > after]
    finally:
        db.close()
