#!/bin/sh
# usage: enter.sh <run folder> <slice> <command...>: runs the command in the test node; slices are made in supervise.sh
run=$1
slice=$2
shift 2
read -r holder _ <"$run/holder"
exec "$(dirname "$0")/join-cgroups.sh" "$run" "$slice" nsenter --target "$holder" --mount --net --pid --cgroup -- "$@"
