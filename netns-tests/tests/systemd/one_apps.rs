//! What stands in for one-apps, held against what one-apps does: each case of its order of stages.
//!
//! The cases are the specification. They were seen with the real one (OpenNebula/one-apps, June 2026),
//! and are seen with it again where ONE_APPS_DIR names a checkout.

use anyhow::{Result, ensure};
use netns_tests::systemd::{BootedDebian, MachineDisk};
use zonemesh_lab::lab::{Lab, ZonePlan};

use crate::lives::{one_apps, own_one_apps};
use crate::say;

const PROBE: &str = include_str!("one_apps_probe.sh");
const FACTORY: [ZonePlan<'_>; 1] = [ZonePlan { name: "factory", vms: &["probe"] }];

/// Stage, status before, reconfigurable, what else | exit code | status after | what ran.
const CASES: &str = "\
install - - | 0 | install_success | install,0077,new end cleanup
install install_success - | 0 | install_success | cleanup
install install_started - | 1 | install_failure | cleanup
install install_failure - | 1 | install_failure | cleanup
install bootstrap_success true | 1 | bootstrap_success | cleanup
configure - true | 1 |  | cleanup
configure install_success - | 0 | configure_success | configure,0077,new end cleanup
configure install_failure true | 1 | install_failure | cleanup
configure configure_success - | 0 | configure_success | cleanup
configure configure_success true | 0 | configure_success | configure,0077,new end cleanup
configure configure_started - | 1 | configure_failure | cleanup
configure configure_started true | 0 | configure_success | configure,0077,new end cleanup
configure configure_failure - | 1 | configure_failure | cleanup
configure configure_failure true | 0 | configure_success | configure,0077,new end cleanup
configure bootstrap_success - | 1 | bootstrap_success | cleanup
configure bootstrap_success true | 0 | configure_success | configure,0077,new end cleanup
configure bootstrap_failure - | 1 | bootstrap_failure | cleanup
configure bootstrap_failure true | 0 | configure_success | configure,0077,new end cleanup
bootstrap - true | 1 |  | cleanup
bootstrap install_success true | 1 | install_success | cleanup
bootstrap configure_success - | 0 | bootstrap_success | bootstrap,0077,new end cleanup
bootstrap configure_failure true | 1 | configure_failure | cleanup
bootstrap bootstrap_success - | 0 | bootstrap_success | cleanup
bootstrap bootstrap_success true | 0 | bootstrap_success | bootstrap,0077,new end cleanup
bootstrap bootstrap_started - | 1 | bootstrap_failure | cleanup
bootstrap bootstrap_started true | 0 | bootstrap_success | bootstrap,0077,new end cleanup
bootstrap bootstrap_failure - | 1 | bootstrap_failure | cleanup
bootstrap bootstrap_failure true | 0 | bootstrap_success | bootstrap,0077,new end cleanup
motd: ready
configure install_success true msg error | 1 | configure_failure | configure,0077,new cleanup
motd: error
configure install_success true msg info | 0 | configure_success | configure,0077,new end cleanup
bootstrap configure_success true false | 1 | bootstrap_failure | bootstrap,0077,new cleanup
configure bootstrap_started true a pipe is left | 1 | configure_failure | cleanup
configure bootstrap_success true another runs | 0 | bootstrap_success |
configure bootstrap_success true the lock is held | 1 | bootstrap_success |
bad-word install_success true | 2 | install_success |
700
644
";

#[test]
fn what_stands_in_for_one_apps_does_what_one_apps_does() -> Result<()> {
    let mut all = vec![own_one_apps(), one_apps()];
    all.dedup();
    for source in all {
        let mut lab = Lab::new(&FACTORY)?;
        let place = &lab.zone("factory")?.vm("probe")?.namespace;
        let disk = MachineDisk::of("bookworm").with(&source, "/srv/one-apps");
        let machine = BootedDebian::boot_from(&lab, place, disk)?;
        machine.write("/root/probe.sh", PROBE)?;
        let seen = machine.run("bash /root/probe.sh /srv/one-apps/appliances")?;
        ensure!(seen == CASES, "{}:\n{seen}\n--- expected ---\n{CASES}", source.display());
        say(format_args!("{}: {} cases", source.display(), CASES.lines().count()))?;
        lab.succeeded()?;
    }
    Ok(())
}
