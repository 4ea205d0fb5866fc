#!/usr/bin/env bash
# Says which tests cannot run on this machine, and why; prints the filter that leaves them out.
#
#   cargo nextest run ... -E "$(netns-tests/left_out.sh scenarios|wireguard|systemd)"
#
# nextest counts them as skipped then. None of them passes where it cannot run: without the filter it
# fails, and says what is missing.
set -euo pipefail

older=${CARGO_TARGET_DIR:-$(dirname "${BASH_SOURCE[0]}")/../target}/older
flower=$("$(dirname "${BASH_SOURCE[0]}")/flower_cache.sh")/flower-1.25.0
peers=${XDG_CACHE_HOME:-$HOME/.cache}/zonemesh/peers/bin
wheels=${XDG_CACHE_HOME:-$HOME/.cache}/zonemesh/wheels
filter='all()'

# leave_out MODULE WHY
leave_out() {
    printf 'left out, counted as skipped: %s: %s\n' "$1" "$2" >&2
    filter+=" - test(/^$1::/)"
}

case ${1:?left_out.sh scenarios|wireguard|systemd} in
    scenarios)
        if [ "$(id -u)" != 0 ]; then
            leave_out security::users 'only root can be another user for a moment'
            leave_out companions::flower_user 'without root Flower runs as whoever runs the tests'
        fi
        [ -x "$older/0.2.0/zonemesh-superlink" ] ||
            leave_out operations::beside_0_2 'release 0.2.0 is not here -> make test-build'
        for module in upgrade upgrade_with_federation; do
            leave_out "operations::$module" 'release 0.1.0 -> make test-older'
        done
        { [ -f "${ONE_APPS_DIR:-}/context-linux/src/usr/bin/onegate.rb" ] && command -v ruby >/dev/null; } ||
            leave_out companions::stock_onegate_client \
                "no client of OpenNebula -> ONE_APPS_DIR=a checkout of OpenNebula/one-apps, and Debian's ruby"
        ;;
    wireguard)
        for peer in boringtun:boringtun-cli gotatun:gotatun; do
            program=$peers/${peer#*:}
            [ -x "$program" ] ||
                leave_out "interop::with_${peer%%:*}" "$program is missing -> netns-tests/bench/setup.sh"
        done
        ;;
    systemd)
        [ "$(id -u)" = 0 ] ||
            for module in appliance boot companions confinement lives one_apps package service upgrade; do
                leave_out "$module" 'only root can boot a container'
            done
        # Flower is this machine's, under a Python of Debian 12.
        [ -d "$flower/lib/python3.11" ] ||
            leave_out companions 'Flower is not installed for Python 3.11 -> netns-tests/setup.sh flower'
        [ -f "$wheels/1.42.0/stamp" ] ||
            leave_out lives 'what the images install is not here -> netns-tests/setup.sh images'
        # lives::one_life is run.
        leave_out 'lives::(again|both|false_gateway|onegate_away|orders|roles)' \
            'two hours of whole lives of appliances -> make test-appliances'
        ;;
    *)
        printf 'left_out.sh: no such suite: %s\n' "$1" >&2
        exit 1
        ;;
esac
printf '%s\n' "$filter"
