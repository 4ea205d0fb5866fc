# shellcheck shell=bash
# What the three appliance.sh have in common. Sourced by them, inside one-apps' service script:
# bash, `set -e`, umask 0077, each stage a process of its own, CONTEXT exported to the environment.

ZONEMESH_ETC="${ZONEMESH_ETC:-/etc/zonemesh}"
ZONEMESH_ONE_ENV="${ZONEMESH_ONE_ENV:-/var/run/one-context/one_env}"

# zonemesh_fail TEXT: the last thing of a stage. one-apps' `msg error` itself returns 1, which ends a
# stage under `set -e`: whatever must still be cleaned up comes before.
zonemesh_fail() {
    msg error "$1" || :
    return 1
}

# zonemesh_judge COMMAND...: fills in ZONEMESH_VERDICT from the exit code (docs/REFERENCE.md). Only
# what our programs call a refusal is one: a program that was killed, or failed otherwise, has judged
# nothing and is asked again.
zonemesh_judge() {
    local code tried
    for tried in 1 2 3; do
        code=0
        "$@" || code=$?
        case "$code" in
        0) ZONEMESH_VERDICT="good" ;;
        2 | 4 | 6 | 7) ZONEMESH_VERDICT="refused" ;;
        10) ZONEMESH_VERDICT="not yet" ;;
        *)
            ZONEMESH_VERDICT="none, exit code $code"
            [ "$tried" = 3 ] || sleep 2
            continue
            ;;
        esac
        return 0
    done
}

# zonemesh_install_packages NAME...
zonemesh_install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get install -y --no-install-recommends "$@"
    apt-get clean
}

# zonemesh_install_flower VERSION: Flower in /opt/flower; the package has made its user.
zonemesh_install_flower() {
    zonemesh_install_packages ca-certificates curl jq python3 python3-venv
    (
        # The service stages run with umask 0077, but Flower's user must read its programs.
        umask 0022
        python3 -m venv /opt/flower
        /opt/flower/bin/pip install --no-cache-dir "flwr==$1"
    )
}

# zonemesh_token: this VM's OneGate token. It is not in the environment, only in one_env, which is
# read and never sourced: its values are not quoted safely.
zonemesh_token() {
    [ -r "$ZONEMESH_ONE_ENV" ] || return 0
    sed -n 's/^export TOKENTXT="\(.*\)"$/\1/p' "$ZONEMESH_ONE_ENV"
}

# zonemesh_configure COMPANION COMMAND: settings that the companion refuses never replace good ones.
# What is not there yet, or cannot be judged now, is the companion's to wait for: it tries for ever. It
# is the companion, too, that asks OneGate for whatever CONTEXT does not say.
zonemesh_configure() {
    local file="$ZONEMESH_ETC/context.sh"
    zonemesh_write_context "$file.new"
    zonemesh_judge "$1" "$2" --context "$file.new"
    if [ "$ZONEMESH_VERDICT" = refused ]; then
        rm -f "$file.new"
        zonemesh_fail "$1 refuses the CONTEXT of this VM: correct it and reboot"
        return 1
    fi
    if [ "$ZONEMESH_VERDICT" != good ]; then
        msg info "$1 $2: $ZONEMESH_VERDICT; it is started all the same, and waits"
    fi
    mv "$file.new" "$file"
}

# zonemesh_write_context FILE: the companion's settings in context.sh's own grammar, 0600.
zonemesh_write_context() {
    local name text="" value quote="'\\''"
    # shellcheck disable=SC2034 # read by its name, below
    TOKENTXT="$(zonemesh_token)"
    for name in ${!ONEAPP_ZONEMESH_*} ${!ONEAPP_FL_*} ${!ONEAPP_FLOWER_*} ${!ONEAPP_ML_*} ${!ONEAPP_WG_*} \
        ${!ETH*} ONEGATE_ENDPOINT VMID TOKENTXT; do
        value="${!name:-}"
        [ -n "$value" ] || continue
        text+="$name='${value//\'/"$quote"}'"$'\n'
    done
    install -d -m 0755 "$(dirname "$1")"
    install -m 0600 /dev/stdin "$1" <<<"$text"
}

# zonemesh_start UNIT: never `After=one-context`, never a blocking start: see configs/*.service.
zonemesh_start() {
    zonemesh_wait 30 "systemd starts $1" zonemesh_restart "$1"
}

# zonemesh_restart UNIT: early in the boot systemd may be too busy to answer.
zonemesh_restart() {
    systemctl daemon-reload && systemctl enable "$1" && systemctl restart --no-block "$1"
}

# zonemesh_until SECONDS COMMAND...: until the command succeeds; fails if it does not in that time.
zonemesh_until() {
    local left="$1"
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}

# zonemesh_wait SECONDS WHAT COMMAND...: the same, said.
zonemesh_wait() {
    local seconds="$1" what="$2"
    shift 2
    if ! zonemesh_until "$seconds" "$@" >/dev/null 2>&1; then
        zonemesh_fail "$what: not after $seconds s; see journalctl -u 'zonemesh*'"
        return 1
    fi
    msg info "$what: yes"
}

# zonemesh_report SECTION KEY=VALUE...: the report that one-apps shows to the administrator.
zonemesh_report() {
    local pair
    {
        printf '[%s]\n' "$1"
        shift
        for pair in "$@"; do
            printf '%s = %s\n' "${pair%%=*}" "${pair#*=}"
        done
    } >"$ONE_SERVICE_REPORT"
    chmod 0600 "$ONE_SERVICE_REPORT"
}
