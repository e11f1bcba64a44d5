//! The rules of the house, kept by machine: layers, banned calls, the shape of files.
//!
//! Each check is a function from text to faults, in `tidy/`, with tests of its own that show it can fail; here they
//! are applied to the repository. A fault names the file, the line and what would be right.

#[path = "tidy/calls.rs"]
mod calls;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;

use std::fs;
use std::path::Path;

use source::Source;

#[test]
fn layers_import_downwards() {
    expect_none(&layers::imports(&sources()));
}

#[test]
fn heavy_dependencies_stay_at_home() {
    expect_none(&layers::homes(&sources()));
}

#[test]
fn banned_calls_do_not_occur() {
    expect_none(&calls::banned(&sources()));
}

#[test]
fn unsafe_code_stays_in_two_files_and_gives_reasons() {
    expect_none(&calls::unsafe_code(&sources()));
}

#[test]
fn tests_choose_free_ports() {
    expect_none(&calls::fixed_ports(&sources()));
}

#[test]
fn files_say_what_they_own() {
    expect_none(&shape::openings(&sources()));
}

#[test]
fn files_are_short() {
    expect_none(&shape::lengths(&sources()));
}

#[test]
fn nothing_is_left_unfinished() {
    expect_none(&shape::unfinished(&texts()));
}

#[test]
fn the_project_speaks_of_itself_only() {
    expect_none(&shape::workshop(&texts()));
}

#[test]
fn the_top_level_is_the_house() {
    let ignored = read(".gitignore");
    let is_ignored = |name: &str| {
        ignored.lines().any(|line| match line.strip_prefix('*') {
            Some(end) => name.ends_with(end),
            None => line.strip_prefix('/') == Some(name),
        })
    };
    let mut entries = names(&root().join("."));
    entries.retain(|name| !is_ignored(name));
    assert!(entries.iter().any(|name| name == "src"));
    expect_none(&shape::top_level(&entries));
}

#[test]
fn dependencies_give_their_reasons() {
    for manifest in ["Cargo.toml", "protocol/Cargo.toml", "fuzz/Cargo.toml"] {
        expect_none(&shape::dependencies(manifest, &read(manifest)));
    }
}

#[test]
fn fuzz_targets_are_listed() {
    let files = names(&root().join("fuzz/fuzz_targets"));
    expect_none(&shape::fuzz_targets(&read("fuzz/Cargo.toml"), &files));
}

fn expect_none(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{} found:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust files of the repository.
fn sources() -> Vec<Source> {
    let sources: Vec<Source> = texts()
        .iter()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|end| end == "rs"))
        .map(|(path, text)| Source::new(path, text))
        .collect();
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"));
    sources
}

/// All text files of the repository that people write, with their paths.
fn texts() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for top in names(root()) {
        if ![".git", "target", "Cargo.lock", "edgetime-data"].contains(&top.as_str()) {
            collect(&top, &mut texts);
        }
    }
    texts
}

fn collect(path: &str, texts: &mut Vec<(String, String)>) {
    let full = root().join(path);
    if full.is_dir() {
        if !SKIPPED.contains(&path) {
            for name in names(&full) {
                collect(&format!("{path}/{name}"), texts);
            }
        }
    } else if !path.ends_with("Cargo.lock")
        && let Ok(text) = String::from_utf8(fs::read(&full).expect("the file was just listed"))
    {
        texts.push((path.to_owned(), text));
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder can be listed").file_name());
    let mut names: Vec<String> = entries
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// Folders that are built or found, not written.
const SKIPPED: [&str; 5] = [
    "fuzz/target",
    "fuzz/corpus",
    "fuzz/artifacts",
    "fuzz/coverage",
    "protocol/target",
];
