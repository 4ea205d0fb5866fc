#!/usr/bin/env bash
# A Linux kernel with its WireGuard in a small virtual machine: what `make interop-kernel` boots.
#
#   build.sh        leaves `vmlinuz` and `initramfs` in ${XDG_CACHE_HOME:-$HOME/.cache}/zonemesh/kernel
#
# The kernel and a static busybox are fetched as Debian's packages, from the sources this machine is
# configured with, and only unpacked, never installed. `wg` and `ip` are this machine's, with their
# libraries. Running it again costs nothing as long as nothing is newer.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/zonemesh/kernel
PATH=$PATH:/usr/sbin:/sbin

# By its package, the modules that the machine needs; what they need comes along.
modules=(virtio_pci virtio_net wireguard tun)
programs=(wg ip)

say() { printf 'kernel: %s\n' "$*"; }
fail() { printf 'kernel: %s\n' "$*" >&2; exit 1; }

kernel_package() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

fetch() {
    local package
    mkdir -p "$folder/packages" "$folder/root"
    for package in "$@"; do
        (cd "$folder/packages" && apt-get -qq download "$package" 2>/dev/null) ||
            fail "cannot download $package -> run 'apt-get update' as root, then try again"
        dpkg-deb -x "$folder/packages/$package"_*.deb "$folder/root"
    done
    rm -rf "$folder/packages"
}

# Each module, behind those it needs.
copy_modules() {
    local version=$1 to=$2 module path
    depmod -b "$folder/root" "$version"
    for module in "${modules[@]}"; do
        modprobe -d "$folder/root" -S "$version" --show-depends "$module"
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$folder/order"
    while read -r path; do
        cp "$path" "$to/modules/"
        basename "$path" >>"$to/modules/order"
    done <"$folder/order"
}

copy_programs() {
    local to=$1 program path library
    for program in "${programs[@]}"; do
        path=$(command -v "$program") || fail "$program is missing -> run netns-tests/setup.sh tools"
        cp -L "$path" "$to/bin/"
        ldd "$path" | grep -o '/[^ ]*' | sort -u | while read -r library; do
            mkdir -p "$to$(dirname "$library")"
            cp -L "$library" "$to$library"
        done
    done
}

build() {
    local package=$1 version=${1#linux-image-} tree
    rm -rf "$folder"
    fetch "$package" busybox-static
    tree=$folder/tree
    mkdir -p "$tree"/{bin,dev,proc,sys,run,tmp,modules}
    cp "$folder/root/bin/busybox" "$tree/bin/"
    cp "$here/init" "$tree/init"
    chmod 755 "$tree/init"
    copy_modules "$version" "$tree"
    copy_programs "$tree"
    cp "$folder/root/boot/vmlinuz-$version" "$folder/vmlinuz"
    (cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$folder/initramfs"
    rm -rf "$folder/root" "$folder/tree" "$folder/order"
}

for tool in apt-get apt-cache dpkg-deb depmod modprobe cpio gzip ldd; do
    command -v "$tool" >/dev/null || fail "$tool is missing -> run netns-tests/setup.sh kernel on Debian"
done
package=$(kernel_package)
[ -n "$package" ] || fail "apt knows no linux-image-cloud-amd64 -> run 'apt-get update' as root"
wanted="$package $(cat "$here/init" "$here/build.sh" | sha256sum | cut -d ' ' -f 1)"
if [ "$(cat "$folder/stamp" 2>/dev/null)" != "$wanted" ]; then
    say "fetching and unpacking $package"
    build "$package"
    printf '%s\n' "$wanted" >"$folder/stamp"
fi
say "$package in $folder"
