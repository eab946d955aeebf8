#!/bin/sh
# usage: enter.sh <run folder> <command...>: runs the command in the test node
run=$1
shift
read -r holder _ <"$run/holder"
exec "$(dirname "$0")/join-cgroups.sh" "$run" nsenter --target "$holder" --mount --net --pid --cgroup -- "$@"
