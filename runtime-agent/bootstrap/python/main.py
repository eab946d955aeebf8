"""A standby Python process: the agent of docs/runtime-contract.md, and the forked child that will run one function."""

import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
# What an interpreter holds before its first line runs: code of the user cannot hide these names anywhere.
STARTUP_MODULES = frozenset(name.partition(".")[0] for name in sys.modules)

from warmpool_agent.agent.agent import Agent
from warmpool_agent.agent.fork_child import fork_child
from warmpool_agent.agent.lifecycle import now_unix_ms
from warmpool_agent.agent.termination import TerminationNote
from warmpool_agent.child.afresh import ARGUMENT as AFRESH, go_on_afresh
from warmpool_agent.config import ConfigError, take_config
from warmpool_agent.pre_import import PreImportError, import_pool_modules, import_standard_modules


def main() -> int:
    try:
        config = take_config(os.environ)
    except ConfigError as error:
        print(f"warmpool: {error}", file=sys.stderr)
        return 2
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder or ".") != FOLDER]
    import_standard_modules()
    try:
        held = import_pool_modules(config.pre_import) if config.pre_import else {}
    except PreImportError as error:
        print(f"warmpool: {error}", file=sys.stderr)
        TerminationNote(config.socket_path, now_unix_ms).write("BootFailed", str(error))
        return 1
    forked = fork_child(FOLDER, STARTUP_MODULES, held, config.container_env)
    return Agent(config, forked, os.path.join(FOLDER, "rehearsal")).run()


if __name__ == "__main__":
    is_afresh = sys.argv[1:2] == [AFRESH]
    if is_afresh:
        sys.exit(go_on_afresh(FOLDER, STARTUP_MODULES, *map(int, sys.argv[2:4])))
    exit_code = main()
    sys.stderr.flush()
    # Nothing is left that a slow ending of the interpreter would be good for.
    os._exit(exit_code)
