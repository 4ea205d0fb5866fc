#!/usr/bin/env bash
# Has Packer judge the appliance folders without building anything: validate.sh FOLDER...
#
# A copy of each is judged, as plugins.pkr.hcl is left out where Packer is older than 1.7: it does not
# know `required_plugins`. Files that a build would be given are empty here.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: validate.sh FOLDER..." >&2; exit 2; }
command -v packer >/dev/null || { echo "validate.sh: packer is missing -> apt-get install packer" >&2; exit 2; }
export CHECKPOINT_DISABLE=1
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/one-apps/appliances"/{scripts,lib} "$work/packages"
touch "$work/one-apps/appliances/scripts"/{net-90-service-appliance,net-99-report-ready} \
    "$work/one-apps/appliances/lib"/{common,functions}.sh "$work/one-apps/appliances/service.sh" \
    "$work/packages"/zonemesh{,-superlink,-supernode}.deb "$work/base.qcow2"
oldest="$(printf '%s\n' "$(packer version | sed -n 's/^Packer v//p')" 1.7 | sort -V | head -n 1)"

failed=0
for folder in "$@"; do
    copy="$work/$(basename "$folder")"
    cp -rL "$folder" "$copy"
    [ "$oldest" = 1.7 ] || rm -f "$copy/plugins.pkr.hcl"
    inputs=(
        -var "input_dir=$copy" -var "output_dir=$work/output" -var "base_image=$work/base.qcow2"
        -var "one_apps_dir=$work/one-apps" -var "packages_dir=$work/packages"
    )
    if packer validate -syntax-only "$copy" && packer validate "${inputs[@]}" "$copy" &&
        packer fmt -check -diff "$copy"; then
        echo "validate.sh: $folder is accepted by $(packer version | head -n 1)"
    else
        echo "validate.sh: $folder is refused, see above" >&2
        failed=1
    fi
done
exit "$failed"
