//! An appliance's image, made as `packer/base/build.pkr.hcl` makes it: our package with apt, one-apps'
//! framework, and `service install`, all on a booted Debian.
//!
//! Owns the images beside the packages; each is made once of the same parts. Promises that what apt and
//! pip install is installed by apt and pip, from folders that `netns-tests/setup.sh images` fills.
//! Refuses to know what a VM of it is told.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use netns_tests::systemd::{BootedDebian, MachineDisk, cached, package, packages};
use sha2::{Digest as _, Sha256};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::namespace::run;

use crate::say;

/// The Debian whose Python the wheels are for.
pub(crate) const RELEASE: &str = "bookworm";
const STEPS: &str = include_str!("build_image.sh");
const FACTORY: [ZonePlan<'_>; 1] = [ZonePlan { name: "factory", vms: &["image"] }];

/// What an image is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appliance {
    folder: &'static str,
    packages: &'static [&'static str],
}

pub(crate) const GATEWAY: Appliance =
    Appliance { folder: "service_ZonemeshGateway", packages: &["zonemesh"] };
pub(crate) const SUPERLINK: Appliance =
    Appliance { folder: "service_FlowerSuperLink", packages: &["zonemesh-superlink"] };
pub(crate) const SUPERNODE: Appliance =
    Appliance { folder: "service_FlowerSuperNode", packages: &["zonemesh-supernode"] };
/// The gateway and the SuperLink in one VM.
pub(crate) const BOTH: Appliance = Appliance {
    folder: "service_FlowerSuperLinkGateway",
    packages: &["zonemesh", "zonemesh-superlink"],
};

/// A checkout of one-apps, or what stands in for it.
pub(crate) fn one_apps() -> PathBuf {
    std::env::var_os("ONE_APPS_DIR").map_or_else(own_one_apps, PathBuf::from)
}

/// What stands in for it.
pub(crate) fn own_one_apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("one-apps")
}

fn packer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packer")
}

impl Appliance {
    /// The disk of a VM that is made of its image, with this Flower in it.
    pub(crate) fn disk(self, flower: &str) -> Result<MachineDisk> {
        let images = packages()?.parent().context("a folder above the packages")?.join("images");
        std::fs::create_dir_all(&images)?;
        let framework = if one_apps() == own_one_apps() { "own" } else { "one-apps" };
        let name = format!("{}-{flower}-{framework}", self.folder);
        let image = images.join(&name);
        // Whoever comes second waits for whoever makes it.
        let lock = File::create(images.join(format!("{name}.lock")))?;
        lock.lock()?;
        let stamp = images.join(format!("{name}.stamp"));
        let parts = self.parts()?;
        if std::fs::read_to_string(&stamp).unwrap_or_default() != parts {
            drop(std::fs::remove_file(&stamp));
            run(Command::new("rm").arg("-rf").arg(&image))?;
            self.build(flower, &image)?;
            std::fs::write(&stamp, parts)?;
        }
        Ok(MachineDisk::of(RELEASE).image(&image))
    }

    /// What it is made of, as one hash.
    fn parts(self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(STEPS);
        let appliance = packer().join(self.folder).join("appliance.sh");
        let mut own = vec![appliance, packer().join("base/zonemesh.sh")];
        for name in self.packages {
            own.push(package(name)?);
        }
        let one = one_apps();
        let framework = ["service.sh", "lib/common.sh", "lib/functions.sh"];
        let framework = framework.map(|file| one.join("appliances").join(file));
        let context = one.join("context-linux/src/usr/sbin/one-contextd");
        for file in own.iter().chain(&framework).chain([&context]) {
            hash.update(std::fs::read(file).with_context(|| file.display().to_string())?);
        }
        let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(digits)
    }

    fn build(self, flower: &str, image: &Path) -> Result<()> {
        let begun = Instant::now();
        let mut lab = Lab::new(&FACTORY)?;
        // Links are what a provisioner follows.
        let sources = lab.folder().join("packer");
        run(Command::new("cp").arg("-rL").arg(packer()).arg(&sources))?;
        std::fs::write(sources.join("build_image.sh"), STEPS)?;
        let [debian, wheels] = [cached("rootfs/bookworm.debs")?, cached("wheels")?];
        for folder in [&debian, &wheels] {
            ensure!(
                folder.is_dir(),
                "{} is missing -> netns-tests/setup.sh images",
                folder.display()
            );
        }
        let disk = MachineDisk::of(RELEASE)
            .with(&one_apps(), "/srv/one-apps")
            .with(&sources, "/srv/packer")
            .with(&packages()?, "/srv/packages")
            .with(&debian, "/srv/debian")
            .with(&wheels, "/srv/wheels");
        let place = &lab.zone("factory")?.vm("image")?.namespace;
        let mut machine = BootedDebian::boot_from(&lab, place, disk)?;
        let (folder, packages) = (self.folder, self.packages.join(" "));
        machine.run(&format!("bash /srv/packer/build_image.sh {folder} {flower} {packages}"))?;
        machine.switch_off()?;
        run(Command::new("mv").arg(machine.written()).arg(image))?;
        let took = begun.elapsed().as_secs_f64();
        say(format_args!("image {folder} with Flower {flower}: {took:.0} s"))?;
        lab.succeeded()
    }
}
