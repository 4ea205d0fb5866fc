# shellcheck shell=bash disable=SC2034
# The gateway of a zone: zonemeshd from the image, its configuration from CONTEXT.
# Run by one-apps' /etc/one-appliance/service, which reads the ONE_SERVICE_* variables.
# shellcheck source=packer/base/zonemesh.sh
. "${ZONEMESH_LIB:-/etc/one-appliance/lib/zonemesh.sh}"

ONE_SERVICE_NAME='Zonemesh gateway'
ONE_SERVICE_VERSION='0.3.0'
ONE_SERVICE_BUILD="$(date +%s)"
ONE_SERVICE_SHORT_DESCRIPTION='Zonemesh gateway'
ONE_SERVICE_DESCRIPTION='Joins the network of this zone to other OpenNebula zones: WireGuard tunnels and the mesh registry.'
ONE_SERVICE_RECONFIGURABLE=true

# name, stage, description, user input
ONE_SERVICE_PARAMS=(
    'ONEAPP_ZONEMESH_INVITATION' 'configure' 'Invitation of this zone; in the founding zone its founding bundle' 'O|password'
    'ONEAPP_ZONEMESH_ENDPOINT' 'configure' 'Where other zones reach this gateway (empty: a public address of a NIC)' 'O|text'
    'ONEAPP_ZONEMESH_LISTEN' 'configure' 'Where the local API listens (empty: the address in the zone)' 'O|text'
    'ONEAPP_ZONEMESH_CONFIG' 'configure' 'Instead of the other three: all of zonemesh.toml' 'O|text64'
)

service_install() {
    zonemesh_install_packages ca-certificates iproute2
}

# A wrong configuration never replaces a good one, and one that somebody has edited stays: the program
# decides, and says it.
service_configure() {
    zonemesh_configure zonemesh-gateway configure
}

service_bootstrap() {
    zonemesh_start zonemeshd.service zonemesh-gateway.service
    zonemesh_gateway_runs
    zonemesh_report 'Zonemesh gateway' "${ZONEMESH_GATEWAY_LINES[@]}"
}

service_cleanup() {
    :
}
