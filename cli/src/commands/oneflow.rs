//! `zonemesh oneflow`: service templates, checked and rendered. The rules stand in
//! `zonemesh-oneflow`; here are files, folders and what is said.
//!
//! Promises: the document lies in a new file for its owner alone, or nothing is written; a secret
//! goes to standard output only if that was asked for.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use zonemesh_core::suggestion::nearest;
use zonemesh_oneflow::check::check;
use zonemesh_oneflow::render::{
    RenderLack, RenderRefusal, RenderValues, RenderedTemplate, ZoneFile, ZoneFolder, render,
};
use zonemesh_oneflow::{MAX_BYTES, SHIPPED};

use crate::arguments::{OneflowVerb, Render};
use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::output::Printer;
use crate::regular_file;
use crate::secret_file;
use crate::view::oneflow::{OneflowCheckView, OneflowRenderView, TemplateFileView};

pub(super) fn oneflow(
    verb: OneflowVerb,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    match verb {
        OneflowVerb::Check { files } => {
            let views = files.iter().map(|file| checked(file)).collect();
            show_checked(views, output, out)
        }
        OneflowVerb::Render(wanted) => rendered(&wanted, output, out),
    }
}

fn show_checked(
    views: Vec<TemplateFileView>,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let view = OneflowCheckView::of(views);
    output.show(&view, out)?;
    Ok(match view.is_valid() {
        true => Exit::Ok,
        // A missing permission is told as one, whatever it was needed for.
        false if view.is_denied() => Exit::Policy,
        false => Exit::Configuration,
    })
}

/// One file; that it cannot be read is told beside what the others hold.
fn checked(file: &Path) -> TemplateFileView {
    let name =
        if is_standard(file) { "standard input".to_owned() } else { file.display().to_string() };
    match bytes(file) {
        Ok(bytes) => TemplateFileView::checked(name, check(&bytes)),
        Err(error) => TemplateFileView::unreadable(name, &error),
    }
}

fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

