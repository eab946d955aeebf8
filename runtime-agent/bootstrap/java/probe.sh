#!/bin/sh
# Says which Java is here, or what is missing.
case $0 in */*) here=$(cd "${0%/*}" && pwd) ;; *) here=$(pwd) ;; esac
. "$here/find-java.sh"
missing=
find_java
if [ -z "$missing" ] && ! [ -x "$java_home/bin/javac" ] && ! ls "${WARMPOOL_JAVA_CACHE:-$here/prepared}"/java-"$java_version"-*/complete >/dev/null 2>&1; then
  missing="javac not found in $java_home: the agent is compiled once, install the JDK"
fi
if [ -n "$missing" ]; then
  echo "$missing" >&2
  exit 1
fi
echo "Java $java_version at $java"
