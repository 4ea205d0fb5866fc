//! The order in which `zonemesh-superlink` does things, and its restarts.
//!
//! It promises that Flower runs whenever there is a certificate for it: a gateway that is away, or
//! refuses, stops nothing that runs. Whatever is wrong is said and tried again for ever, so that a
//! VM joins by itself once it is put right. It refuses to know how Flower is told: `plan.rs`.

use anyhow::Context as _;
use zonemesh_appliance::files::FileOwner;
use zonemesh_appliance::gateway::{LocalGateway, SetFile};
use zonemesh_appliance::installed::installed_flower;
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::settings::{SuperLinkSettings, distinct_ports};
use zonemesh_appliance::startup;
use zonemesh_core::exit::Exit;
use zonemesh_core::record::Readiness;

use crate::certified::CertifiedSuperLink;
use crate::plan::{PrintedSuperLinkPlan, SuperLinkInputs, home};
use crate::serving::{FlowerEnd, ServingFlower};

/// Runs until the process is told to stop.
///
/// # Errors
/// Settings that cannot work on this machine, or a system that gives no signals.
pub(crate) async fn run(settings: SuperLinkSettings) -> anyhow::Result<Exit> {
    let mut superlink = CertifiedSuperLink::begin(settings)?;
    tokio::select! {
        failed = work(&mut superlink) => failed?,
        stopped = startup::stop_signal() => stopped?,
    }
    superlink.stop().await;
    Ok(Exit::Ok)
}

async fn work(superlink: &mut CertifiedSuperLink) -> anyhow::Result<()> {
    let flower = superlink.companion.installed().await;
    let settings = superlink.settings.clone();
    let owner = superlink.companion.vm.owner;
    let home = superlink.companion.vm.home.clone();
    let inputs = SuperLinkInputs { settings: &settings, owner, flower, home: &home };
    distinct_ports(inputs.ports())?;
    for purpose in inputs.without_effect() {
        tracing::warn!(
            "Flower {} has no port of its own for {purpose}: the one that is given has no effect",
            flower.version
        );
    }
    if !settings.authenticates {
        tracing::warn!(
            "ONEAPP_FL_SUPERNODE_AUTH=NO: every VM of a training zone can take part, registered or not"
        );
    }
    let mut identity = superlink.first_identity(&inputs).await;
    loop {
        superlink.companion.trusts(&[identity.ca()]);
        superlink.companion.vm.reporter.ca(&identity.ca_pem);
        if settings.authenticates && !identity.names_supernodes {
            tracing::warn!(
                "the gateway is of a release that names no SuperNodes: they are not asked for keys"
            );
        }
        let plan = inputs.plan(Some(&identity));
        if let Err(reason) = superlink.companion.vm.start(&plan, &inputs.fleet().to_string()) {
            superlink.companion.vm.reporter.blocked(&reason);
            tokio::time::sleep(superlink.companion.vm.runner.next_try()).await;
            continue;
        }
        match ServingFlower::begin(&inputs, &identity)?.follow(superlink).await? {
            FlowerEnd::Exited(exit) => {
                let wait = superlink.companion.vm.note_end(exit);
                superlink.tell(Readiness::Starting).await;
                tokio::time::sleep(wait).await;
            }
            FlowerEnd::Renewed(renewed) => {
                tracing::info!("new certificate: flower is restarted");
                superlink.tell(Readiness::Starting).await;
                superlink.companion.vm.runner.stop().await;
                identity = *renewed;
            }
        }
    }
}

/// Prints what `run` would do, without secrets, and judges: well if the gateway is the token's and
/// takes the token. It is asked what it tells of the federation; nothing is registered.
///
/// # Errors
/// Flower is not usable here.
pub(crate) async fn print_plan(settings: SuperLinkSettings) -> anyhow::Result<Exit> {
    let owner = settings.common.flower_user.as_deref().map(FileOwner::of_user).transpose()?;
    let wanted = settings.common.flower_version;
    let home = home(&settings).passing_on(|name| settings.common.passed_on(name));
    let (printed, asked) = match installed_flower(&home, owner, wanted).await {
        Ok(flower) => {
            let inputs = SuperLinkInputs { settings: &settings, owner, flower, home: &home };
            distinct_ports(inputs.ports())?;
            let file = SetFile::Read(inputs.state().authority_set());
            let gateway = LocalGateway::new(&settings.common, &settings.mesh, file);
            let gateway = gateway.calling_from(Some(settings.address));
            gateway.runs(flower);
            let asked = gateway.resolve().await.map(drop);
            (inputs.printed(gateway.address(), asked.as_ref().copied()), asked)
        }
        Err(reason) => (PrintedSuperLinkPlan::without_flower(&reason), Err(reason)),
    };
    let json = startup::json(&printed).context("cannot print the plan")?;
    startup::print(&json)?;
    let in_this_vm = settings.common.gateway_status.is_some();
    Ok(asked.as_ref().map_or_else(|reason| verdict(reason, in_this_vm), |()| Exit::Ok))
}

/// A gateway in this VM has its settings from the CONTEXT that is judged here, and may not run with
/// them yet: what it says today refuses nothing, as nobody could correct it.
const fn verdict(reason: &Reason, in_this_vm: bool) -> Exit {
    let is_said_by_gateway = matches!(
        reason,
        Reason::TokenRefused { .. }
            | Reason::GatewayKey { .. }
            | Reason::GatewayUnproven { .. }
            | Reason::RegistrationRefused { .. }
            | Reason::RequestRefused { .. }
    );
    if in_this_vm && is_said_by_gateway { Exit::NotYet } else { startup::verdict(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gateway_in_this_vm_says_refuses_nothing_and_what_this_machine_says_does() {
        let token = Reason::TokenRefused { message: "no such token".into() };
        let gateway = "10.10.10.1:51822".parse().unwrap();
        let other = Reason::GatewayKey { gateway, problem: "another key".into() };
        for reason in [token, other] {
            assert_eq!(verdict(&reason, true), Exit::NotYet, "{reason}");
            assert_eq!(verdict(&reason, false), Exit::Policy, "{reason}");
        }
        let files = Reason::Files { problem: "no space left".into() };
        assert_eq!(verdict(&files, true), Exit::Policy);
        let away = Reason::OwnGatewayAway { problem: "it has just begun".into() };
        assert_eq!(verdict(&away, true), Exit::NotYet);
    }
}
