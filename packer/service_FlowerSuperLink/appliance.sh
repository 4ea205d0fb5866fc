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
    'ONEAPP_ZONEMESH_TOKEN' 'configure' 'Token of this VM (zonemesh key generate token)' 'O|password'
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

service_bootstrap() {
    zonemesh_superlink_forgets
    zonemesh_start zonemesh-superlink.service
    zonemesh_superlink_runs
    zonemesh_superlink_lines
    zonemesh_report 'Flower SuperLink' "${ZONEMESH_SUPERLINK_LINES[@]}"
}

service_cleanup() {
    :
}
