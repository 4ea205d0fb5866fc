#!/usr/bin/env bash
# Makes the Debian packages of programs that are built already; lintian has the last word.
#
#   build.sh PROGRAMS OUT   -> OUT/zonemesh_<version>_<machine>.deb, and those of the companions
#
# What goes into each stands in its crate's Cargo.toml; what lintian is told to pass over, below.
set -euo pipefail

programs=$(realpath "${1:?build.sh PROGRAMS OUT}") out=${2:?build.sh PROGRAMS OUT}
# Their crates, and the programs that they need.
packages=(zonemeshd zonemesh-superlink zonemesh-supernode)
needed=(zonemeshd zonemesh zonemesh-gateway zonemesh-superlink zonemesh-supernode)

# Nobody has filed a wish for these packages with Debian.
passed_over=initial-upload-closes-no-bugs

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
rm -rf "$out"
mkdir -p "$out/staged/release"
out=$(realpath "$out")
# cargo-deb takes programs from a profile's folder: they are put into one of their own.
for program in "${needed[@]}"; do
    cp "$programs/$program" "$out/staged/release/"
done
made=()
for package in "${packages[@]}"; do
    file=$(CARGO_TARGET_DIR=$out/staged "${CARGO:-cargo}" deb --quiet --locked --no-build --fast \
        --package "$package" --output "$out/")
    made+=("$file")
done
rm -rf "$out/staged"
lintian --allow-root --fail-on error,warning --suppress-tags "$passed_over" "${made[@]}"
printf 'package: %s\n' "${made[@]}"
