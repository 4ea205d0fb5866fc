#!/usr/bin/env bash
# Builds one appliance image: build.sh service_ZonemeshGateway export/service_ZonemeshGateway.qcow2
# ONE_APPS_DIR: a checkout of OpenNebula's one-apps. BASE_IMAGE, PACKAGES_DIR, ACCELERATOR,
# FLOWER_VERSION: see Makefile.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
appliance="${1:?usage: build.sh FOLDER OUTPUT.qcow2}" output="${2:?usage: build.sh FOLDER OUTPUT.qcow2}"
: "${BASE_IMAGE:?a one-apps image, for example images/debian12.qcow2}"
: "${ONE_APPS_DIR:?a checkout of OpenNebula/one-apps}"
work="$(dirname "$output")/build/$appliance"
packages="${PACKAGES_DIR:-$here/../target/package/release}"

fail() { printf 'build.sh: %s\n' "$*" >&2; exit 2; }

for program in packer mkisofs virt-sysprep qemu-img; do
    command -v "$program" >/dev/null || fail "$program is missing, see README.md"
done
mkdir -p "$(dirname "$work")" "$work-packages"
# The templates name no version: one package of each name, the newest if there are more.
while read -r file; do
    deb="${file##*/}"
    cp "$file" "$work-packages/${deb%%_*}.deb"
done < <(find "$packages" -maxdepth 1 -name 'zonemesh*_*.deb' 2>/dev/null | sort -V)
[ -n "$(ls "$work-packages")" ] || fail "no packages in $packages -> make package"

packer init "$here/$appliance"
packer build -force \
    -var "input_dir=$here/$appliance" \
    -var "output_dir=$work" \
    -var "base_image=$BASE_IMAGE" \
    -var "one_apps_dir=$ONE_APPS_DIR" \
    -var "packages_dir=$work-packages" \
    -var "accelerator=${ACCELERATOR:-kvm}" \
    -var "flower_version=${FLOWER_VERSION:-}" \
    "$here/$appliance"

# No image carries the identity of the machine that built it.
virt-sysprep --add "$work/$appliance" --root-password disabled --hostname localhost.localdomain \
    --run-command 'truncate -s0 -c /etc/machine-id' --delete /etc/resolv.conf
qemu-img convert -c -O qcow2 "$work/$appliance" "$output"
rm -rf "$work" "$work-packages" "$work-context" "$work-context.iso"
