# shellcheck shell=bash disable=SC2034
# The gateway of a zone: zonemeshd from the image, its configuration from CONTEXT.
# Run by one-apps' /etc/one-appliance/service, which reads the ONE_SERVICE_* variables.
# shellcheck source=packer/base/zonemesh.sh
. "${ZONEMESH_LIB:-/etc/one-appliance/lib/zonemesh.sh}"

ONE_SERVICE_NAME='Zonemesh gateway'
ONE_SERVICE_VERSION='0.2.0'
ONE_SERVICE_BUILD="$(date +%s)"
ONE_SERVICE_SHORT_DESCRIPTION='Zonemesh gateway'
ONE_SERVICE_DESCRIPTION='Joins the network of this zone to other OpenNebula zones: WireGuard tunnels and the mesh registry.'
ONE_SERVICE_RECONFIGURABLE=true

# name, stage, description, user input
ONE_SERVICE_PARAMS=(
    'ONEAPP_ZONEMESH_CONFIG' 'configure' 'Configuration of zonemeshd: zonemesh.toml in base64' 'M|text64'
    'ONEAPP_ZONEMESH_FOUNDING' 'configure' 'Founding bundle of the mesh, for the founder alone' 'O|password'
    'ONEAPP_ZONEMESH_INVITATION' 'configure' 'Invitation into the mesh' 'O|password'
)

ZONEMESH_TOML="$ZONEMESH_ETC/zonemesh.toml"

service_install() {
    zonemesh_install_packages ca-certificates iproute2 openssl
}

# A wrong configuration never replaces a good one.
service_configure() {
    install -d -m 0755 "$ZONEMESH_ETC"
    if [ -z "${ONEAPP_ZONEMESH_CONFIG:-}" ] && [ -s "$ZONEMESH_TOML" ]; then
        msg info "CONTEXT has no ONEAPP_ZONEMESH_CONFIG: $ZONEMESH_TOML stays"
        return 0
    fi
    if ! base64 -d <<<"${ONEAPP_ZONEMESH_CONFIG:-}" >"$ZONEMESH_TOML.new"; then
        rm -f "$ZONEMESH_TOML.new"
        zonemesh_fail "ONEAPP_ZONEMESH_CONFIG is not base64: encode zonemesh.toml with base64 -w0"
        return 1
    fi
    zonemesh_judge zonemesh config check "$ZONEMESH_TOML.new"
    if [ "$ZONEMESH_VERDICT" != good ]; then
        rm -f "$ZONEMESH_TOML.new"
        zonemesh_fail "zonemesh config check ONEAPP_ZONEMESH_CONFIG: $ZONEMESH_VERDICT; the configuration before it stays"
        return 1
    fi
    mv "$ZONEMESH_TOML.new" "$ZONEMESH_TOML"
}

service_bootstrap() {
    zonemesh_start zonemeshd.service
    zonemesh_wait 120 "zonemeshd answers" gateway_answers
    gateway_found
    gateway_join
    local listen
    listen="$(gateway_listen)"
    if [ -n "$listen" ]; then
        zonemesh_wait 60 "the local API answers" gateway_shows_a_certificate "$listen"
        gateway_publish "$listen"
    fi
    zonemesh_report 'Zonemesh gateway' "local_api=$listen" 'token=zonemesh key generate token' \
        'status=zonemesh status' 'log=journalctl -u zonemeshd'
}

service_cleanup() {
    :
}

# The same bundle may be given at each boot.
gateway_found() {
    [ -n "${ONEAPP_ZONEMESH_FOUNDING:-}" ] || return 0
    zonemesh mesh found - <<<"$ONEAPP_ZONEMESH_FOUNDING" ||
        zonemesh_fail "zonemesh mesh found refuses ONEAPP_ZONEMESH_FOUNDING"
}

# The inviter may come later than this VM: joining goes on beside everything else until it is done, or
# the invitation cannot be used. It is no argument, which all users could read.
gateway_join() {
    [ -n "${ONEAPP_ZONEMESH_INVITATION:-}" ] || return 0
    local file="$ZONEMESH_ETC/invitation"
    install -m 0600 /dev/stdin "$file" <<<"$ONEAPP_ZONEMESH_INVITATION"
    systemctl stop zonemesh-join.service 2>/dev/null || true
    systemd-run --unit zonemesh-join --collect --property Restart=on-failure \
        --property RestartSec=30 --property "RestartPreventExitStatus=2 4 6 7" \
        zonemesh zone join "$file" ||
        zonemesh_fail "systemd does not start zonemesh zone join"
}

# Exit code 1 means degraded: peers that are not up yet are none of this VM's faults.
gateway_answers() {
    local code=0
    zonemesh status || code=$?
    [ "$code" -le 1 ]
}

# The local API's address as VMs reach it; empty if the configuration has none.
gateway_listen() {
    local listen
    listen="$(sed -n '/^\[local_api\]/,/^\[/s/^listen *= *"\([^"]*\)".*/\1/p' "$ZONEMESH_TOML")"
    case "$listen" in
    0.0.0.0:* | '[::]:'*) printf '%s:%s\n' "${ETH0_IP:?}" "${listen##*:}" ;;
    *) printf '%s\n' "$listen" ;;
    esac
}

# gateway_shows_a_certificate ADDRESS: whether the local API serves there.
gateway_shows_a_certificate() {
    openssl s_client -connect "$1" </dev/null 2>/dev/null | openssl x509 -noout 2>/dev/null || {
        zonemesh_fail "the local API at $1 shows no certificate"
        return 1
    }
}

# gateway_publish ADDRESS: for the other roles of this OneFlow service, as a hint.
gateway_publish() {
    if [ -z "${ONEGATE_ENDPOINT:-}" ]; then
        msg info "this VM has no OneGate (TOKEN=YES): give $1 to the other VMs by hand"
        return 0
    fi
    local attribute
    attribute="$ZONEMESH_PUBLISHED=$(printf '%s' "$1" | base64 -w0)"
    if ! zonemesh_until 60 onegate vm update --data "$attribute"; then
        zonemesh_fail "OneGate does not take where this gateway is"
        return 1
    fi
}
