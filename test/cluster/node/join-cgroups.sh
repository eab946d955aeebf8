#!/bin/sh
# usage: join-cgroups.sh <run folder> <slice> <command...>: becomes the command, as a member of the node's cgroups, and where a group has
# slices, of this one of them
run=$1
slice=$2
shift 2
while read -r group; do
  if [ -d "$group/$slice" ]; then group=$group/$slice; fi
  echo $$ >"$group/cgroup.procs"
done <"$run/cgroups"
exec "$@"
