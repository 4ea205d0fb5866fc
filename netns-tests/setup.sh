#!/usr/bin/env bash
# Installs what the lab, the demo and the tests need, and only what is missing.
#
#   setup.sh [tools|runner|flowers|flower|fuzzer|kernel|package|systemd|images]...
#                default: the first three
#     tools    programs of the system, with apt on Debian and Ubuntu (sudo unless root)
#     runner   cargo-nextest, with cargo install
#     fuzzer   cargo-fuzz, with cargo install
#     kernel   qemu, and a kernel with its WireGuard under ${XDG_CACHE_HOME:-$HOME/.cache}/zonemesh
#     package  cargo-deb, with cargo install; lintian
#     systemd  systemd-nspawn, debootstrap, and a Debian 12 to boot, beside what `kernel` leaves
#     flowers  Python environments with each Flower that is run here (configs/flower/
#              requirements-VERSION.txt) where flower_cache.sh says
#     flower   the one of the demo
#     images   what the images' install script asks apt and pip for: a repository of Debian's
#              packages, and the wheels of Flower, beside what `systemd` leaves
#
# Running it again costs a second. It changes nothing else on the machine.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
requirements=$here/../configs/flower
flowers=$("$here/flower_cache.sh")
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        fail "needs root for: $* -> run it as root, or install sudo"
    fi
}

# command:package, for every program that the lab starts or the build needs.
programs=(
    ip:iproute2 tc:iproute2 nft:nftables nsenter:util-linux unshare:util-linux mount:mount
    sysctl:procps ping:iputils-ping tcpdump:tcpdump iperf3:iperf3 conntrack:conntrack
    wg:wireguard-tools wireguard-go:wireguard-go openssl:openssl cc:build-essential python3:python3
    packer:packer jq:jq faketime:faketime dnsmasq:dnsmasq-base etcd:etcd-server curl:curl
)

# What the machine of `make interop-kernel` needs besides.
kernel_programs=(qemu-system-x86_64:qemu-system-x86 cpio:cpio modprobe:kmod)

# What makes the Debian packages and judges them.
package_programs=(lintian:lintian dpkg-shlibdeps:dpkg-dev strip:binutils)

# What boots a Debian in a container.
systemd_programs=(
    systemd-nspawn:systemd-container systemd-analyze:systemd debootstrap:debootstrap
    setpriv:util-linux gpg:gnupg
)

missing_packages() {
    local entry
    for entry in "$@"; do
        has "${entry%%:*}" || printf '%s\n' "${entry#*:}"
    done
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || printf 'python3-venv\n'
}

# install_programs NAME command:package...
install_programs() {
    local packages name=$1
    shift
    mapfile -t packages < <(missing_packages "$@" | sort -u)
    if [ "${#packages[@]}" = 0 ]; then
        say "$name: all there"
        return
    fi
    has apt-get || fail "missing and not installable without apt: ${packages[*]} -> install them by hand"
    say "$name: installing ${packages[*]}"
    as_root apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y install --no-install-recommends "${packages[@]}" >/dev/null
    mapfile -t packages < <(missing_packages "$@" | sort -u)
    [ "${#packages[@]}" = 0 ] || fail "still missing after apt: ${packages[*]}"
}

install_runner() {
    has cargo || fail "cargo is missing -> install Rust 1.95 or newer (rustup)"
    if cargo nextest --version >/dev/null 2>&1; then
        say "runner: $(cargo nextest --version | head -n 1)"
        return
    fi
    say "runner: cargo install cargo-nextest (some minutes)"
    cargo install --locked cargo-nextest
}

install_packager() {
    has cargo || fail "cargo is missing -> install Rust 1.95 or newer (rustup)"
    if cargo deb --version >/dev/null 2>&1; then
        say "packager: cargo-deb $(cargo deb --version)"
        return
    fi
    say "packager: cargo install cargo-deb (some minutes)"
    cargo install --locked cargo-deb
}

