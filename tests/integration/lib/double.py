"""double.py: a stand-in for chatd that breaks one promise, to see whether a client notices.

It speaks just enough of the protocol for bots that log in, join, send and end. What it plants, it plants once, for the
second member of a room (so that the first one and the order as such are right)."""
import json
import selectors
import socket
import threading

PLANT_AT = 7  # the seq of the message that something happens to


class Conn:
    def __init__(self, sock):
        self.sock, self.partial, self.nick, self.held = sock, b"", None, []


class Double:
    """A server on a free port, in a thread. plant: None, "lost", "lost-last", "repeated", "swapped", "altered",
    "wrong-ack", "wrong-close" or "no-bye"."""

    def __init__(self, plant=None):
        self.plant, self.planted = plant, 0
        self.rooms, self.conns = {}, {}
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
        room["members"].append(c)
        self._say(c, type="joined", re=r["id"], room=r["room"], epoch=1, seq=room["seq"], members=len(room["members"]),
                  topic="")

    def _on_send(self, c, r):
        room = self.rooms[r["room"]]
        room["seq"] += 1
        seq, ack = room["seq"], room["seq"]
        if self.plant == "wrong-ack" and seq == PLANT_AT:
            ack, self.planted = seq - 1, 1
        self._say(c, type="ack", re=r["id"], room=r["room"], seq=ack, time=1)
        for i, member in enumerate(room["members"]):
            line = dict(type="msg", room=r["room"], seq=seq, nick=c.nick, time=1, text=r["text"])
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
        self._close(c)

    def _close(self, c):
        self.selector.unregister(c.sock)
        for room in self.rooms.values():
            if c in room["members"]:
                room["members"][room["members"].index(c)] = Conn(socket.socket())  # keeps the others' places
        c.sock.close()
