#!/bin/sh
# Starts one Java runtime process in the place of this one. With `prepare` it only compiles what is needed, as an image's build does.
set -eu
case $0 in */*) here=$(cd "${0%/*}" && pwd) ;; *) here=$(pwd) ;; esac
. "$here/find-java.sh"
. "$here/prepare.sh"

# A standby process is paid for by its memory: one collector without threads of its own, a heap that begins small, the small compiler
# (it also starts faster), no file in /tmp per process. WARMPOOL_JAVA_OPTIONS come after these and win.
flags='-XX:+UseSerialGC -Xms8m -XX:MaxRAMPercentage=60 -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Xshare:auto -Dfile.encoding=UTF-8'

missing=
find_java
[ -z "$missing" ] || refuse "$missing"
prepare
[ "${1:-}" = prepare ] && exit 0

# The process's first environment can be seen for ever by what it starts, so it holds nothing but what every function may see.
set --
for name in PATH HOME TMPDIR TZ LANG LC_ALL; do
  eval "[ \"\${$name+x}\" ] && set -- \"\$@\" \"$name=\$$name\"" || :
done
# where relative paths lead, by links to the code; WorkingFolder.java says so when there is no place where links are followed
enter_folder() {
  mkdir -p "$1/cwd" 2>/dev/null && cd "$1/cwd" && ln -s . probe || return 1
  if [ -d probe/. ]; then rm probe; else rm probe && return 1; fi
}
if [ -n "${WARMPOOL_SOCKET:-}" ]; then
  # a pod's volume follows none, and has room for few
  enter_folder "${WARMPOOL_SOCKET%/*}" ||
    { elsewhere=$(mktemp -d 2>/dev/null) && enter_folder "$elsewhere"; } || cd "${WARMPOOL_SOCKET%/*}/cwd"
fi
# file names in UTF-8 unless the container wants something else
[ "${LC_ALL+x}${LANG+x}" ] || set -- "$@" LC_CTYPE=C.UTF-8

exec env -i "$@" "$java" $flags ${WARMPOOL_JAVA_OPTIONS:-} -XX:SharedArchiveFile="$prepared/agent.jsa" \
  -jar "$prepared/agent.jar" 3<<SETTINGS
WARMPOOL_SOCKET=${WARMPOOL_SOCKET:-}
WARMPOOL_HOST=${WARMPOOL_HOST:-}
WARMPOOL_PORT=${WARMPOOL_PORT:-}
WARMPOOL_RUNTIME_NAME=${WARMPOOL_RUNTIME_NAME:-}
WARMPOOL_RUNTIME_VERSION=${WARMPOOL_RUNTIME_VERSION:-}
WARMPOOL_PRE_IMPORT=${WARMPOOL_PRE_IMPORT:-}
WARMPOOL_REHEARSE=${WARMPOOL_REHEARSE:-}
WARMPOOL_LIFELINE=${WARMPOOL_LIFELINE:-}
WARMPOOL_LOG_BYTES=${WARMPOOL_LOG_BYTES:-}
SETTINGS
