#!/usr/bin/env python3
"""qlog_check.py FILE...: whether event logs keep to their schema. Standard library only.

Written from draft-ietf-quic-qlog-main-schema-14 (QlogFileSeq, TraceSeq, CommonFields, VantagePoint, Event, and the
JSON text sequence mapping of its section on serialization, RFC 7464) and from docs/trace-events.md for the events' data.
It shares nothing with the code that writes the logs. Prints what is wrong, one line each, then `N records, N errors`;
exit code 1 where there are errors.
"""
import json
import re
import sys

RS, LF = b"\x1e", b"\n"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
EVENT_NAME = re.compile(r"[a-z0-9_-]+:[a-z0-9_-]+")
ADDRESS = re.compile(r"(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\]):\d{1,5}|unknown")
HEXSTRING = re.compile(r"([0-9a-f]{2})+")  # "an even number of digits", two for each byte
COOKIE = re.compile(r"[0-9a-f]{16}")
FLAGS = re.compile(r"(SYN|FIN|RST|PSH|ACK|URG|ECE|CWR)(,(SYN|FIN|RST|PSH|ACK|URG|ECE|CWR))*|")
STATES = {"ESTABLISHED", "SYN_SENT", "SYN_RECEIVED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "CLOSED", "CLOSE_WAIT",
          "LAST_ACK", "LISTEN", "CLOSING"}


class Wrong(Exception):
    pass


def need(fact, what):
    if not fact:
        raise Wrong(what)


# A field's kind: a function that says whether a value is one.

def text(v):
    return isinstance(v, str)


def number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


def uint(bits):
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 1 << bits


def boolean(v):
    return isinstance(v, bool)


def one_of(*words):
    return lambda v: v in words


def like(pattern):
    return lambda v: isinstance(v, str) and pattern.fullmatch(v) is not None


def integer(v):
    return isinstance(v, int) and not isinstance(v, bool)


def record(fields, others=False):
    """An object with these fields: name -> kind, a name that ends in ? may be missing."""
    def check_record(v):
        if not isinstance(v, dict):
            return False
        known = {name.rstrip("?"): kind for name, kind in fields.items()}
        for name in fields:
            need(name.endswith("?") or name in v, f"{name} is missing")
        for name, value in v.items():
            need(name == name.lower(), f"field {name} is not lowercase")
            need(others or name in known, f"field {name} is not in the schema")
            need(name not in known or known[name](value), f"{name} can't be {value!r}")
        return True
    return check_record


def milliseconds(v):
    """The draft's form for all times: a float of milliseconds; here with the microseconds that the kernel counts."""
    return isinstance(v, float) and v >= 0 and abs(v * 1000 - round(v * 1000)) < 1e-3


def cookie(v):
    return like(HEXSTRING)(v) and like(COOKIE)(v)


INFO = record({"rtt": milliseconds, "rto": milliseconds} | {name: uint(64) for name in (
    "unacked?", "unsent?", "backoff?", "retransmitted?", "acked", "received", "cwnd", "snd_wnd")})
TLS = record({"ok": boolean, "detail?": text})
EVENTS = {
    "app:call": record({"call": text, "ret": integer, "errno?": like(re.compile(r"E[A-Z0-9]+|UNKNOWN")), "detail?": text,
                        "info?": INFO}),
    "app:closed": record({"ended_first": one_of("none", "self", "peer"), "how": text, "reason": text, "bytes_in": uint(64),
                          "bytes_out": uint(64)}),
    "tcp:connection": record({"local": like(ADDRESS), "peer": like(ADDRESS), "cookie?": cookie, "client_isn?": uint(32),
                              "id?": text, "program?": text, "watched?": number}),
    "tcp:state_updated": record({"old?": one_of(*STATES), "new": one_of(*STATES), "cookie?": cookie, "info?": INFO,
                                 "source": one_of("tcp_info", "sock_diag", "destroy", "inferred")}),
    "tcp:segment": record({"direction": one_of("sent", "received"), "flags": like(FLAGS), "seq": uint(32), "ack?": uint(32),
                           "length": uint(32), "window?": uint(32), "frame?": uint(32), "retransmission?": boolean,
                           "keepalive?": boolean}),
    "tcp:reset": record({"direction": one_of("sent", "received"), "why": text}),
    "tls:handshake": TLS, "tls:close_notify_sent": TLS, "tls:close_notify_received": TLS,
    "chat:message": record({"direction": one_of("sent", "received"), "type": like(re.compile(r"[a-z_]+")), "length": uint(32)}),
}

