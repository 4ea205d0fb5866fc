//! Every command of ours that a document names is one that the real binaries understand.
//!
//! Each is run with `--help` behind its arguments: clap refuses an unknown command, flag or value
//! before it comes to that. What a command then does is shown by `quick_start.rs` and the
//! other scenarios.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use zonemesh_core::finding::Code;
use zonemesh_lab::binaries;

use netns_tests::markdown::{Block, all_documents, blocks, read};

const PROGRAMS: [&str; 6] = [
    "zonemesh",
    "zonemeshd",
    "zonemesh-gateway",
    "zonemesh-superlink",
    "zonemesh-supernode",
    "zonemesh-wg",
];

/// The words of one simple command of ours, without `sudo`, variables and redirections.
fn ours(command: &str) -> Option<Vec<String>> {
    let mut words = command.split_whitespace().skip_while(|word| {
        let variable = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        });
        *word == "sudo" || variable
    });
    let program = words.next().filter(|word| PROGRAMS.contains(word))?;
    let arguments = words.take_while(|word| !word.starts_with(['>', '<', '#']));
    let plain = |word: &str| word.trim_matches(['"', '\'']).to_owned();
    Some([program].into_iter().chain(arguments).map(plain).collect())
}

/// The simple commands of a script; here documents are data, what `$(…)` runs is a command.
fn commands(script: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut here: Option<String> = None;
    for line in script.replace("\\\n", " ").lines() {
        if here.as_deref() == Some(line) {
            here = None;
        }
        // In a here document only substitutions are run.
        let outer = if here.is_some() { "" } else { line };
        let inner = line.split("$(").skip(1).map(|rest| rest.split(')').next().unwrap_or_default());
        for part in [outer].into_iter().chain(inner) {
            found.extend(part.split(['|', ';', '&']).filter_map(ours));
        }
        if let Some((_, end)) = line.split_once("<<").filter(|_| here.is_none()) {
            let word: &str = end.split_whitespace().next().unwrap_or_default();
            here = Some(word.trim_matches('\'').to_owned());
        }
    }
    found
}

/// Commands in backticks. One with `…` in it is no command yet.
fn in_backticks(text: &str) -> Vec<Vec<String>> {
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.filter(|span| !span.contains(['…', '<'])).filter_map(ours).collect()
}

fn run(program: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(binaries::find(program)?);
    command.args(arguments).stdin(Stdio::null());
    command.output().with_context(|| format!("cannot start {command:?}"))
}

#[test]
fn every_documented_command_line_is_understood() -> Result<()> {
    let mut lines = BTreeSet::new();
    for document in all_documents() {
        let text = read(&document);
        let scripts = blocks(&text).into_iter().filter(|block| block.language == "sh");
        lines.extend(scripts.flat_map(|block| commands(&block.text)));
        lines.extend(in_backticks(&text));
    }
    lines.extend(in_backticks(&read("crates/appliance/src/reason/finding.rs")));
    lines.extend(Code::ALL.iter().flat_map(|code| in_backticks(code.fix())));
    ensure!(lines.len() >= 20, "only {} command lines were found: {lines:?}", lines.len());
    for line in lines {
        let arguments: Vec<&str> = line[1..].iter().map(String::as_str).chain(["--help"]).collect();
        let output = run(&line[0], &arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{} is not understood: {said}", line.join(" "));
    }
    Ok(())
}

#[test]
fn a_command_line_that_does_not_exist_is_found_out() -> Result<()> {
    for wrong in ["zonemesh statu", "zonemesh status --jsn", "zonemesh status -o yml"] {
        let arguments: Vec<&str> = wrong.split(' ').skip(1).chain(["--help"]).collect();
        ensure!(run("zonemesh", &arguments)?.status.code() == Some(2), "{wrong} was understood");
    }
    let script = "A=b sudo zonemesh status | zonemesh peers >x # zonemesh no\n\
                  cat <<END\nzonemesh data $(zonemesh key public \"F\")\nEND\nzonemeshd \\\n run\n";
    let found: Vec<String> = commands(script).iter().map(|words| words.join(" ")).collect();
    let expected = ["zonemesh status", "zonemesh peers", "zonemesh key public F", "zonemeshd run"];
    ensure!(found == expected, "{found:?}");
    Ok(())
}

/// The blocks of the quick start whose tag begins so.
fn tagged(tag: &str) -> Vec<Block> {
    let all = blocks(&read("docs/QUICKSTART.md")).into_iter();
    all.filter(|block| block.tag.as_deref().is_some_and(|found| found.starts_with(tag))).collect()
}

#[test]
fn the_configuration_in_the_quick_start_is_valid() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("zonemesh.toml");
    let shown = tagged("configuration of berlin");
    let [block] = shown.as_slice() else { anyhow::bail!("not one configuration: {shown:?}") };
    for (text, code) in [(block.text.clone(), 0), (block.text.replace("mtu", "x") + "x = 1\n", 7)] {
        std::fs::write(&file, text)?;
        let output = run("zonemesh", &["config", "check", &file.display().to_string()])?;
        ensure!(output.status.code() == Some(code), "ended with {output:?}");
    }
    Ok(())
}

#[test]
fn the_contexts_in_the_quick_start_are_ones_that_the_companions_take() -> Result<()> {
    let shown = tagged("context of ");
    ensure!(shown.len() == 2, "not two contexts: {shown:?}");
    for block in shown {
        let program = block.tag.as_deref().and_then(|tag| tag.strip_prefix("context of "));
        let program = program.context("the tag names the program")?;
        let (_, body) = block.text.split_once("'END'\n").context("a here document")?;
        let context = body.strip_suffix("END\n").context("its end")?;
        let less: String = context.split_inclusive('\n').skip(1).collect();
        // Without Flower the answer is F502; a setting that cannot work would end with 7 before.
        ensure!(plan(program, context)? == 6, "{program} refuses the context of the document");
        ensure!(plan(program, &less)? == 7, "{program} takes a context without its first key");
    }
    Ok(())
}

/// The exit code of `plan` with this context, on a machine without Flower.
fn plan(program: &str, context: &str) -> Result<i32> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("context.sh");
    std::fs::write(&file, context)?;
    let user = String::from_utf8(Command::new("id").arg("-un").output()?.stdout)?;
    let mut command = Command::new(binaries::find(program)?);
    command.args(["plan", "--context"]).arg(&file).stdin(Stdio::null());
    command.env("ONEAPP_ZONEMESH_FLOWER_BIN", folder.path());
    command.env("ONEAPP_ZONEMESH_FLOWER_USER", user.trim());
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let code = output.status.code().context("it was killed")?;
    ensure!(code != 6 || said.contains("flwr --version"), "{program} says something else: {said}");
    Ok(code)
}
