# shellcheck shell=bash
# In the machine that becomes an image: what packer/base/build.pkr.hcl provisions, in its order. Before
# it, what a base image of one-apps has: one-context. Debian's packages and Flower's wheels lie in
# folders, as at a site without Internet; apt and pip find them as an administrator would tell them.
#
#   build_image.sh APPLIANCE FLOWER PACKAGE...
#
# Folders: /srv/one-apps, /srv/packer, /srv/packages, /srv/debian, /srv/wheels.
set -eux -o pipefail
appliance=$1 flower=$2
shift 2

# one-apps marks files that are of some systems only: NAME##deb.systemd.one
base() {
    local found
    for found in "$1" "$1"'##deb.systemd.one' "$1"'##systemd.one'; do
        if [ -f "$found" ]; then
            install -D -m "$2" "$found" "$3"
            return
        fi
    done
    echo "no $1" >&2
    return 1
}
context=/srv/one-apps/context-linux/src
base "$context/usr/sbin/one-contextd" 0755 /usr/sbin/one-contextd
base "$context/etc/one-context.d/loc-16-gen-env" 0755 /etc/one-context.d/loc-16-gen-env
for unit in one-context-local one-context-online one-context; do
    base "$context/usr/lib/systemd/system/$unit.service" 0644 "/usr/lib/systemd/system/$unit.service"
    systemctl enable "$unit"
done

printf 'deb [trusted=yes] file:/srv/debian ./\n' >/etc/apt/sources.list
printf '[global]\nno-index = true\nfind-links = /srv/wheels/%s\n' "$flower" >/etc/pip.conf

# inline NUMBER: what a `provisioner "shell"` of the template runs, as it stands there.
inline() {
    awk -v wanted="$1" '
        /provisioner "shell" \{/ { is_shell = 1 }
        /inline = \[/ && is_shell { number++; lines = 1; next }
        /^ *\]/ { lines = 0; is_shell = 0 }
        lines && number == wanted { sub(/^ *"/, ""); sub(/",$/, ""); print }
    ' /srv/packer/base/build.pkr.hcl
}
bash -ec "$(inline 1)"
cp /srv/one-apps/appliances/scripts/net-9{0-service-appliance,9-report-ready} /etc/one-appliance/
cp /srv/one-apps/appliances/lib/{common,functions}.sh /srv/packer/base/zonemesh.sh /etc/one-appliance/lib/
cp /srv/one-apps/appliances/service.sh /etc/one-appliance/service
cp "/srv/packer/$appliance/appliance.sh" /etc/one-appliance/service.d/appliance.sh
for package in "$@"; do
    cp /srv/packages/"$package"_*.deb "/root/$package.deb"
done
bash /srv/packer/base/82-configure-context.sh
ZONEMESH_FLOWER_VERSION=$flower bash -ec "$(inline 2)"
grep -qx install_success /etc/one-appliance/status
: >/etc/machine-id
