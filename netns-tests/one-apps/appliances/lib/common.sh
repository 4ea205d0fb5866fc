# shellcheck shell=bash
# Stands in for one-apps' lib/common.sh: what an appliance.sh may call. See ../service.sh.

# msg KIND TEXT...: on standard error, but for info; `error` returns 1, a kind that is none 2.
msg() {
    local kind=$1
    shift
    case "$kind" in
    info) echo "[$(date)] => INFO: $*" ;;
    debug) echo "[$(date)] => DEBUG: $*" >&2 ;;
    warning) echo "[$(date)] => WARNING [!]: $*" >&2 ;;
    error)
        echo "[$(date)] => ERROR [!!]: $*" >&2
        return 1
        ;;
    *)
        echo "[$(date)] => UNKNOWN [?!]: $*" >&2
        return 2
        ;;
    esac
}

# is_true NAME: whether the variable of this name says so.
is_true() {
    case "${!1,,}" in
    1 | true | yes | y) return 0 ;;
    *) return 1 ;;
    esac
}
