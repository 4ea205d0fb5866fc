# shellcheck shell=bash
# What the three appliance.sh have in common. Sourced by them, inside one-apps' service script:
# bash, `set -e`, umask 0077, each stage a process of its own, CONTEXT exported to the environment.

ZONEMESH_ETC="${ZONEMESH_ETC:-/etc/zonemesh}"
ZONEMESH_ONE_ENV="${ZONEMESH_ONE_ENV:-/var/run/one-context/one_env}"
# The OneGate attribute in which a gateway says where it is.
ZONEMESH_PUBLISHED="ZONEMESH_GATEWAY"

# zonemesh_install_packages NAME...
zonemesh_install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get install -y --no-install-recommends "$@"
    apt-get clean
}

# zonemesh_install_flower VERSION: Flower in /opt/flower, for a user of its own.
zonemesh_install_flower() {
    zonemesh_install_packages ca-certificates curl jq python3 python3-venv
    id flower >/dev/null 2>&1 ||
        useradd --system --create-home --home-dir /var/lib/flower --shell /usr/sbin/nologin flower
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

# zonemesh_find_gateway: fills in where the gateway is, if CONTEXT does not say, from what the
# gateway role of this OneFlow service published. Both values travel as one base64 word, because
# OneGate's server damages brackets and commas.
zonemesh_find_gateway() {
    if [ -n "${ONEAPP_ZONEMESH_GATEWAY:-}" ] && [ -n "${ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT:-}" ]; then
        return 0
    fi
    local published
    published="$(onegate service show --json --extended | jq -r --arg key "$ZONEMESH_PUBLISHED" '
        [.SERVICE.roles[].nodes[]?.vm_info.VM.USER_TEMPLATE[$key]? // empty] | first // empty')" ||
        published=""
    if [ -z "$published" ]; then
        msg error "no gateway in this service has published itself: set ONEAPP_ZONEMESH_GATEWAY and ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT"
        return 1
    fi
    read -r ONEAPP_ZONEMESH_GATEWAY ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT \
        < <(base64 -d <<<"$published"; echo)
    msg info "gateway $ONEAPP_ZONEMESH_GATEWAY, published by OneGate"
}

# zonemesh_configure COMPANION: settings that the companion refuses never replace good ones.
zonemesh_configure() {
    local file="$ZONEMESH_ETC/context.sh"
    zonemesh_find_gateway
    zonemesh_write_context "$file.new"
    if ! "$1" plan --context "$file.new"; then
        msg error "$1 refuses the CONTEXT of this VM: correct it and reboot"
        rm -f "$file.new"
        return 1
    fi
    mv "$file.new" "$file"
}

# zonemesh_write_context FILE: the companion's settings in context.sh's own grammar, 0600.
zonemesh_write_context() {
    local name text="" value quote="'\\''"
    # shellcheck disable=SC2034 # read by its name, below
    TOKENTXT="$(zonemesh_token)"
    for name in ${!ONEAPP_ZONEMESH_*} ETH0_IP ONEGATE_ENDPOINT VMID TOKENTXT; do
        value="${!name:-}"
        [ -n "$value" ] || continue
        text+="$name='${value//\'/"$quote"}'"$'\n'
    done
    install -d -m 0755 "$(dirname "$1")"
    install -m 0600 /dev/stdin "$1" <<<"$text"
}

# zonemesh_start UNIT: never `After=one-context`, never a blocking start: see configs/*.service.
zonemesh_start() {
    systemctl daemon-reload
    systemctl enable "$1"
    systemctl restart --no-block "$1"
}

# zonemesh_wait SECONDS WHAT COMMAND...: until the command succeeds.
zonemesh_wait() {
    local left="$1" what="$2"
    shift 2
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        if [ "$left" -le 0 ]; then
            msg error "$what: not yet after the time given; see journalctl -u 'zonemesh*'"
            return 1
        fi
        sleep 1
    done
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