install_fuzzer() {
    has cargo || fail "cargo is missing -> install Rust 1.95 or newer (rustup)"
    if cargo fuzz --version >/dev/null 2>&1; then
        say "fuzzer: $(cargo fuzz --version)"
        return
    fi
    say "fuzzer: cargo install cargo-fuzz (a minute)"
    cargo install --locked cargo-fuzz
}

# A command as who will run Flower in the lab: of root's tests a user that owns nothing, as on the images.
as_flower() {
    if [ "$(id -u)" = 0 ]; then
        # setpriv itself would look the program up with root's rights.
        setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups env "$@"
    else
        "$@"
    fi
}

# A Python that is new enough, and that who runs Flower may run: one below /root is root's alone.
python_for_flower() {
    local python found
    for python in python3 /usr/bin/python3; do
        found=$(command -v "$python") || continue
        # Not the shim of a version manager, but what it starts.
        found=$("$found" -c 'import sys; print(sys.executable)') || continue
        if (cd / && as_flower "$found" -c \
            'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))') 2>/dev/null; then
            printf '%s\n' "$found"
            return
        fi
    done
    fail "flower: no Python 3.11 or newer that every user may run -> install Debian's python3 and python3-venv"
}

# install_flower VERSION
install_flower() {
    local version=$1 folder=$flowers/flower-$1
    local file=$requirements/requirements-$1.txt wanted python
    wanted=$(sha256sum "$file" | cut -d ' ' -f 1)
    if [ "$(cat "$folder/stamp" 2>/dev/null)" = "$wanted" ]; then
        say "flower: $version in $folder"
        return
    fi
    python=$(python_for_flower)
    say "flower: installing $version into $folder (a minute)"
    rm -rf "$folder"
    # Whatever files are for whoever installs this: Flower's user reads these.
    umask 022
    mkdir -p "$(dirname "$folder")"
    "$python" -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$file"
    # Compiled once here: a SuperNode starts in seconds also where this folder is read-only.
    "$folder/bin/python" -m compileall -q "$folder/lib" >/dev/null || true
    (cd / && as_flower "$folder/bin/python" -c \
        'import sys, flwr; assert flwr.__version__ == sys.argv[1]' "$version")
    printf '%s\n' "$wanted" >"$folder/stamp"
}

# download_wheels VERSION: what pip finds of this Flower in an image that has no Internet.
download_wheels() {
    local version=$1 folder=${XDG_CACHE_HOME:-$HOME/.cache}/zonemesh/wheels/$1
    local file=$requirements/requirements-$1.txt wanted
    wanted=$(sha256sum "$file" | cut -d ' ' -f 1)
    if [ "$(cat "$folder/stamp" 2>/dev/null)" = "$wanted" ]; then
        say "wheels: of Flower $version in $folder"
        return
    fi
    say "wheels: downloading those of Flower $version into $folder"
    rm -rf "$folder"
    mkdir -p "$folder"
    # For the Python of Debian 12, whatever this machine has.
    python3 -m pip download --quiet --disable-pip-version-check --only-binary :all: \
        --require-hashes --python-version 3.11 --dest "$folder" -r "$file"
    printf '%s\n' "$wanted" >"$folder/stamp"
}

[ $# -gt 0 ] || set -- tools runner flowers
for step in "$@"; do
    case $step in
        tools) install_programs tools "${programs[@]}" ;;
        runner) install_runner ;;
        flowers) for version in 1.25.0 1.26.1 1.42.0; do install_flower "$version"; done ;;
        flower) install_flower 1.25.0 ;;
        fuzzer) install_fuzzer ;;
        kernel)
            install_programs kernel "${programs[@]}" "${kernel_programs[@]}"
            "$here/kernel/build.sh"
            ;;
        package)
            install_programs package "${package_programs[@]}"
            install_packager
            ;;
        systemd)
            install_programs systemd "${systemd_programs[@]}"
            "$here/rootfs.sh" bookworm
            ;;
        images)
            "$here/rootfs.sh" images
            for version in 1.25.0 1.42.0; do download_wheels "$version"; done
            ;;
        *) fail "unknown step $step: tools, runner, flowers, flower, fuzzer, kernel, package, systemd or images" ;;
    esac
done
