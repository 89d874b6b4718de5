"""layers.py: who may include whom. Needs no server.

    common <- protocol <- server/net <- server/chat <- server
    common <- protocol <- client/link <- client, bots
    common <- ladder (of trace/) <- client/rungs, trace
"""
import pathlib
import re

from lib import check, equal

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)

# Each layer, by the start of its files' paths, the longest first, and the layers that it may see besides itself.
LAYERS = {
    "server/net": {"common", "protocol"},
    "server/chat": {"common", "protocol", "server/net"},
    "server": {"common", "protocol", "server/net", "server/chat"},
    "client/link": {"common", "protocol", "client/resolve"},
    "client/resolve": {"common"},
    "client/rungs": {"common", "ladder"},
    "client": {"common", "protocol", "client/link", "client/resolve", "client/rungs"},
    "bots": {"common", "protocol", "client/link"},
    "ladder": {"common"},
    "trace": {"common", "ladder"},
    "protocol": {"common"},
    "common": set(),
}

# What only some files may know: a header, and those files.
OWNED = {"openssl/": re.compile(r"(common/((transport|tls|digest)\w*|scram|login_key)|server/(net/)?\w+|client/\w+)\.[ch]"),
         "event2/": re.compile(r"(server/(net/|chat/)?\w+|client/\w+|bots/\w+)\.[ch]")}


# ladder_lib: what chat-trace and chat draw a connection with.
LADDER = re.compile(r"trace/(infer|ladder|ladder_text|ladder_terminal|merge|merge_clock|model|read_text|verdict|verdict_text)\.[ch]")


def layer_of(path):
    if LADDER.fullmatch(path):
        return "ladder"
    return next((name for name in LAYERS if path.startswith(name)), None)


def sources():
    for path in sorted(ROOT.rglob("*.[ch]")):
        name = path.relative_to(ROOT).as_posix()
        if layer_of(name):
            yield name, path.read_text(encoding="utf-8")


def includes():
    """(file, quote or angle, what it includes: with its path from the root where it is one of ours)"""
    for name, text in sources():
        for kind, what in INCLUDE.findall(text):
            beside = f"{name.rsplit('/', 1)[0]}/{what}"
            yield name, kind, beside if (ROOT / beside).exists() else what


def test_directions(t):
    wrong, seen = [], 0
    for name, kind, what in includes():
        mine, theirs = layer_of(name), layer_of(what)
        if kind == '"' and theirs:
            seen += 1
            if theirs != mine and theirs not in LAYERS[mine]:
                wrong.append(f"{name} includes {what}")
    equal(wrong, [])
    check(seen > 10, "no includes were found: does this test still look at the right places?")


def test_no_includes_by_way_of_other_directories(t):
    equal([f"{name}: {what}" for name, kind, what in includes() if kind == '"' and ".." in what], [])


def test_libraries_are_known_in_their_place(t):
    wrong = [f"{name} includes {what}" for name, kind, what in includes() for part, place in OWNED.items()
             if kind == "<" and part in what and not place.fullmatch(name)]
    equal(wrong, [])


def test_files_are_of_readable_size(t):
    equal([f"{name}: {text.count(chr(10))} lines" for name, text in sources() if text.count("\n") > 600], [])
