#!/usr/bin/env bash
# Installs what the benchmark compares Zonemesh with, and only what is missing.
#
#   packages   wireguard-go, nebula, iperf3, ... with apt on Debian and Ubuntu (sudo unless root)
#   peers      gotatun-cli, boringtun-cli under ${XDG_CACHE_HOME:-$HOME/.cache}/zonemesh/peers
#   tools      relay, relay_gso, udpblast: compiled into target/bench/bin
#
# Running it again costs a second. It changes nothing else on the machine.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
peers=${XDG_CACHE_HOME:-$HOME/.cache}/zonemesh/peers
tools=$root/target/bench/bin
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'bench setup: %s\n' "$*"; }
fail() { printf 'bench setup: %s\n' "$*" >&2; exit 1; }
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

# command:package
programs=(
    ip:iproute2 sysctl:procps ping:iputils-ping wg:wireguard-tools iperf3:iperf3
    ethtool:ethtool gcc:gcc wireguard-go:wireguard-go nebula:nebula
)

missing_packages() {
    local entry
    for entry in "${programs[@]}"; do
        has "${entry%%:*}" || printf '%s\n' "${entry#*:}"
    done
    [ -e /usr/include/openssl/evp.h ] || printf 'libssl-dev\n'
}

install_packages() {
    local packages
    mapfile -t packages < <(missing_packages)
    [ "${#packages[@]}" != 0 ] || return 0
    has apt-get || fail "missing and not installable without apt: ${packages[*]} -> install them by hand"
    say "installing ${packages[*]}"
    as_root apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y install --no-install-recommends "${packages[@]}" >/dev/null
    mapfile -t packages < <(missing_packages)
    [ "${#packages[@]}" = 0 ] || fail "still missing after apt: ${packages[*]}"
}

# crate version binary
install_peer() {
    local stamp=$peers/$1-$2
    if [ -x "$peers/bin/$3" ] && [ -e "$stamp" ]; then
        return
    fi
    has cargo || fail "cargo is missing -> install Rust 1.95 or newer (rustup)"
    say "compiling $1 $2 into $peers (some minutes, niced)"
    mkdir -p "$peers"
    nice -n 19 cargo install --quiet --locked --root "$peers" --target-dir "$peers/target" "$1@$2"
    rm -rf "$peers/target"
    touch "$stamp"
}

# name flags...
compile() {
    local name=$1 source=$here/tools/$1.c
    shift
    [ "$tools/$name" -nt "$source" ] || gcc -Wall -Wextra -O3 "$@" -o "$tools/$name" "$source" "${libraries[@]}"
}

compile_tools() {
    mkdir -p "$tools"
    local libraries=()
    compile relay
    compile udpblast
    libraries=(-lcrypto -lpthread)
    compile relay_gso -march=native
}

install_packages
# `setup.sh packages` is enough where Zonemesh is compared with itself.
[ "${1:-}" != packages ] || exit 0
install_peer gotatun-cli 0.10.2 gotatun
install_peer boringtun-cli 0.7.1 boringtun-cli
compile_tools
say "ready: peers in $peers/bin, tools in $tools"
