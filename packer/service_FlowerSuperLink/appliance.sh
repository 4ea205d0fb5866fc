# shellcheck shell=bash disable=SC2034
# Flower's SuperLink: zonemesh-superlink registers it, certifies it and starts it.
# Run by one-apps' /etc/one-appliance/service, which reads the ONE_SERVICE_* variables.
# shellcheck source=packer/base/zonemesh.sh
. "${ZONEMESH_LIB:-/etc/one-appliance/lib/zonemesh.sh}"

ONE_SERVICE_NAME='Flower SuperLink'
ONE_SERVICE_VERSION='0.3.0'
ONE_SERVICE_BUILD="$(date +%s)"
ONE_SERVICE_SHORT_DESCRIPTION='Flower SuperLink'
ONE_SERVICE_DESCRIPTION='A Flower SuperLink that SuperNodes of other OpenNebula zones find through Zonemesh.'
ONE_SERVICE_RECONFIGURABLE=true

# name, stage, description, user input
ONE_SERVICE_PARAMS=(
    'ONEAPP_ZONEMESH_FEDERATION' 'configure' 'Name of the federation' 'M|text'
    'ONEAPP_ZONEMESH_GATEWAY' 'configure' 'IP:PORT of the local API of the gateway (empty: ask OneGate)' 'O|text'
    'ONEAPP_ZONEMESH_TOKEN' 'configure' 'Token of this VM (zonemesh key generate token)' 'M|password'
    'ONEAPP_ZONEMESH_ADDRESS' 'configure' 'Address of this VM in its zone (empty: ETH0_IP)' 'O|text'
    'ONEAPP_ZONEMESH_IDENTITY' 'configure' 'onegate: the gateway is shown the OneGate token of this VM' 'O|text'
    'ONEAPP_FLOWER_VERSION' 'configure' 'Version of Flower that must be installed (empty: any)' 'O|text'
)

service_install() {
    zonemesh_install_flower zonemesh-superlink
}

service_configure() {
    export ONEAPP_ZONEMESH_FLOWER_USER="${ONEAPP_ZONEMESH_FLOWER_USER:-flower}"
    zonemesh_configure zonemesh-superlink plan
}

# It serves after the gateway has signed. The gateway may come later: then the companion waits for
# it, and it is the companion that tells OneGate READY.
service_bootstrap() {
    # What it says of itself is of its last start.
    zonemesh_goes_on zonemesh-superlink.service || rm -f "$(superlink_status)"
    zonemesh_start zonemesh-superlink.service
    if zonemesh_until 300 superlink_is_ready 2>/dev/null; then
        msg info "the SuperLink is ready"
    else
        zonemesh_wait 60 "the companion runs" systemctl is-active --quiet zonemesh-superlink.service
        msg info "the SuperLink is not ready yet: the companion waits, and journalctl -u zonemesh-superlink says for what"
    fi
    local plan
    # It is printed as well while the gateway is not there, or has something against this VM.
    plan="$(zonemesh-superlink plan --context "$ZONEMESH_ETC/context.sh")" || [ -n "$plan" ] || plan="{}"
    zonemesh_report 'Flower SuperLink' "federation=$ONEAPP_ZONEMESH_FEDERATION" \
        "supernodes=$(superlink_endpoint fleet_port <<<"$plan")" \
        "flwr_run=$(superlink_endpoint control_port <<<"$plan")" \
        'log=journalctl -u zonemesh-superlink'
}

service_cleanup() {
    :
}

# superlink_status: what the companion says about itself.
superlink_status() {
    printf '%s/status.json\n' "${ONEAPP_ZONEMESH_STATE_DIR:-/var/lib/zonemesh-superlink}"
}

superlink_is_ready() {
    jq -e '.state == "ready"' "$(superlink_status)" >/dev/null
}

# superlink_endpoint PORT: ADDRESS:PORT of a plan; which ports there are depends on Flower's version.
superlink_endpoint() {
    jq -r --arg port "$1" '.register | if . then "\(.address):\(.[$port])" else "not known yet" end'
}
