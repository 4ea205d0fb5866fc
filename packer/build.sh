#!/usr/bin/env bash
# Builds one appliance image: build.sh service_ZonemeshGateway export/service_ZonemeshGateway.qcow2
# ONE_APPS_DIR: a checkout of OpenNebula's one-apps. BASE_IMAGE, PACKAGES_DIR, ACCELERATOR: see Makefile.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
name="${1:?usage: build.sh FOLDER OUTPUT.qcow2}" output="${2:?usage: build.sh FOLDER OUTPUT.qcow2}"
work="$(dirname "$output")/build/$name"
packages="${PACKAGES_DIR:-$here/../target/package/release}"
mkdir -p "$(dirname "$work")" "$work-packages"
# The templates name no version.
for file in "$packages"/zonemesh*_*.deb; do
    name="${file##*/}"
    cp "$file" "$work-packages/${name%%_*}.deb"
done

packer init "$here/$name"
packer build -force \
    -var "input_dir=$here/$name" \
    -var "output_dir=$work" \
    -var "base_image=${BASE_IMAGE:?a one-apps image, for example images/debian12.qcow2}" \
    -var "one_apps_dir=${ONE_APPS_DIR:?a checkout of OpenNebula/one-apps}" \
    -var "packages_dir=$work-packages" \
    -var "accelerator=${ACCELERATOR:-kvm}" \
    "$here/$name"

# No image carries the identity of the machine that built it.
virt-sysprep --add "$work/$name" --root-password disabled --hostname localhost.localdomain \
    --run-command 'truncate -s0 -c /etc/machine-id' --delete /etc/resolv.conf
qemu-img convert -c -O qcow2 "$work/$name" "$output"
rm -rf "$work" "$work-packages" "$work-context" "$work-context.iso"
