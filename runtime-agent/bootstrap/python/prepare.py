"""
`python3 prepare.py TREE`: compiles every module of the code in TREE and writes the bytecode to its output: a line with the place of the
file, then the file. Nothing of the code is run.
"""

import marshal
import os
import resource
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from warmpool_agent.prepared import PACK_FILE, pack, prepared_tag  # noqa: E402

MEMORY_BYTES = 1024 * 1024 * 1024
MAX_SOURCE_BYTES = 16 * 1024 * 1024
MAX_TOTAL_BYTES = 96 * 1024 * 1024


def main(tree: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    index: dict[str, tuple[int, int]] = {}
    codes: list[bytes] = []
    at = 0
    for file in modules_of(tree):
        code = compiled(os.path.join(tree, file))
        if code is None:
            continue
        if at + len(code) > MAX_TOTAL_BYTES:
            break
        index[file] = (at, len(code))
        codes.append(code)
        at += len(code)
    if codes:
        sys.stdout.buffer.write(f"{prepared_tag()}/{PACK_FILE}\n".encode() + pack(index, codes))


def modules_of(tree: str) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, name), tree)
        for folder, _, names in os.walk(tree)
        for name in names
        if name.endswith(".py")
    )


def compiled(path: str) -> "bytes | None":
    try:
        if os.path.islink(path) or os.path.getsize(path) > MAX_SOURCE_BYTES:
            return None
        with open(path, "rb") as source:
            return marshal.dumps(compile(source.read(), path, "exec", dont_inherit=True))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        # a template, another Python's, a test of broken code: its own import will say so
        return None


main(sys.argv[1])
