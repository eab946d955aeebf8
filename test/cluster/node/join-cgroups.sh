#!/bin/sh
# usage: join-cgroups.sh <run folder> <command...>: becomes the command, as a member of the node's cgroups
run=$1
shift
while read -r group; do echo $$ >"$group/cgroup.procs"; done <"$run/cgroups"
exec "$@"
