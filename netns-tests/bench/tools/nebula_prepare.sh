#!/usr/bin/env bash
# Writes DIR/SIDE.yml for nebula, with a CA that both sides of DIR share.
#
#   nebula_prepare.sh DIR SIDE INTERFACE WAN_LOCAL WAN_REMOTE PORT MTU
#
# AES-256-GCM, nebula's default; everything is let through its firewall.
set -euo pipefail

dir=$1 side=$2 interface=$3 wan_local=$4 wan_remote=$5 port=$6 mtu=$7

case $side in
    a) own=10.98.0.1 far=10.98.0.2 lan=192.168.1.0/24 far_lan=192.168.2.0/24 ;;
    b) own=10.98.0.2 far=10.98.0.1 lan=192.168.2.0/24 far_lan=192.168.1.0/24 ;;
    *) printf 'nebula_prepare.sh: no side %s\n' "$side" >&2; exit 2 ;;
esac

mkdir -p "$dir"
cd "$dir"
[ -f ca.key ] || nebula-cert ca -name bench
[ -f "$side.key" ] ||
    nebula-cert sign -name "$side" -ip "$own/24" -subnets "$lan" -out-crt "$side.crt" -out-key "$side.key"

cat >"$side.yml" <<YAML
pki: {ca: $dir/ca.crt, cert: $dir/$side.crt, key: $dir/$side.key}
static_host_map: {"$far": ["$wan_remote:$port"]}
lighthouse: {am_lighthouse: false, hosts: []}
listen: {host: $wan_local, port: $port, batch: 64}
cipher: aes
tun:
  dev: $interface
  mtu: $mtu
  tx_queue: 500
  unsafe_routes: [{route: $far_lan, via: $far, mtu: $mtu}]
logging: {level: error}
firewall:
  outbound: [{port: any, proto: any, host: any}]
  inbound: [{port: any, proto: any, host: any}]
YAML
