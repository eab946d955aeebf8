"""Where the processes of a group listen, read from /proc: to tell an author that the port is another than the asked one."""

from __future__ import annotations

import os
import socket

_LISTEN_STATE = "0A"


def listening_addresses(group_id: int) -> list[str]:
    inodes = {inode for pid in _processes_of(group_id) for inode in _socket_inodes(pid)}
    found = [*_listeners("/proc/net/tcp", socket.AF_INET, inodes), *_listeners("/proc/net/tcp6", socket.AF_INET6, inodes)]
    return sorted(set(found))


def _processes_of(group_id: int) -> list[int]:
    pids = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.getpgid(int(name)) == group_id:
                    pids.append(int(name))
            except OSError:
                pass
    return pids


def _socket_inodes(pid: int) -> set[str]:
    inodes = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    except OSError:
        pass
    return inodes


def _listeners(table: str, family: int, inodes: set[str]) -> list[str]:
    found = []
    try:
        with open(table, encoding="ascii") as file:
            rows = file.read().splitlines()[1:]
    except OSError:
        return []
    for row in rows:
        columns = row.split()
        if columns[3] == _LISTEN_STATE and columns[9] in inodes:
            address, port = columns[1].split(":")
            found.append(f"{_address(family, address)}:{int(port, 16)}")
    return found


def _address(family: int, text: str) -> str:
    # Four bytes at a time, in the machine's byte order.
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    name = socket.inet_ntop(family, b"".join(words))
    return f"[{name}]" if family == socket.AF_INET6 else name