SYSTEM = record({"processor_id?": uint(32), "process_id?": uint(32), "thread_id?": uint(32)})
REFERENCE = record({"clock_type": text, "epoch": lambda v: v == "unknown" or like(RFC3339)(v), "wall_clock_time?": like(RFC3339)})
TIME_FORMAT = one_of("relative_to_epoch", "relative_to_previous_event")
COMMON = record({"tuple?": text, "time_format?": TIME_FORMAT, "reference_time?": REFERENCE, "group_id?": text,
                 "system_info?": SYSTEM}, others=True)
VANTAGE = record({"name?": text, "type": one_of("client", "server", "network", "unknown"),
                  "flow?": one_of("client", "server", "unknown")})
SCHEMAS = lambda v: isinstance(v, list) and v != [] and all(like(ABSOLUTE_URI)(u) for u in v)  # noqa: E731
TRACE = record({"title?": text, "description?": text, "common_fields?": COMMON, "vantage_point?": VANTAGE,
                "event_schemas": SCHEMAS})
HEADER = record({"file_schema": one_of("urn:ietf:params:qlog:file:sequential"),
                 "serialization_format": lambda v: text(v) and v.lower() == "application/qlog+json-seq", "title?": text,
                 "description?": text, "trace": TRACE})
EVENT = record({"time": number, "name": like(EVENT_NAME), "data": lambda v: isinstance(v, dict), "tuple?": text,
                "time_format?": TIME_FORMAT, "group_id?": text, "system_info?": SYSTEM}, others=True)


def no_twins(pairs):
    names = [name for name, _ in pairs]
    need(len(names) == len(set(names)), "a field is there twice")
    return dict(pairs)


def check_header(raw, header):
    HEADER(header)
    need(b"serialization_format" in raw[:256] and b"file_schema" in raw[:256], "the format is not in the first 256 bytes")
    point = header["trace"].get("vantage_point")
    need(point is None or point["type"] != "network" or "flow" in point, "a network's vantage point needs a flow")
    for uri in header["trace"]["event_schemas"]:
        need(not uri.startswith("urn:ietf:params:qlog:events:"), f"{uri}: that form is for schemas of RFCs")


def check_sides(event, is_merged):
    """Of a file of both sides each event tells whose it is, and no other does; a program knows its socket's cookie."""
    name, data = event["name"], event["data"]
    need(("side" in event) == is_merged, "side belongs to a file of both sides")
    need(not is_merged or event["side"] in ("client", "server"), "side is client or server")
    need(is_merged or name != "tcp:connection" or "cookie" in data, "cookie is missing")
    need(is_merged or not {"id", "program", "watched"} & set(data) or name != "tcp:connection", "that is for both sides' files")
    need(name != "tcp:segment" or ("ack" in data) == ("ACK" in data["flags"].split(",")), "ack goes with the flag")


def check_event(event, last_time, namespaces, is_merged):
    EVENT(event)
    name = event["name"]
    need(event["time"] >= 0, "time before the epoch")
    need(name.split(":")[0] in namespaces, f"{name}: its namespace is in none of event_schemas")
    need(name in EVENTS, f"{name} is not in docs/trace-events.md")
    EVENTS[name](event["data"])
    check_sides(event, is_merged)
    need("group_id" in event or "cookie" in event["data"], f"{name} tells of no connection")
    need(event["time"] >= last_time - 1e-9, "time goes back")
    return event["time"]


def records(data):
    """(offset, bytes) of each record: RS, JSON, LF (RFC 7464, section 2)."""
    need(data.startswith(RS), "the file does not begin with a record separator")
    at = 0
    for part in data.split(RS)[1:]:
        yield at, part
        at += len(part) + 1


def check_file(path, say):
    with open(path, "rb") as f:
        data = f.read()
    count = errors = 0
    namespaces, last_time, is_merged = set(), 0.0, False
    try:
        for offset, part in records(data):
            count += 1
            try:
                need(part.endswith(LF), "the record does not end in LF: it may be cut")
                value = json.loads(part.decode("utf-8"), object_pairs_hook=no_twins)
                if count == 1:
                    check_header(part, value)
                    namespaces = {re.split(r"[:/]", uri)[-1].split("#")[0] for uri in value["trace"]["event_schemas"]}
                    is_merged = value["trace"].get("vantage_point", {}).get("type") == "network"
                else:
                    last_time = check_event(value, last_time, namespaces, is_merged)
            except (Wrong, ValueError) as e:
                errors += 1
                say(f"{path}: record {count} at byte {offset}: {e}")
    except Wrong as e:
        errors += 1
        say(f"{path}: {e}")
    return count, errors


def main():
    total = [0, 0]
    for path in sys.argv[1:]:
        count, errors = check_file(path, print)
        total = [total[0] + count, total[1] + errors]
    print(f"{total[0]} records, {total[1]} errors")
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
