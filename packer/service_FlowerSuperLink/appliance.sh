# shellcheck shell=bash disable=SC2034
# Flower's SuperLink: zonemesh-superlink registers it, certifies it and starts it.
# Run by one-apps' /etc/one-appliance/service, which reads the ONE_SERVICE_* variables.
# shellcheck source=packer/base/zonemesh.sh
. "${ZONEMESH_LIB:-/etc/one-appliance/lib/zonemesh.sh}"

ONE_SERVICE_NAME='Flower SuperLink'
ONE_SERVICE_VERSION='0.1.0'
ONE_SERVICE_BUILD="$(date +%s)"
ONE_SERVICE_SHORT_DESCRIPTION='Flower SuperLink'
ONE_SERVICE_DESCRIPTION='A Flower SuperLink that SuperNodes of other OpenNebula zones find through Zonemesh.'
ONE_SERVICE_RECONFIGURABLE=true

# name, stage, description, user input
ONE_SERVICE_PARAMS=(
    'ONEAPP_ZONEMESH_FEDERATION' 'configure' 'Name of the federation' 'M|text'
    'ONEAPP_ZONEMESH_GATEWAY' 'configure' 'IP:PORT of the local API of the gateway; without it OneGate is asked' 'O|text'
    'ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT' 'configure' 'Fingerprint of the local API of the gateway; without it OneGate is asked' 'O|text'
    'ONEAPP_ZONEMESH_TOKEN' 'configure' 'Bootstrap token that the gateway knows the hash of' 'M|password'
    'ONEAPP_ZONEMESH_ADDRESS' 'configure' 'Address of this VM in its zone; without it ETH0_IP' 'O|text'
)

service_install() {
    zonemesh_install_flower 1.25.0
}

service_configure() {
    export ONEAPP_ZONEMESH_FLOWER_USER="${ONEAPP_ZONEMESH_FLOWER_USER:-flower}"
    zonemesh_configure zonemesh-superlink
}

# The port opens after the gateway has signed. The gateway may come later: then the companion waits
# for it, and it is the companion that tells OneGate READY.
service_bootstrap() {
    local address="${ONEAPP_ZONEMESH_ADDRESS:-${ETH0_IP:?}}"
    zonemesh_start zonemesh-superlink.service
    if zonemesh_until 300 superlink_answers "$address" 2>/dev/null; then
        msg info "the SuperLink answers"
    else
        zonemesh_wait 60 "the companion runs" systemctl is-active --quiet zonemesh-superlink.service
        msg info "the SuperLink does not answer yet: the companion waits, and journalctl -u zonemesh-superlink says for what"
    fi
    zonemesh_report 'Flower SuperLink' "federation=$ONEAPP_ZONEMESH_FEDERATION" \
        "supernodes=$address:${ONEAPP_ZONEMESH_FLEET_PORT:-9092}" \
        "flwr_run=$address:${ONEAPP_ZONEMESH_CONTROL_PORT:-9093}" \
        'log=journalctl -u zonemesh-superlink'
}

service_cleanup() {
    :
}

# superlink_answers ADDRESS
superlink_answers() {
    # shellcheck disable=SC2016 # the inner shell expands it
    timeout 3 bash -c ': <"/dev/tcp/$0/$1"' "$1" "${ONEAPP_ZONEMESH_FLEET_PORT:-9092}"
}
