#!/bin/sh
# Removes the cgroups and the files of a node whose processes have ended.
run=$1
case $run in */warmpool-cluster-*) ;; *) exit 2 ;; esac

for attempt in 1 2 3 4 5 6 7 8 9 10; do
  left=
  while read -r group; do
    [ -d "$group" ] || continue
    find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
    [ -d "$group" ] && left=$group
  done <"$run/cgroups"
  [ -z "$left" ] && break
  sleep 0.2
done
[ -e "$run/keep" ] || rm -rf -- "$run"
