# shellcheck shell=bash disable=SC2034
# Flower's SuperNode: zonemesh-supernode finds the SuperLink, checks the way and starts it.
# Run by one-apps' /etc/one-appliance/service, which reads the ONE_SERVICE_* variables.
# shellcheck source=packer/base/zonemesh.sh
. "${ZONEMESH_LIB:-/etc/one-appliance/lib/zonemesh.sh}"

ONE_SERVICE_NAME='Flower SuperNode'
ONE_SERVICE_VERSION='0.3.0'
ONE_SERVICE_BUILD="$(date +%s)"
ONE_SERVICE_SHORT_DESCRIPTION='Flower SuperNode'
ONE_SERVICE_DESCRIPTION='A Flower SuperNode that finds its SuperLink in another OpenNebula zone through Zonemesh.'
ONE_SERVICE_RECONFIGURABLE=true

# name, stage, description, user input
ONE_SERVICE_PARAMS=(
    'ONEAPP_ZONEMESH_FEDERATION' 'configure' 'Name of the federation' 'M|text'
    'ONEAPP_ZONEMESH_GATEWAY' 'configure' 'IP:PORT of the local API of the gateway (empty: ask OneGate)' 'O|text'
    'ONEAPP_ZONEMESH_TOKEN' 'configure' 'Token of this VM (zonemesh key generate token)' 'O|password'
    'ONEAPP_FL_SUPERLINK_ADDRESS' 'configure' 'ADDRESS:PORT of a SuperLink, without a mesh and a token' 'O|text'
    'ONEAPP_FL_SSL_CA_CERTFILE' 'configure' 'CA certificate of that SuperLink: PEM in base64' 'O|text64'
    'ONEAPP_FL_NODE_CONFIG' 'configure' 'Key=value pairs for the ClientApps (empty: the place in the role)' 'O|text'
    'ONEAPP_FLOWER_VERSION' 'configure' 'Version of Flower that must be installed (empty: any)' 'O|text'
    'ONEAPP_FL_CUDA_VISIBLE_DEVICES' 'configure' 'GPUs that Flower may use, such as 0,1 (empty or all: each)' 'O|text'
)

service_install() {
    zonemesh_install_flower zonemesh-supernode
}

service_configure() {
    export ONEAPP_ZONEMESH_FLOWER_USER="${ONEAPP_ZONEMESH_FLOWER_USER:-flower}"
    zonemesh_configure zonemesh-supernode plan
}

# Only the companion's own start is waited for: the SuperLink may appear days later, and then the
# companion itself tells OneGate READY.
service_bootstrap() {
    zonemesh_start zonemesh-supernode.service
    zonemesh_wait 60 "the companion runs" systemctl is-active --quiet zonemesh-supernode.service
    zonemesh_report 'Flower SuperNode' "federation=$ONEAPP_ZONEMESH_FEDERATION" \
        "log=journalctl -u zonemesh-supernode"
}

service_cleanup() {
    :
}
