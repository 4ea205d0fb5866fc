//! What a program can do that has taken over a daemon of ours: as much as its unit lets it.
//!
//! ```text
//!   berlin: Debian; a script in the place of zonemeshd, under zonemeshd.service as it is shipped
//! ```
//!
//! Each attempt is made by root too, outside the unit, where it succeeds: so each can fail.

use anyhow::{Context as _, Result, ensure};
use netns_tests::systemd::{BootedDebian, Site, package};

use crate::{on_each_release, say};

/// Each line is one attempt.
const ATTEMPTS: &str = "cat /etc/shadow
cat /srv/eva.secret
cat /home/eva/secret
cat /root/secret
cat /etc/zonemesh/companion.secret
kill -9 $EVA
kill -9 1
cat /proc/$EVA/environ
cat /proc/$EVA/maps
touch /etc/zonemesh/zonemesh.toml
touch /etc/passwd
touch /usr/bin/zonemeshd
touch /usr/lib/systemd/system/zonemeshd.service
touch /srv/eva.secret
chown root /var/lib/zonemesh/zone.key
chmod 4755 /var/lib/zonemesh/zone.key
mount -t tmpfs none /mnt
unshare --user true
unshare --net true
date --set=2030-01-01
sysctl -w net.ipv4.ip_forward=1
hostname taken
mknod /var/lib/zonemesh/disk b 254 0
python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)'
python3 -c 'import os; os.setuid(0)'
";

/// What root cannot do either in a container, or need not: no proof that the attempt can succeed.
const NOT_BY_ROOT: [&str; 7] =
    ["kill", "date", "mknod", "mount", "unshare", "hostname", "chown root"];

/// Makes each attempt; `yes` or `no` and the attempt for each.
const TRY: &str = r#"while read -r attempt; do
    if sh -c "$attempt" >/dev/null 2>&1; then echo "yes $attempt"; else echo "no $attempt"; fi
done </usr/local/lib/attempts"#;

/// The shipped unit with another program in it.
const TAKEN_OVER: &str = "[Service]
Type=oneshot
WatchdogSec=0
Restart=no
ExecStart=
ExecStart=/bin/sh /usr/local/lib/attack /var/lib/zonemesh/outcome
";

#[test]
fn an_attacker_in_the_daemon_reads_no_other_users_file_and_ends_no_other_process() -> Result<()> {
    on_each_release(|release| {
        let site = Site::connected(release)?;
        let berlin = &site.berlin;
        berlin.run(
            "systemctl stop zonemeshd; useradd --create-home eva
            for file in /srv/eva.secret /home/eva/secret /root/secret /etc/zonemesh/companion.secret; do
                echo secret >$file; chmod 0600 $file
            done
            chown eva /srv/eva.secret /home/eva/secret
            mkdir /etc/systemd/system/zonemeshd.service.d",
        )?;
        berlin.run("systemd-run --unit eva --uid eva sleep 1000")?;
        let eva = berlin.run("systemctl show --value --property=MainPID eva")?;
        berlin.write("/usr/local/lib/attempts", ATTEMPTS)?;
        let attack = format!("export EVA={}\n({TRY}) >\"$1\"\n", eva.trim());
        berlin.write("/usr/local/lib/attack", &attack)?;
        berlin.write("/etc/systemd/system/zonemeshd.service.d/attack.conf", TAKEN_OVER)?;
        berlin.run("systemctl daemon-reload; systemctl start zonemeshd")?;
        let outcome = berlin.run("cat /var/lib/zonemesh/outcome")?;
        ensure!(outcome.lines().count() == ATTEMPTS.lines().count(), "{outcome}");
        let succeeded: Vec<_> = outcome.lines().filter(|line| line.starts_with("yes")).collect();
        ensure!(succeeded.is_empty(), "the attacker has its way: {succeeded:#?}");
        berlin.run(&format!("kill -0 {}", eva.trim()))?;
        all_of_it_is_possible_outside(&site, eva.trim())?;
        site.succeeded()
    })
}

