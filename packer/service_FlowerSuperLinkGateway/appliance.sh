# shellcheck shell=bash disable=SC2034
# The gateway of a zone and Flower's SuperLink in one VM: the programs of both, the units of both.
# Run by one-apps' /etc/one-appliance/service, which reads the ONE_SERVICE_* variables.
# shellcheck source=packer/base/zonemesh.sh
. "${ZONEMESH_LIB:-/etc/one-appliance/lib/zonemesh.sh}"

ONE_SERVICE_NAME='Flower SuperLink and Zonemesh gateway'
ONE_SERVICE_VERSION='0.3.0'
ONE_SERVICE_BUILD="$(date +%s)"
ONE_SERVICE_SHORT_DESCRIPTION='Flower SuperLink and Zonemesh gateway'
ONE_SERVICE_DESCRIPTION='The gateway of a zone, and a Flower SuperLink that SuperNodes of other OpenNebula zones find through it.'
ONE_SERVICE_RECONFIGURABLE=true

# name, stage, description, user input
ONE_SERVICE_PARAMS=(
    'ONEAPP_ZONEMESH_FEDERATION' 'configure' 'Name of the federation' 'M|text'
    'ONEAPP_ZONEMESH_TOKEN' 'configure' 'Token of this VM (zonemesh key generate token)' 'O|password'
    'ONEAPP_ZONEMESH_ADDRESS' 'configure' 'Address of this VM in its zone (empty: ETH0_IP)' 'O|text'
    'ONEAPP_ZONEMESH_IDENTITY' 'configure' 'onegate: the gateway is shown the OneGate token of this VM' 'O|text'
    'ONEAPP_FLOWER_VERSION' 'configure' 'Version of Flower that must be installed (empty: any)' 'O|text'
    'ONEAPP_ZONEMESH_INVITATION' 'configure' 'Invitation of this zone; in the founding zone its founding bundle' 'O|password'
    'ONEAPP_ZONEMESH_ENDPOINT' 'configure' 'Where other zones reach this gateway (empty: a public address of a NIC)' 'O|text'
    'ONEAPP_ZONEMESH_LISTEN' 'configure' 'Where the local API listens (empty: the address in the zone)' 'O|text'
    'ONEAPP_ZONEMESH_CONFIG' 'configure' 'Instead of the other three: all of zonemesh.toml' 'O|text64'
)

service_install() {
    zonemesh_install_packages iproute2
    zonemesh_install_flower zonemesh-superlink
}

# The gateway writes its configuration: after the SuperLink has judged the same settings. By the last
# of these both programs know that they share a VM, and so a READY.
service_configure() {
    export ONEAPP_ZONEMESH_FLOWER_USER="${ONEAPP_ZONEMESH_FLOWER_USER:-flower}"
    export ONEAPP_ZONEMESH_GATEWAY_STATUS="${ONEAPP_ZONEMESH_GATEWAY_STATUS:-/run/zonemesh-gateway/status.json}"
    zonemesh_configure zonemesh-superlink plan zonemesh-gateway configure
}

service_bootstrap() {
    zonemesh_superlink_forgets
    zonemesh_start zonemeshd.service zonemesh-gateway.service zonemesh-superlink.service
    zonemesh_gateway_runs
    zonemesh_superlink_runs
    zonemesh_superlink_lines
    zonemesh_report 'Zonemesh gateway' "${ZONEMESH_GATEWAY_LINES[@]}"
    zonemesh_report_more 'Flower SuperLink' "${ZONEMESH_SUPERLINK_LINES[@]}"
}

service_cleanup() {
    :
}
