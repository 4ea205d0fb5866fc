#!/usr/bin/env bash
# Brings back the old rules of trust, one at a time, and has the attacker's machine find each.
#
#   mutations.sh TARGET [NAME...]   -> a line for each: the seed, and after how many histories
#
# What a rule was stands in membership/mutations/NAME.patch, in its first line. A patch that does not
# apply, or an old rule that is not found, is an error. The sources are those of this folder, committed
# or not; they are patched in a copy. SEED, HISTORIES: of the search (1 and 20000).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
folder=${1:?mutations.sh TARGET [NAME...]}/mutations
shift
seed=${SEED:-1}
patches=$PWD/crates/core/tests/membership/mutations
source=$folder/source

names=("$@")
if [ $# = 0 ]; then
    for patch in "$patches"/*.patch; do
        names+=("$(basename "$patch" .patch)")
    done
fi

rm -rf "$source"
mkdir -p "$source"
git ls-files -z --cached --others --exclude-standard | tar --null -T - -c | tar -x -C "$source"
# A tree of its own: `git apply` would look for the files in the one around it.
git init --quiet "$source"

# What the machine prints of the sources as they are now, or with one old rule.
play() {
    PROPTEST_RNG_SEED=$seed ZONEMESH_HISTORIES=${HISTORIES:-20000} CARGO_TARGET_DIR=$folder/build \
        "${CARGO:-cargo}" test --quiet --locked --profile demo --manifest-path "$source/Cargo.toml" \
        --package zonemesh-core --test membership attacker >"$folder/said" 2>&1
}

missed=()
for name in "${names[@]}"; do
    patch=$patches/$name.patch
    git -C "$source" apply "$patch"
    if play; then
        missed+=("$name")
        printf '%-30s NOT found in %s histories, seed %s\n' "$name" "${HISTORIES:-20000}" "$seed"
    elif found=$(grep -m 1 -oE 'after [0-9]+ histories: .*' "$folder/said"); then
        printf '%-30s seed %s, %s\n' "$name" "$seed" "${found% at crates/*}"
    else
        cat "$folder/said" >&2
        printf '%s: not built, or broken otherwise\n' "$name" >&2
        exit 1
    fi
    git -C "$source" apply --reverse "$patch"
done
rm -rf "$source"
if [ ${#missed[@]} != 0 ]; then
    printf 'mutations: the machine does not find: %s\n' "${missed[*]}" >&2
    exit 1
fi