/// Enough of a file to see that it is too long.
fn bytes(file: &Path) -> io::Result<Vec<u8>> {
    let most = u64::try_from(MAX_BYTES + 1).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    match is_standard(file) {
        true => io::stdin().lock().take(most).read_to_end(&mut bytes)?,
        false => regular_file::open(file)?.take(most).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

fn rendered(
    wanted: &Render,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let template = template(&wanted.template)?;
    let values = RenderValues {
        placeholders: wanted.placeholders.iter().map(|given| given.0.clone()).collect(),
        inputs: wanted.inputs.iter().map(|given| given.0.clone()).collect(),
        zone: wanted.zone.as_deref().map(zone_folder).transpose()?,
        federation: wanted.federation.as_ref().map(ToString::to_string),
    };
    let made = match render(&template, &values) {
        Ok(made) => made,
        Err(RenderRefusal::Lacks(lacks)) => return Err(lacking(&wanted.template, &lacks)),
        Err(RenderRefusal::Mistakes(mistakes)) => {
            let view = TemplateFileView::with_mistakes(wanted.template.clone(), mistakes);
            return show_checked(vec![view], output, out);
        }
    };
    if wanted.out.as_deref().is_some_and(is_standard) {
        out.write_all(made.text.as_bytes())?;
        return Ok(Exit::Ok);
    }
    let file =
        wanted.out.clone().unwrap_or_else(|| file_name(&wanted.template, values.zone.as_ref()));
    secret_file::create(&file, made.text.trim_end())?;
    let RenderedTemplate { is_secret, asked, notes, .. } = made;
    let file = file.display().to_string();
    output.show(&OneflowRenderView::new(file, is_secret, asked, notes), out)?;
    Ok(Exit::Ok)
}

/// A template that is shipped, or a file.
fn template(wanted: &str) -> Result<Vec<u8>, CommandFailure> {
    if let Some(shipped) = SHIPPED.iter().find(|shipped| shipped.name == wanted) {
        return Ok(shipped.text.as_bytes().to_vec());
    }
    let path = Path::new(wanted);
    if !is_standard(path) && !wanted.contains(['/', '.']) && !path.exists() {
        let names: Vec<&str> = SHIPPED.iter().map(|shipped| shipped.name).collect();
        let like =
            nearest(wanted, &names).map(|like| format!("; is {like} meant?")).unwrap_or_default();
        let message = format!("no template {wanted:?}{like}");
        let next = format!("zonemesh oneflow render with one of: {}, or a path", names.join(", "));
        return Err(CommandFailure::message(Exit::Usage, message).next(next));
    }
    bytes(path).or_exit(Exit::Configuration, || format!("cannot read {wanted}"))
}

/// TEMPLATE-ZONE.json in the folder where one is.
fn file_name(template: &str, zone: Option<&ZoneFolder>) -> PathBuf {
    let stem = Path::new(template).file_stem().unwrap_or_default().to_string_lossy();
    let stem = if stem == "-" { "template".into() } else { stem };
    PathBuf::from(format!("{stem}-{}.json", zone.map_or("rendered", |zone| &zone.zone)))
}

/// All that is missing, each with what to give.
fn lacking(template: &str, lacks: &[RenderLack]) -> CommandFailure {
    let lines = lacks.iter().map(|lack| format!("\n  {}: {}", lack.what, lack.give));
    let message = format!("{template} is not rendered:{}", lines.collect::<String>());
    CommandFailure::message(Exit::Usage, message)
}

/// Reads what a zone's folder has for CONTEXT.
fn zone_folder(folder: &Path) -> Result<ZoneFolder, CommandFailure> {
    let cannot = || format!("cannot read {}", folder.display());
    let whole = folder.canonicalize().or_exit(Exit::Configuration, cannot)?;
    let zone = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&whole).or_exit(Exit::Configuration, cannot)? {
        let name = entry.or_exit(Exit::Configuration, cannot)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    let taken: Vec<&String> = names.iter().filter(|name| ZoneFolder::takes(name)).collect();
    if taken.is_empty() {
        return Err(no_zone(folder, &names));
    }
    let files = taken.into_iter().map(|name| {
        let path = folder.join(name);
        let is_file = std::fs::metadata(&path).is_ok_and(|of| of.is_file());
        if !is_file && path.exists() {
            let message = format!("{} is no regular file", path.display());
            return Err(CommandFailure::message(Exit::Configuration, message));
        }
        let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
        Ok(ZoneFile { name: name.clone(), text: secret_file::read_up_to(&path, most)? })
    });
    Ok(ZoneFolder { zone, files: files.collect::<Result<_, _>>()? })
}

/// The folder of the whole mesh is easily taken for a zone's.
fn no_zone(folder: &Path, names: &[String]) -> CommandFailure {
    let is_zone = |name: &&String| folder.join(name).join("context").exists();
    let zones: Vec<String> =
        names.iter().filter(is_zone).map(|name| folder.join(name).display().to_string()).collect();
    let message = format!("{} is no zone's folder: it has no file `context`", folder.display());
    let next = match zones.as_slice() {
        [] => "--zone FOLDER/ZONE, with FOLDER as `zonemesh mesh init --out FOLDER` wrote it"
            .to_owned(),
        zones => format!("--zone with one of: {}", zones.join(", ")),
    };
    CommandFailure::message(Exit::Configuration, message).next(next)
}

#[cfg(test)]
mod tests {
    use zonemesh_core::time::UnixMillis;

    use super::*;
    use crate::arguments::Format;
    use crate::output::Page;

    #[test]
    fn a_file_that_this_user_may_not_read_is_a_missing_permission() {
        let exit = |kind| {
            let view = TemplateFileView::unreadable("a.json".to_owned(), &io::Error::from(kind));
            let page = Page { header: true, wide: true, now: UnixMillis(0) };
            let mut out = Vec::new();
            let output = Printer { format: Format::Table, page };
            let exit = show_checked(vec![view], output, &mut out).ok().unwrap();
            (exit, String::from_utf8(out).unwrap())
        };
        let (denied, said) = exit(io::ErrorKind::PermissionDenied);
        assert_eq!(denied, Exit::Policy);
        assert!(said.contains("the same with sudo"), "{said}");
        assert_eq!(exit(io::ErrorKind::NotFound).0, Exit::Configuration);
    }
}
