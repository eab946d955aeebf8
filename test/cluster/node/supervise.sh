#!/bin/sh
# One test node in namespaces of its own: processes, mounts, network and cgroups. Lives until stdin closes, however the test ends, and
# then nothing is left: the kernel ends every process, mount and interface with the namespaces, and this script removes the rest.
# usage: supervise.sh <run folder>; the run folder's name names the cgroups
run=$1
here=$(dirname "$0")
trap '' HUP INT TERM

start_time() { sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 20; }
echo "$$ $(start_time $$)" >"$run/supervisor"

awk '$(NF-2) == "cgroup" || $(NF-2) == "cgroup2" { print $5 }' /proc/self/mountinfo | while read -r hierarchy; do
  group=$hierarchy/${run##*/}
  # of cgroup v2; with v1 there is no such file, and beside v1 it is empty
  for controller in $(cat "$hierarchy/cgroup.controllers" 2>/dev/null); do
    echo "+$controller" >"$hierarchy/cgroup.subtree_control"
  done
  mkdir "$group"
  for file in cpuset.cpus cpuset.mems; do
    if [ -e "$group/$file" ] && [ -e "$hierarchy/$file" ]; then cat "$hierarchy/$file" >"$group/$file"; fi
  done
  echo "$group" >>"$run/cgroups"
  # Processor time as real nodes share it out: pods twice as much as the node's own programs, and a control plane that is elsewhere.
  # In one group with them, every thread of a program weighs as much as all pods together. Pods are in kubepods, which the kubelet
  # makes and gives 1024 for each processor. With v2, hold.sh gives these groups their weights.
  if [ -e "$group/cpu.shares" ] || [ -e "$group/cpu.weight" ]; then
    for slice in control-plane:2048 system:1024; do
      mkdir "$group/${slice%:*}"
      if [ -e "$group/cpu.shares" ]; then echo "${slice#*:}" >"$group/${slice%:*}/cpu.shares"; fi
    done
  fi
done

exec 3<&0
# in no slice: the group it is in becomes the root that programs and pods see
unshare --mount --net --pid --fork --kill-child --mount-proc \
  "$here/join-cgroups.sh" "$run" . unshare --cgroup "$here/hold.sh" "$run"
"$here/remove.sh" "$run"
