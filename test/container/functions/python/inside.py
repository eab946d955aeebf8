import errno
import os
import re


def refusal(path):
    try:
        open(path, "w").close()
        return "written"
    except OSError as error:
        return errno.errorcode[error.errno]


def looks_around():
    with open("/proc/self/status", encoding="ascii") as status:
        capabilities = re.search(r"^CapEff:\s*(\w+)$", status.read(), re.MULTILINE)[1]
    return {
        "user": os.getuid(),
        "capabilities": capabilities,
        "interfaces": [name for name in os.listdir("/sys/class/net") if name == "lo" or not _is_down(name)],
        "root": refusal("/written"),
        "code": refusal(os.path.dirname(__file__) + "/written"),
    }


def _is_down(name):
    with open(f"/sys/class/net/{name}/operstate", encoding="ascii") as state:
        return state.read().strip() == "down"


def takes_all_memory():
    held = []
    while True:
        held.append(bytearray(b"\x01") * (8 * 1024 * 1024))


ACTS = {"looksAround": looks_around, "takesAllMemory": takes_all_memory}


def handler(event, _context):
    return ACTS[event["act"]]()
