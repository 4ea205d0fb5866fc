# shellcheck shell=bash
# Stands in for one-apps' lib/functions.sh: status, lock, log and message of the day. See ../service.sh.

other_runs() {
    [ -f "$ONE_SERVICE_PIDFILE" ] && kill -0 "$(cat "$ONE_SERVICE_PIDFILE")" 2>/dev/null
}

at_exit() {
    set +e
    service_cleanup
    rm -f "${LOG_PIPE-}"
    case "$(status)" in
    *_started) note "${stage}_failure" ;;
    esac
    rm -f "$ONE_SERVICE_PIDFILE"
}

status() {
    [ ! -f "$ONE_SERVICE_STATUS" ] || cat "$ONE_SERVICE_STATUS"
}

# note STATUS: in the status file, and for whoever logs in.
note() {
    echo "$1" >"$ONE_SERVICE_STATUS"
    local said
    case "$1" in
    bootstrap_success) said='All set and ready to serve 8)' ;;
    *_failure) said='APPLIANCE ERROR' ;;
    *_success) said="$1 step was successfull." ;;
    *) said='PLEASE WAIT' ;;
    esac
    printf '\n OpenNebula Service Appliance\n\n %s\n\n' "$said" >/etc/motd
}

# may_run STAGE: 0 if it may, 1 if it has been done and need not; ends with 1 if it must not.
may_run() {
    local before again=${ONE_SERVICE_RECONFIGURABLE-}
    before=$(status)
    case "$1 $before" in
    'install ' | 'configure install_success' | 'bootstrap configure_success') return 0 ;;
    'install install_success')
        msg warning "Installation was already done - skip"
        return 1
        ;;
    'install install_started') note install_failure ;;
    'configure configure_'* | 'configure bootstrap_'* | 'bootstrap bootstrap_'*)
        if is_true again; then
            msg info "Redo $1 of the service"
            return 0
        fi
        case "$1 $before" in
        'configure configure_success' | 'bootstrap bootstrap_success')
            msg warning "$1 was already done - skip"
            return 1
            ;;
        'configure configure_started' | 'bootstrap bootstrap_started') note "${1}_failure" ;;
        esac
        ;;
    esac
    msg error "$1 cannot be run after '$before' - go check: $ONE_SERVICE_STATUS" || :
    exit 1
}

# open_log FILE: standard output goes through a pipe to the file and the screen; it was 3.
open_log() {
    LOG_PIPE=$ONE_SERVICE_LOGDIR/one_service_log.pipe
    mknod "$LOG_PIPE" p
    tee <"$LOG_PIPE" -a "$1" &
    exec 3>&1 >"$LOG_PIPE"
}
