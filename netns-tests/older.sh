#!/usr/bin/env bash
# Builds the programs of an earlier release, once: scenarios of an upgrade, and of two releases side by
# side, start with them.
#
#   older.sh TARGET RELEASE   -> TARGET/older/RELEASE/zonemeshd, zonemesh, zonemesh-superlink, -supernode
#     0.2.0  the one before this: netns-tests/tests/scenarios/operations/beside_0_2.rs
#     0.1.0  operations/upgrade.rs and upgrade_with_federation.rs, in `make test-older`
#
# The sources come from this repository's own history, at the commit that docs/CHANGELOG.md names.
# Where that does not reach back (a shallow clone) it says so and builds nothing; left_out.sh leaves
# the scenarios out then.
set -euo pipefail

programs=(zonemeshd zonemesh zonemesh-superlink zonemesh-supernode)

cd "$(dirname "${BASH_SOURCE[0]}")/.."
release=${2:?older.sh TARGET RELEASE}
folder=$1/older/$release
commit=$(sed -n "s/^## $release (commit \([0-9a-f]*\)).*/\1/p" docs/CHANGELOG.md)
[ -n "$commit" ] || { echo "older: docs/CHANGELOG.md names no commit of $release" >&2; exit 1; }

say() { printf 'older: %s\n' "$*"; }

stamp="$commit ${programs[*]}"
if [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ]; then
    say "$release in $folder"
    exit 0
fi
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    say "$release is not built: $commit is not in this clone -> git fetch --unshallow"
    exit 0
fi
say "building $release ($commit) into $folder (some minutes, once)"
rm -rf "$folder"
mkdir -p "$folder/source"
git archive "$commit" | tar -x -C "$folder/source"
# What others have written is built already where the programs under test are: Cargo takes of it what
# is the same. Copies, so that nothing there is touched, and none of our own crates.
built=$1/debug
if [ -d "$built/.fingerprint" ]; then
    mkdir -p "$folder/build/debug/deps"
    cp -a "$built/.fingerprint" "$built/build" "$folder/build/debug/"
    find "$built/deps" -maxdepth 1 -type f ! -name 'libzonemesh*' ! -name 'libnetns*' \
        \( -name '*.rlib' -o -name '*.rmeta' -o -name '*.so' \) \
        -exec cp -a -t "$folder/build/debug/deps" {} +
fi
# As the daemons under test are built, but nobody debugs or edits these. --workspace, and --examples, of
# which there are none: Cargo unifies features over what it is asked for, and so they are the same.
CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=false CARGO_TARGET_DIR=$folder/build \
    "${CARGO:-cargo}" build --quiet --locked --manifest-path "$folder/source/Cargo.toml" \
    --workspace "${programs[@]/#/--bin=}" --examples
for program in "${programs[@]}"; do
    mv "$folder/build/debug/$program" "$folder/"
done
rm -rf "$folder/build" "$folder/source"
printf '%s\n' "$stamp" >"$folder/stamp"