/// What root does before each start looks at this folder, in which the daemon may put anything.
const PLANTED: &str = "ln -s /etc/shadow /var/lib/zonemesh/planted.key
ln -s /etc/shadow /var/lib/zonemesh/clock
mkdir -p /var/lib/zonemesh/federations
ln -s /etc /var/lib/zonemesh/federations/planted
ln -s /srv /var/lib/zonemesh/records/planted
";

#[test]
fn links_that_an_attacker_leaves_in_the_state_folder_lead_root_nowhere() -> Result<()> {
    on_each_release(|release| {
        let site = Site::connected(release)?;
        let berlin = &site.berlin;
        // The name that a rule for keys would meet behind the second link.
        berlin.run("systemctl stop zonemeshd; echo secret | tee /etc/ca.key >/srv/secret")?;
        let owners = "stat -c '%n %U:%G %a' /etc /etc/shadow /etc/ca.key /srv /srv/secret";
        let before = berlin.run(owners)?;
        berlin.run("rm -f /var/lib/zonemesh/clock")?;
        berlin.write("/usr/local/lib/plant", PLANTED)?;
        berlin.run(
            "setpriv --reuid zonemesh --regid zonemesh --clear-groups sh -e /usr/local/lib/plant",
        )?;
        berlin.run("systemctl restart zonemeshd || true; systemd-tmpfiles --create || true")?;
        ensure!(berlin.run(owners)? == before, "before: {before}after: {}", berlin.run(owners)?);
        site.succeeded()
    })
}

fn all_of_it_is_possible_outside(site: &Site, eva: &str) -> Result<()> {
    let by_root = |attempt: &&str| NOT_BY_ROOT.iter().all(|not| !attempt.starts_with(not));
    for attempt in ATTEMPTS.lines().filter(by_root) {
        let output = site.berlin.output(&format!("EVA={eva}; {attempt}"))?;
        ensure!(output.status.success(), "root cannot do it either: {attempt}");
    }
    site.berlin.run(&format!("kill -9 {eva}")).map(drop)
}

/// The figure of `systemd-analyze security`: 0 is closed, 10 is open.
pub(crate) fn exposure(debian: &BootedDebian, unit: &str) -> Result<f64> {
    let said = debian.run(&format!("systemd-analyze security --no-pager {unit}"))?;
    let line = said.lines().find(|line| line.contains("Overall exposure level"));
    let line = line.with_context(|| format!("no figure for {unit}: {said}"))?;
    let figure = line.split_whitespace().find_map(|word| word.parse().ok());
    figure.with_context(|| line.to_owned())
}

#[test]
fn the_units_are_as_closed_as_they_are_said_to_be() -> Result<()> {
    on_each_release(|release| {
        let site = Site::connected(release)?;
        for companion in ["zonemesh-superlink", "zonemesh-supernode"] {
            site.install(&package(companion)?)?;
        }
        for (unit, most) in [
            ("zonemeshd.service", 2.0),
            ("zonemesh-guard.service", 1.5),
            ("zonemesh-gateway.service", 3.0),
            ("zonemesh-wait-ready.service", 1.0),
            ("zonemesh-superlink.service", 3.0),
            ("zonemesh-supernode.service", 3.0),
        ] {
            let figure = exposure(&site.berlin, unit)?;
            say(format_args!("{release}: {unit} {figure:.1} (at most {most:.1})"))?;
            ensure!(figure <= most, "{unit} is at {figure}");
        }
        let verified = site.berlin.run(
            "systemd-analyze verify --man=no zonemeshd.service zonemesh-guard.service \
             zonemesh-wait-ready.service 2>&1",
        )?;
        ensure!(!verified.contains("zonemesh"), "{verified}");
        site.succeeded()
    })
}
