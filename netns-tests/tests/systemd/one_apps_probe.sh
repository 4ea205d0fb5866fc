# shellcheck shell=bash
# Puts an appliance of a few lines under a service framework, and prints a line for each case:
# stage, status before, ONE_SERVICE_RECONFIGURABLE, what else | exit code | status after | what ran.
#
#   one_apps_probe.sh APPLIANCES      the folder with service.sh and lib/
set -u
umask 0022
rm -rf /etc/one-appliance /var/log/one-appliance
mkdir -p /etc/one-appliance/lib /etc/one-appliance/service.d /opt/one-appliance /root/probe
cp "$1"/lib/*.sh /etc/one-appliance/lib/
install -m 0755 "$1/service.sh" /etc/one-appliance/service
cat >/etc/one-appliance/service.d/appliance.sh <<'END'
ONE_SERVICE_NAME=probe
ONE_SERVICE_PARAMS=()
ONE_SERVICE_RECONFIGURABLE=$(cat /root/probe/reconfigurable)
service_install() { stage install; }
service_configure() { stage configure; }
service_bootstrap() { stage bootstrap; }
service_cleanup() {
    printf ' cleanup' >>/root/probe/ran
    false
    echo "nobody sees this" >&2
}
stage() {
    printf ' %s,%s,%s' "$1" "$(umask)" "${KEPT-new}" >>/root/probe/ran
    KEPT=kept
    . /root/probe/does
    printf ' end' >>/root/probe/ran
}
END

# tries STAGE BEFORE RECONFIGURABLE [WHAT]: with what stands in /root/probe/does.
tries() {
    local code=0
    : >/root/probe/ran
    rm -f /etc/one-appliance/status
    [ "$2" = - ] || echo "$2" >/etc/one-appliance/status
    echo "$3" >/root/probe/reconfigurable
    /etc/one-appliance/service "$1" >/root/probe/said 2>&1 || code=$?
    ! grep -q 'nobody sees this' /root/probe/said || printf ' SEEN' >>/root/probe/ran
    printf '%s %s %s %s| %s | %s |%s\n' "$1" "$2" "${3:--}" "${4-}" "$code" \
        "$(cat /etc/one-appliance/status 2>/dev/null)" "$(cat /root/probe/ran)"
    echo : >/root/probe/does
}

echo : >/root/probe/does
tries install - ''
tries install install_success ''
tries install install_started ''
tries install install_failure ''
tries install bootstrap_success true
tries configure - true
tries configure install_success ''
tries configure install_failure true
for before in configure_success configure_started configure_failure bootstrap_success bootstrap_failure; do
    tries configure "$before" ''
    tries configure "$before" true
done
tries bootstrap - true
tries bootstrap install_success true
tries bootstrap configure_success ''
tries bootstrap configure_failure true
for before in bootstrap_success bootstrap_started bootstrap_failure; do
    tries bootstrap "$before" ''
    tries bootstrap "$before" true
done
grep -q 'All set and ready to serve 8)' /etc/motd && echo "motd: ready"
echo 'msg error "no"' >/root/probe/does
tries configure install_success true 'msg error '
grep -q 'APPLIANCE ERROR' /etc/motd && echo "motd: error"
echo 'msg info "yes"; msg warning "well"; msg debug "so"' >/root/probe/does
tries configure install_success true 'msg info '
echo 'false' >/root/probe/does
tries bootstrap configure_success true 'false '
mknod /var/log/one-appliance/one_service_log.pipe p
tries configure bootstrap_started true 'a pipe is left '
rm -f /var/log/one-appliance/one_service_log.pipe
sleep 60 &
echo $! >/var/run/one-appliance-service.pid
tries configure bootstrap_success true 'another runs '
kill $!
rm -f /var/run/one-appliance-service.pid
flock -x /etc/one-appliance/service sleep 3 &
sleep 0.5
tries configure bootstrap_success true 'the lock is held '
wait
tries bad-word install_success true
stat -c '%a' /var/log/one-appliance /etc/one-appliance/status
