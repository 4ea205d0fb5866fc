#!/usr/bin/env bash
# A Debian to boot in a container, made once with debootstrap: the tests of the packages start from
# it.
#
#   rootfs.sh RELEASE...    leaves ${XDG_CACHE_HOME:-$HOME/.cache}/zonemesh/rootfs/RELEASE
#   rootfs.sh images        leaves rootfs/bookworm.debs: a repository of Debian's packages that the
#                           install script of an appliance asks apt for
#
# The packages come from where this machine takes its own. Nothing is installed in it later: each
# test boots it below a folder of its own, where all that it changes lies.
set -euo pipefail

# What a small server has, and what the tests type.
packages=(systemd systemd-sysv dbus iproute2 iputils-ping nftables procps wireguard-tools python3)
# What packer/base/zonemesh.sh installs in an image.
of_images=(ca-certificates curl iproute2 jq python3 python3-venv)
PATH=$PATH:/usr/sbin:/sbin
cache=${XDG_CACHE_HOME:-$HOME/.cache}/zonemesh/rootfs

say() { printf 'rootfs: %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo --preserve-env=http_proxy,https_proxy "$@"
    fi
}

# Where this machine takes Debian's packages from; on another distribution DEBIAN_MIRROR says it.
mirror() {
    local found
    found=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian \(.*\/debian\/\)$/\1/p' | head -n 1)
    printf '%s\n' "${found:-${DEBIAN_MIRROR:?set it to the URL of a mirror of Debian}}"
}

# apt's own way out, if it has one.
use_proxy_of_apt() {
    local proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    if [ -n "$proxy" ]; then
        export http_proxy=$proxy https_proxy=$proxy
    fi
}

build() {
    local release=$1 folder=$cache/$1 include
    include=$(IFS=,; printf '%s' "${packages[*]}")
    say "building $release with debootstrap from $(mirror) (a minute or two, once)"
    as_root rm -rf "$folder" "$folder.new"
    mkdir -p "$cache"
    as_root debootstrap --variant=minbase --include="$include" "$release" "$folder.new" "$(mirror)" \
        >"$cache/$release.log" 2>&1 ||
        { tail -n 20 "$cache/$release.log" >&2; exit 1; }
    as_root sh -c "rm -rf '$folder.new/var/cache/apt/archives/'*.deb '$folder.new/var/lib/apt/lists/'*
        : >'$folder.new/etc/machine-id'; echo debian >'$folder.new/etc/hostname'
        # On a machine udev does that; a container has none.
        echo 'z /dev/net/tun 0666 - - -' >'$folder.new/etc/tmpfiles.d/tun.conf'"
    as_root mv "$folder.new" "$folder"
    printf '%s\n' "${packages[*]}" >"$cache/$release.stamp"
}

# download RELEASE: the packages with all that they need, and the list by which apt finds them.
download() {
    local release=$1 folder=$cache/$1.debs wanted="${of_images[*]} above ${packages[*]}"
    if [ "$(cat "$folder/stamp" 2>/dev/null)" = "$wanted" ]; then
        say "the packages of the images in $folder"
        return
    fi
    say "downloading the packages of the images (a minute, once)"
    as_root rm -rf "$folder"
    mkdir -p "$folder/layer"
    # In a layer above the release, whose apt knows what is there already.
    as_root unshare --mount --propagation private sh -ec '
        mkdir "$2/layer/upper" "$2/layer/work" "$2/layer/root"
        mount -t overlay overlay \
            -o "lowerdir=$1,upperdir=$2/layer/upper,workdir=$2/layer/work" "$2/layer/root"
        cp /etc/resolv.conf "$2/layer/root/etc/resolv.conf"
        mount -t proc proc "$2/layer/root/proc"
        folder=$2; shift 2
        chroot "$folder/layer/root" apt-get -qq update
        chroot "$folder/layer/root" apt-get -qq -y install --download-only --no-install-recommends "$@"
        cp "$folder"/layer/root/var/cache/apt/archives/*.deb "$folder"
    ' sh "$cache/$release" "$folder" "${of_images[@]}" >"$cache/$release.debs.log" 2>&1 ||
        { tail -n 20 "$cache/$release.debs.log" >&2; exit 1; }
    as_root rm -rf "$folder/layer"
    (cd "$folder" && dpkg-scanpackages --multiversion . >Packages 2>/dev/null)
    printf '%s\n' "$wanted" >"$folder/stamp"
}

use_proxy_of_apt
if [ "${1-}" = images ]; then
    download bookworm
    exit
fi
for release in "${@:?rootfs.sh RELEASE...}"; do
    if [ -d "$cache/$release" ] && [ "$(cat "$cache/$release.stamp" 2>/dev/null)" = "${packages[*]}" ]; then
        say "$release in $cache/$release"
    else
        build "$release"
    fi
done
