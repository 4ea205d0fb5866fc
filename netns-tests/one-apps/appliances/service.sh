#!/usr/bin/env bash
# Stands in for one-apps' appliances/service.sh (OpenNebula/one-apps, June 2026), where ONE_APPS_DIR
# names no checkout of it. What it copies, the unpleasant first; the test `one_apps::` holds all of it
# against this file, and against the real one where there is one:
#
#   - `msg error` returns 1: under `set -e` the line behind it never runs.
#   - service_cleanup runs from the EXIT trap of every stage, also of one that went well, without
#     `set -e`, and nobody sees what it says on standard error.
#   - a named pipe carries the log to `tee`. What a power cut leaves of it in /var/log makes mknod, and
#     so every later stage, fail.
#   - a stage that finds another one running ends with 0 and does nothing.
#   - configure and bootstrap are processes of their own: no variable survives. umask is 0077.
#   - ONE_SERVICE_RECONFIGURABLE decides whether a second boot does anything: without it configure
#     ends with 1. A bootstrap never follows a configure that failed.
#   - TOKENTXT is in no environment, only in one_env (context-linux/).
#
# Left out, because no appliance of ours touches it: help, the JSON of the context, ONE_SERVICE_SETUP_DIR.
set -e
umask 0077

ONE_SERVICE_DIR=/etc/one-appliance
ONE_SERVICE_LOGDIR=/var/log/one-appliance
ONE_SERVICE_STATUS=$ONE_SERVICE_DIR/status
ONE_SERVICE_REPORT=$ONE_SERVICE_DIR/config
ONE_SERVICE_PIDFILE=/var/run/one-appliance-service.pid
ONE_SERVICE_VERSION=
ONE_SERVICE_RECONFIGURABLE=

. "$ONE_SERVICE_DIR/lib/common.sh"
. "$ONE_SERVICE_DIR/lib/functions.sh"
. "$ONE_SERVICE_DIR/service.d/appliance.sh"

stage=${1-}
case "$stage" in
install | configure | bootstrap) ;;
*)
    msg unknown "BAD USAGE: $*"
    ;;
esac

if other_runs; then
    msg warning "Service script is running already"
    exit 0
fi
# One at a time: this file is the lock, and this process starts anew with it in hand.
if [ "${_SERVICE_LOCK-}" != "$0" ]; then
    exec env _SERVICE_LOCK="$0" flock -xn "$0" "$0" "$@"
fi
trap 'at_exit 2>/dev/null' INT QUIT TERM EXIT
echo $$ >"$ONE_SERVICE_PIDFILE"

may_run "$stage" || exit 0
note "${stage}_started"
mkdir -p "$ONE_SERVICE_LOGDIR"
chmod 0700 "$ONE_SERVICE_LOGDIR"
open_log "$ONE_SERVICE_LOGDIR/$stage.log"
"service_$stage" 2>&1
exec >&3 3>&-
note "${stage}_success"
exit 0
