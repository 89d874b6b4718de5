"""database.py: what chatd keeps of a room, read from its file by another hand."""
import json
import os
import sqlite3
import struct

# In the inbox, before lines and keys: room (0: the end), first seq, time, count, bytes of lines, keys, changes.
PART = struct.Struct("=QQQIIII")


def _lines(blob):
    return [json.loads(line) for line in bytes(blob).splitlines()]


def _inbox(db, room):
    for (parts,) in db.execute("SELECT parts FROM inbox ORDER BY id"):
        at = 0
        while at < len(parts):
            of, first, _, _, lines, keys, changes = PART.unpack_from(parts, at)
            at += PART.size
            if of == 0:
                break
            if of == room:
                yield first, parts[at:at + lines]
            at += lines + keys + changes


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
