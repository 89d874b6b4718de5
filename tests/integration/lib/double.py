"""double.py: a stand-in for chatd that breaks one promise, to see whether a client notices.

It speaks just enough of the protocol for bots that log in, join, send and end. What it plants, it plants once, for the
second member of a room (so that the first one and the order as such are right)."""
import json
import selectors
import socket
import struct
import threading
import time

PLANT_AT = 7  # the seq of the message that something happens to


class Conn:
    def __init__(self, sock):
        self.sock, self.partial, self.nick, self.held = sock, b"", None, []


class Double:
    """A server on a free port, in a thread. plant: None, or
    of messages: "lost", "lost-last", "repeated", "swapped", "altered", "duplicate" (again, under a new number), "gap", "left";
    of acks: "wrong-ack", "no-ack", "ack-room"; of the second join: "shrunken", "epoch";
    of pings: "twice" (two answers), "late" (the first one's with the second one's);
    of the end: "wrong-close", "no-bye", "reset" (behind bye), "after-bye" (a line)."""

    def __init__(self, plant=None):
        self.plant, self.planted = plant, 0
        self.rooms, self.conns, self.late = {}, {}, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.ending = True
        self.thread.join(5)
        self.listener.close()

    def _run(self):
        while not self.ending:
            for key, _ in self.selector.select(0.05):
                if key.fileobj is self.listener:
                    sock, _ = self.listener.accept()
                    self.conns[sock] = Conn(sock)
                    self.selector.register(sock, selectors.EVENT_READ)
                else:
                    self._read(self.conns[key.fileobj])

    def _read(self, c):
        try:
            data = c.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self._end(c)
            return
        *lines, c.partial = (c.partial + data).split(b"\n")
        for line in filter(None, lines):
            request = json.loads(line)
            getattr(self, "_on_" + request["type"])(c, request)

    # ---- requests

    def _say(self, c, **line):
        try:
            c.sock.sendall(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        except OSError:
            pass

    def _on_hello(self, c, r):
        c.nick = r["nick"]
        self._say(c, type="welcome", re=r["id"], server="double", version=1, nick=c.nick, session="1", resume="x", time=1,
                  limits={})

    def _on_join(self, c, r):
        room = self.rooms.setdefault(r["room"], {"seq": 0, "members": []})
        again = self.plant in ("shrunken", "epoch") and bool(room["members"])
        self.planted += again
        room["members"].append(c)
        self._say(c, type="joined", re=r["id"], room=r["room"], epoch=2 if again and self.plant == "epoch" else 1,
                  seq=room["seq"] - 2 if again and self.plant == "shrunken" else room["seq"], members=len(room["members"]),
                  topic="")

    def _on_ping(self, c, r):
        if self.plant == "late" and not self.planted:
            self.late, self.planted = r, 1
            return
        if self.late:
            self._say(c, type="pong", re=self.late["id"], data=self.late.get("data", ""), time=1)
        self._say(c, type="pong", re=r["id"], data=r.get("data", ""), time=1)
        if self.plant == "twice" and not self.planted:
            self._say(c, type="pong", re=r["id"], data=r.get("data", ""), time=1)
            self.planted = 1

    def _on_send(self, c, r):
        room = self.rooms[r["room"]]
        room["seq"] += 1
        seq, ack = room["seq"], room["seq"]
        if self.plant == "wrong-ack" and seq == PLANT_AT:
            ack, self.planted = seq - 1, 1
        if self.plant in ("no-ack", "ack-room") and seq == PLANT_AT:
            self.planted = 1
        if self.plant != "no-ack" or seq != PLANT_AT:
            name = "elsewhere" if self.plant == "ack-room" and seq == PLANT_AT else r["room"]
            self._say(c, type="ack", re=r["id"], room=name, seq=ack, time=1)
        self._deliver(room, c.nick, r)
        if self.plant == "duplicate" and seq == PLANT_AT:
            room["seq"], self.planted = seq + 1, 1
            self._deliver(room, c.nick, r)

    def _deliver(self, room, nick, r):
        for i, member in enumerate(room["members"]):
            line = dict(type="msg", room=r["room"], seq=room["seq"], nick=nick, time=1, text=r["text"])
            if i == 1:
                self._deliver_planted(member, line)
            else:
                self._say(member, **line)

    def _deliver_planted(self, c, line):
        seq, here = line["seq"], line["seq"] == PLANT_AT and not self.planted
        if self.plant == "lost-last" and seq >= PLANT_AT or self.plant == "lost" and here:
            self.planted = 1
        elif self.plant == "swapped" and here:
            c.held.append(line)
            self.planted = 1
        elif self.plant == "gap" and here:
            self._say(c, type="gap", room=line["room"], **{"from": seq, "to": seq})
            self.planted = 1
        elif self.plant == "left" and here:
            self._say(c, type="left", room=line["room"], code="kicked", by="nobody", reason="")
            self._forget(c)
            self.planted = 1
        elif self.plant == "altered" and here:
            self._say(c, **{**line, "text": line["text"][:-1] + "#"})
            self.planted = 1
        else:
            self._say(c, **line)
            if self.plant == "repeated" and here:
                self._say(c, **line)
                self.planted = 1
        if seq > PLANT_AT and c.held:
            self._say(c, **c.held.pop())

    def _on_bye(self, c, r):
        self._say(c, type="bye", re=r["id"], code="bye", text="")
        self._close(c)

    def _end(self, c):
        """The client's FIN."""
        code = "eof"
        if self.plant == "wrong-close" and not self.planted:
            code, self.planted = "idle", 1
        if self.plant == "no-bye" and not self.planted:
            self.planted = 1
        else:
            self._say(c, type="bye", code=code, text="")
        if self.plant == "after-bye" and not self.planted:
            self._say(c, type="pong", time=1)
            self.planted = 1
        if self.plant == "reset" and not self.planted:
            time.sleep(0.1)  # until bye has been read: some kernels throw away with RST what was not
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.planted = 1
        self._close(c)

    def _forget(self, c):
        for room in self.rooms.values():
            if c in room["members"]:
                room["members"][room["members"].index(c)] = Conn(socket.socket())  # keeps the others' places

    def _close(self, c):
        self.selector.unregister(c.sock)
        self._forget(c)
        c.sock.close()
