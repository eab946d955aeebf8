#!/bin/sh
# build.sh OUTPUT: the mount helper, static, with nothing but a C compiler
set -eu
exec "${CC:-cc}" -std=c11 -O2 -static -Wall -Wextra -Werror -o "$1" "$(dirname "$0")/mount-helper.c"
