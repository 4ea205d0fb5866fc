# shellcheck shell=bash
# What the appliance.sh have in common. Sourced by them, inside one-apps' service script:
# bash, `set -e`, umask 0077, each stage a process of its own, CONTEXT exported to the environment.

ZONEMESH_ETC="${ZONEMESH_ETC:-/etc/zonemesh}"
ZONEMESH_ONE_ENV="${ZONEMESH_ONE_ENV:-/var/run/one-context/one_env}"

# zonemesh_fail TEXT: the last thing of a stage. one-apps' `msg error` itself returns 1, which ends a
# stage under `set -e`: whatever must still be cleaned up comes before.
zonemesh_fail() {
    msg error "$1" || :
    return 1
}

# zonemesh_after_a_cut: what a power cut or a killed stage has left of one-apps' log pipe would make
# every later stage fail, before a line of ours runs. One that a running stage uses stays.
zonemesh_after_a_cut() {
    local pipe="${ONE_SERVICE_LOGDIR:-/var/log/one-appliance}/one_service_log.pipe" pid=""
    [ -p "$pipe" ] || return 0
    pid="$(cat "${ONE_SERVICE_PIDFILE:-/var/run/one-appliance-service.pid}" 2>/dev/null)" || :
    if [ -z "$pid" ] || ! kill -0 "$pid" 2>/dev/null; then
        rm -f "$pipe"
    fi
}
zonemesh_after_a_cut

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

# zonemesh_apt ARGUMENT...: apt-get that waits for another one, and that fails where it only warns: an
# index that could not be fetched is an old one, and what is installed from it is too.
zonemesh_apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 \
        -o APT::Update::Error-Mode=any "$@"
}

# zonemesh_quiet: the base image's own upgrades begin no more until the next boot, and those that have
# begun end first. `apt-get update` does not wait for their lock.
zonemesh_quiet() {
    systemctl stop apt-daily.timer apt-daily-upgrade.timer 2>/dev/null || :
    zonemesh_wait 900 "no other upgrade runs" zonemesh_has_ended apt-daily apt-daily-upgrade
}

# zonemesh_has_ended UNIT...: a oneshot service is "activating" while it works.
zonemesh_has_ended() {
    local unit
    for unit in "$@"; do
        case "$(systemctl is-active "$unit.service" 2>/dev/null)" in
        active | activating | deactivating | reloading) return 1 ;;
        esac
    done
}

# zonemesh_room MIB: a disk that is full half-way through leaves messages that name everything else.
zonemesh_room() {
    local free
    free="$(df --output=avail --block-size=1M "${ZONEMESH_ROOT:-/}" | tail -n 1 | tr -d ' ')"
    if [ "$free" -lt "$1" ]; then
        zonemesh_fail "$free MiB are free, $1 MiB are needed: give the image a larger disk_size"
        return 1
    fi
}

# zonemesh_install_packages NAME...
zonemesh_install_packages() {
    zonemesh_quiet
    zonemesh_until 6 zonemesh_update || {
        zonemesh_fail "apt-get update: an index cannot be fetched, see above"
        return 1
    }
    zonemesh_apt install -y --no-install-recommends "$@"
    zonemesh_apt clean
}

# zonemesh_update: somebody at a terminal may hold the lock, a mirror may be away for a moment.
zonemesh_update() {
    zonemesh_apt update || { sleep 10 && return 1; }
}

# zonemesh_install_flower PACKAGE: Flower in /opt/flower, exactly the files that were tested, as the
# companion's package lists them; the package has made Flower's user, too.
zonemesh_install_flower() {
    local version="${ZONEMESH_FLOWER_VERSION:-}" lists="${ZONEMESH_SHARE:-/usr/share}/$1/flower"
    [ -n "$version" ] || version="$("$1" flower-version)"
    if ! [ -r "$lists/requirements-$version.txt" ]; then
        zonemesh_fail "Flower $version was not tested; there are: $(cd "$lists" && echo requirements-*)"
        return 1
    fi
    zonemesh_room 1024
    zonemesh_install_packages ca-certificates curl jq python3 python3-venv
    (
        # The service stages run with umask 0077, but Flower's user must read its programs.
        umask 0022
        python3 -m venv "${ZONEMESH_FLOWER:=/opt/flower}"
        "$ZONEMESH_FLOWER/bin/pip" install --no-cache-dir --only-binary :all: --require-hashes \
            -r "$lists/requirements-$version.txt"
        "$ZONEMESH_FLOWER/bin/pip" check
    )
}

# zonemesh_token: this VM's OneGate token. It is not in the environment, only in one_env, which is
# read and never sourced: its values are not quoted safely.
zonemesh_token() {
    [ -r "$ZONEMESH_ONE_ENV" ] || return 0
    sed -n 's/^export TOKENTXT="\(.*\)"$/\1/p' "$ZONEMESH_ONE_ENV"
}

