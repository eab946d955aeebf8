# Sets `prepared`: the folder with the agent's jar, the functions of the rehearsal and the archive of their loaded classes, made with
# the JDK on first use. It is named after the sources and the JVM, so that a change of either makes a new one.

prepare() {
  key=$(cat "$here"/src/dev/warmpool/runtime/*.java "$here/rehearsal/Rehearsal.java" "$here"/*.sh "$java_home/release" 2>/dev/null |
    { sha256sum 2>/dev/null || shasum -a 256; })
  key=java-$java_version-$(printf %.16s "$key")
  prepared=${WARMPOOL_JAVA_CACHE:-$here/prepared}/$key
  [ -e "$prepared/complete" ] && return
  mkdir -p "${prepared%/*}" 2>/dev/null || refuse "${prepared%/*} cannot be written; set WARMPOOL_JAVA_CACHE to a folder that can"
  # javac and jar; an image's build has them elsewhere, so that the image itself needs no JDK
  tools=${WARMPOOL_JAVA_TOOLS:-$java_home/bin}
  if ! [ -x "$tools/javac" ]; then
    refuse "$tools has no javac, which is needed once to compile the agent: install the JDK, or run prepare in the image's build"
  fi
  # several processes may be started at once; the others wait for the first, and take over when it died
  waited=0
  while ! mkdir "$prepared.lock" 2>/dev/null; do
    [ -e "$prepared/complete" ] && return
    waited=$((waited + 1))
    holder=$(cat "$prepared.lock/pid" 2>/dev/null) || holder=
    if [ "$waited" -gt 600 ] || { [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; }; then
      rm -rf "$prepared.lock"
    fi
    sleep 0.1
  done
  echo $$ >"$prepared.lock/pid"
  trap 'rm -rf "$prepared.lock"' EXIT
  [ -e "$prepared/complete" ] || make_prepared
  rm -rf "$prepared.lock"
  trap - EXIT
}

make_prepared() {
  rm -rf "$prepared"
  mkdir -p "$prepared/agent" "$prepared/rehearsal/classes" "$prepared/rehearsal/jar" "$prepared/run/cwd"
  # concatenations as plain code: each method handle of them would be linked, interpreted and compiled in every process
  run_tool javac -encoding UTF-8 -nowarn -XDignore.symbol.file -XDstringConcat=inline -d "$prepared/agent" "$here"/src/dev/warmpool/runtime/*.java
  run_tool javac -encoding UTF-8 -nowarn -d "$prepared/rehearsal/classes" "$here/rehearsal/Rehearsal.java"
  run_tool jar --create --file "$prepared/rehearsal/jar/rehearsal.jar" -C "$prepared/rehearsal/classes" .
  printf '%s\n' 'Main-Class: dev.warmpool.runtime.Main' \
    'Add-Opens: java.base/java.lang java.base/java.io java.base/sun.nio.fs' >"$prepared/run/manifest"
  run_tool jar --create --file "$prepared/agent.jar" --manifest "$prepared/run/manifest" -C "$prepared/agent" .
  rm -rf "$prepared/agent"
  # the archive is only used with a jar of the time that it has now
  [ -z "${SOURCE_DATE_EPOCH:-}" ] || touch -d "@$SOURCE_DATE_EPOCH" "$prepared/agent.jar"
  # without the archive everything works, only slower
  cd "$prepared/run/cwd"
  "$java" $flags -XX:ArchiveClassesAtExit="$prepared/agent.jsa" -Xlog:disable -Xlog:all=off -jar "$prepared/agent.jar" archive 3<<SETTINGS ||
WARMPOOL_SOCKET=$prepared/run/agent.sock
WARMPOOL_HOST=127.0.0.1
WARMPOOL_PORT=1
WARMPOOL_RUNTIME_NAME=java
WARMPOOL_RUNTIME_VERSION=$java_version
SETTINGS
    echo "no class archive could be made with $java" >&2
  cd "$here"
  rm -rf "$prepared/run"
  : >"$prepared/complete"
}

run_tool() {
  tool=$1
  shift
  "$tools/$tool" -J-XX:TieredStopAtLevel=1 -J-XX:+UseSerialGC "$@" >&2 || refuse "$tool failed"
}

refuse() {
  echo "the Java runtime cannot be prepared: $1" >&2
  exit 1
}
