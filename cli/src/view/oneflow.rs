//! `zonemesh oneflow`: what is wrong with templates, and what became of one.

use std::io;

use serde::Serialize;
use zonemesh_oneflow::check::CheckedTemplate;
use zonemesh_oneflow::{TemplateMistake, TextPlace};

use crate::failure::leads_nowhere;
use crate::output::{Page, Rendered};
use crate::table::{plain, wrapped};

/// The answer about all files.
#[derive(Debug, Serialize)]
pub(crate) struct OneflowCheckView {
    schema: &'static str,
    valid: bool,
    files: Vec<TemplateFileView>,
}

/// The answer about one.
#[derive(Debug, Serialize)]
pub(crate) struct TemplateFileView {
    file: String,
    valid: bool,
    name: Option<String>,
    roles: Vec<String>,
    errors: Vec<TemplateMistakeView>,
    notes: Vec<String>,
    /// Why it cannot be read.
    #[serde(skip)]
    unreadable: Option<io::ErrorKind>,
}

/// One mistake.
#[derive(Debug, Serialize)]
struct TemplateMistakeView {
    rule: &'static str,
    /// Null where the file cannot be read.
    line: Option<usize>,
    column: Option<usize>,
    path: String,
    found: String,
    expected: &'static str,
    fix: String,
}

/// What became of a template.
#[derive(Debug, Serialize)]
pub(crate) struct OneflowRenderView {
    schema: &'static str,
    file: String,
    secret: bool,
    asked: Vec<String>,
    notes: Vec<String>,
    next: String,
}

impl From<TemplateMistake> for TemplateMistakeView {
    fn from(mistake: TemplateMistake) -> Self {
        let TemplateMistake { rule, at: TextPlace { line, column }, path, found, fix } = mistake;
        let (line, column) = (Some(line), Some(column));
        Self { rule: rule.as_str(), line, column, path, found, expected: rule.expected(), fix }
    }
}

impl TemplateFileView {
    pub(crate) fn checked(file: String, checked: CheckedTemplate) -> Self {
        let CheckedTemplate { name, roles, mistakes, notes } = checked;
        Self { name, roles, notes, ..Self::with_mistakes(file, mistakes) }
    }

    pub(crate) fn with_mistakes(file: String, mistakes: Vec<TemplateMistake>) -> Self {
        let errors: Vec<_> = mistakes.into_iter().map(TemplateMistakeView::from).collect();
        let valid = errors.is_empty();
        let (roles, notes) = (Vec::new(), Vec::new());
        Self { file, valid, name: None, roles, errors, notes, unreadable: None }
    }

    pub(crate) fn unreadable(file: String, error: &io::Error) -> Self {
        let mistake = TemplateMistakeView {
            rule: "file",
            line: None,
            column: None,
            path: String::new(),
            found: format!("it cannot be read: {error}"),
            expected: "a file that this user may read",
            fix: match error.kind() {
                io::ErrorKind::PermissionDenied => "the same with sudo, or name another",
                _ => "name another",
            }
            .to_owned(),
        };
        let (errors, unreadable) = (vec![mistake], Some(error.kind()));
        Self { errors, valid: false, unreadable, ..Self::with_mistakes(file, Vec::new()) }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.errors.iter().map(|error| error.told(&self.file)).collect();
        if self.valid {
            let (name, roles) = (self.name.as_deref().unwrap_or_default(), self.roles.join(", "));
            lines.push(format!("{}: valid ({name}: {roles})", self.file));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines
    }
}

impl TemplateMistakeView {
    /// As an editor jumps to it.
    fn told(&self, file: &str) -> String {
        let place = match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            _ => file.to_owned(),
        };
        let Self { rule, path, found, expected, fix, .. } = self;
        let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
        format!("{place}: {path}{found}; expected {expected}; {fix} [{rule}]")
    }
}

impl OneflowCheckView {
    pub(crate) fn of(files: Vec<TemplateFileView>) -> Self {
        let valid = files.iter().all(|file| file.valid);
        Self { schema: "zonemesh/oneflow-check/v1", valid, files }
    }

    /// A permission is missing.
    pub(crate) fn is_denied(&self) -> bool {
        let denied = Some(io::ErrorKind::PermissionDenied);
        self.files.iter().any(|file| file.unreadable == denied)
    }

    /// All that is wrong is a path that leads nowhere.
    pub(crate) fn is_misnamed(&self) -> bool {
        let mut wrong = self.files.iter().filter(|file| !file.valid);
        wrong.all(|file| file.unreadable.is_some_and(leads_nowhere))
    }

    pub(crate) const fn is_valid(&self) -> bool {
        self.valid
    }
}

impl OneflowRenderView {
    pub(crate) fn new(file: String, secret: bool, asked: Vec<String>, notes: Vec<String>) -> Self {
        let next = format!("oneflow-template create {file}");
        Self { schema: "zonemesh/oneflow-render/v1", file, secret, asked, notes, next }
    }
}

fn folded(lines: &[String], page: Page) -> String {
    let shown = |line: &String| match page.wide {
        true => format!("{}\n", plain(line)),
        false => wrapped(&plain(line), "  "),
    };
    lines.iter().map(shown).collect()
}

impl Rendered for OneflowCheckView {
    fn text(&self, page: Page) -> String {
        let lines: Vec<String> = self.files.iter().flat_map(TemplateFileView::lines).collect();
        folded(&lines, page)
    }
}

impl Rendered for OneflowRenderView {
    fn text(&self, page: Page) -> String {
        let why = match self.secret {
            true => ": it holds secrets, and so will the service template in OpenNebula",
            false => "",
        };
        let mut lines = vec![format!("{}: written, for its owner only{why}", self.file)];
        if !self.asked.is_empty() {
            lines.push(format!("asked for at each instantiate: {}", self.asked.join(", ")));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.push(format!("next: {}", self.next));
        folded(&lines, page)
    }
}
