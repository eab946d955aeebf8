#!/bin/sh
# Outlives the supervisor by a moment: kills every process group that is still listed once the pipe on stdin closes, however the
# supervisor ended, and removes the run directory. Lines: "+<pgid>" and "-<pgid>".
run_dir=$1
trap '' HUP INT TERM

groups=' '
while read -r line; do
  group=${line#?}
  case $group in '' | *[!0-9]*) continue ;; esac
  case $line in
    +*) groups="$groups$group " ;;
    -*) case $groups in *" $group "*) groups="${groups%% "$group" *} ${groups#* "$group" }" ;; esac ;;
  esac
done

for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done

case $run_dir in
  */warmpool-*)
    # a process may be in the middle of writing a file when it is killed
    for attempt in 1 2 3 4 5; do
      rm -rf -- "$run_dir" 2>/dev/null && break
      find "$run_dir" -type d -exec chmod u+rwx {} + 2>/dev/null
      sleep 0.1
    done
    ;;
esac
