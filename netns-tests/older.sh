#!/usr/bin/env bash
# Builds the programs of the release before this one, once: the scenarios of an upgrade start with them
# (netns-tests/tests/scenarios/operations/upgrade.rs, upgrade_with_federation.rs).
#
#   older.sh TARGET     -> TARGET/older/0.1.0/zonemeshd, zonemesh, zonemesh-superlink and -supernode
#
# The sources come from this repository's own history, at the commit that docs/CHANGELOG.md names.
# Where that does not reach back (a shallow clone) it says so and builds nothing; left_out.sh leaves
# the scenarios out then.
set -euo pipefail

release=0.1.0
programs=(zonemeshd zonemesh zonemesh-superlink zonemesh-supernode)

cd "$(dirname "${BASH_SOURCE[0]}")/.."
commit=$(sed -n "s/^## $release (commit \([0-9a-f]*\)).*/\1/p" docs/CHANGELOG.md)
folder=${1:?older.sh TARGET}/older/$release

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
# As the daemons under test are built, but nobody debugs or edits these.
CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=false CARGO_TARGET_DIR=$folder/build \
    "${CARGO:-cargo}" build --quiet --locked --manifest-path "$folder/source/Cargo.toml" \
    "${programs[@]/#/--package=}" --bins
for program in "${programs[@]}"; do
    mv "$folder/build/debug/$program" "$folder/"
done
rm -rf "$folder/build" "$folder/source"
printf '%s\n' "$stamp" >"$folder/stamp"