# zonemesh_configure COMPANION COMMAND...: settings that a companion refuses never replace good ones.
# Of two in one VM both must take them: one that writes comes last, and is not asked once another has
# refused. What is not there yet, or cannot be judged now, is the companion's to wait for: it tries for
# ever. It is the companion, too, that asks OneGate for whatever CONTEXT does not say.
zonemesh_configure() {
    local file="$ZONEMESH_ETC/context.sh" toml="$ZONEMESH_ETC/zonemesh.toml" before
    before="$(cksum "$toml" 2>/dev/null)" || :
    zonemesh_write_context "$file.new"
    while [ "$#" -gt 0 ]; do
        zonemesh_judge "$1" "$2" --context "$file.new"
        if [ "$ZONEMESH_VERDICT" = refused ]; then
            rm -f "$file.new"
            zonemesh_fail "$1 refuses the CONTEXT of this VM: correct it and reboot"
            return 1
        fi
        if [ "$ZONEMESH_VERDICT" != good ]; then
            msg info "$1 $2: $ZONEMESH_VERDICT; it is started all the same, and waits"
        fi
        shift 2
    done
    # Said first: a stage that is cut off here restarts too much at the next boot, and never too little.
    if ! cmp -s "$file.new" "$file" || [ "$(cksum "$toml" 2>/dev/null)" != "$before" ]; then
        : >"$file.changed"
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

# zonemesh_start UNIT...: never `After=one-context`, never a blocking start: see configs/*.service.
# Any change of CONTEXT runs the stages again, also one of an SSH key: what runs with the settings that
# there are goes on, and so does what Flower trains.
zonemesh_start() {
    local unit
    for unit in "$@"; do
        if zonemesh_goes_on "$unit"; then
            msg info "$unit runs with these settings, and goes on"
        else
            zonemesh_wait 30 "systemd starts $unit" zonemesh_restart "$unit"
        fi
    done
    rm -f "$ZONEMESH_ETC/context.sh.changed"
}

# zonemesh_goes_on UNIT: it runs, with the settings that there are.
zonemesh_goes_on() {
    ! [ -e "$ZONEMESH_ETC/context.sh.changed" ] && systemctl is-active --quiet "$1"
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
    : >"$ONE_SERVICE_REPORT"
    zonemesh_report_more "$@"
    chmod 0600 "$ONE_SERVICE_REPORT"
}

# zonemesh_report_more SECTION KEY=VALUE...: one section more.
zonemesh_report_more() {
    local pair
    {
        printf '[%s]\n' "$1"
        shift
        for pair in "$@"; do
            printf '%s = %s\n' "${pair%%=*}" "${pair#*=}"
        done
    } >>"$ONE_SERVICE_REPORT"
}

# zonemesh_gateway_runs: that the zone becomes a member, and what OneGate is told, is the companion's:
# it tries for ever.
zonemesh_gateway_runs() {
    zonemesh_wait 120 "the gateway runs" systemctl is-active --quiet zonemeshd.service
    zonemesh_wait 60 "the gateway's companion runs" systemctl is-active --quiet zonemesh-gateway.service
}

# Of the report, the gateway's lines.
# shellcheck disable=SC2034 # read by appliance.sh
ZONEMESH_GATEWAY_LINES=('status=zonemesh status' 'membership=cat /run/zonemesh-gateway/status.json'
    "log=journalctl -u 'zonemesh*'")

# zonemesh_superlink_status: what the SuperLink's companion says about itself.
zonemesh_superlink_status() {
    printf '%s/status.json\n' "${ONEAPP_ZONEMESH_STATE_DIR:-/var/lib/zonemesh-superlink}"
}

# zonemesh_superlink_forgets: what the companion says of itself is of its last start.
zonemesh_superlink_forgets() {
    zonemesh_goes_on zonemesh-superlink.service || rm -f "$(zonemesh_superlink_status)"
}

zonemesh_superlink_is_ready() {
    jq -e '.state == "ready"' "$(zonemesh_superlink_status)" >/dev/null
}

# zonemesh_superlink_runs: it serves after the gateway has signed. The gateway may come later: then the
# companion waits for it, and it is the companion that tells OneGate READY.
zonemesh_superlink_runs() {
    if zonemesh_until 300 zonemesh_superlink_is_ready 2>/dev/null; then
        msg info "the SuperLink is ready"
    else
        zonemesh_wait 60 "the companion runs" systemctl is-active --quiet zonemesh-superlink.service
        msg info "the SuperLink is not ready yet: the companion waits, and journalctl -u zonemesh-superlink says for what"
    fi
}

# zonemesh_superlink_lines: fills in ZONEMESH_SUPERLINK_LINES, of the report the SuperLink's. The plan
# is printed as well while the gateway is not there, or has something against this VM.
zonemesh_superlink_lines() {
    local plan
    plan="$(zonemesh-superlink plan --context "$ZONEMESH_ETC/context.sh")" || [ -n "$plan" ] || plan="{}"
    ZONEMESH_SUPERLINK_LINES=("federation=$ONEAPP_ZONEMESH_FEDERATION"
        "supernodes=$(zonemesh_superlink_endpoint fleet_port <<<"$plan")"
        "flwr_run=$(zonemesh_superlink_endpoint control_port <<<"$plan")"
        'log=journalctl -u zonemesh-superlink')
}

# zonemesh_superlink_endpoint PORT: ADDRESS:PORT of a plan; which ports there are depends on Flower's
# version.
zonemesh_superlink_endpoint() {
    jq -r --arg port "$1" '.register | if . then "\(.address):\(.[$port])" else "not known yet" end'
}
