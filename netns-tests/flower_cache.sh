#!/usr/bin/env bash
# Says where Flower's Python environments of this machine are: setup.sh makes them there, and
# crates/lab/src/flower/place.rs finds them.
#
# Root's are for every user, as root's tests run Flower as another one.
set -euo pipefail

if [ -n "${XDG_CACHE_HOME:-}" ]; then
    printf '%s/zonemesh\n' "$XDG_CACHE_HOME"
elif [ "$(id -u)" = 0 ]; then
    printf '/var/cache/zonemesh\n'
else
    printf '%s/.cache/zonemesh\n' "$HOME"
fi
