#!/usr/bin/env bash
# Hangs the one-apps service stages into the boot of the image.
exec 1>&2
set -eux -o pipefail

mv /etc/one-appliance/net-90-service-appliance /etc/one-context.d/
mv /etc/one-appliance/net-99-report-ready /etc/one-context.d/
chown root:root /etc/one-context.d/*
chmod u=rwx,go=rx /etc/one-context.d/*
sync
