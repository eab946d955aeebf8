#!/bin/sh
# The first process of a test node: makes its mounts, then waits for fd 3 to close. Its end is the end of every process in the node.
set -e
run=$1

mount --make-rprivate /
hierarchies=$(awk '$(NF-2) == "cgroup" || $(NF-2) == "cgroup2" { print $5, $(NF-2), $NF }' /proc/self/mountinfo)
while read -r hierarchy type options; do
  # the cgroup namespace makes the node's own group the root of each
  umount "$hierarchy"
  case $type in
    cgroup) mount -t cgroup -o "${options#rw,}" cgroup "$hierarchy" ;;
    *)
      mount -t cgroup2 cgroup2 "$hierarchy"
      [ -e "$hierarchy/cpu.weight" ] || continue
      # a group whose children are limited has no processes itself, not even a subshell of this one
      echo $$ >"$hierarchy/system/cgroup.procs"
      for controller in $(cat "$hierarchy/cgroup.controllers"); do echo "+$controller" >"$hierarchy/cgroup.subtree_control"; done
      # what the kubelet makes of 2048 and of 1024 shares
      for slice in control-plane:79 system:39; do
        echo "${slice#*:}" >"$hierarchy/${slice%:*}/cpu.weight"
      done
      ;;
  esac
done <<END
$hierarchies
END
mount -t tmpfs -o mode=755 tmpfs /run
for folder in lib log; do
  mkdir -p "$run/var/$folder"
  mount --bind "$run/var/$folder" "/var/$folder"
done
mkdir -p /var/log/pods /var/log/containers
# pods see mounts that are made after they started
mount --make-rshared /
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables

echo ready
# `wait` also reaps what was left without a parent
cat <&3 >/dev/null &
wait $!
