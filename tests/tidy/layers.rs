//! Who may import whom: the layers of `src/ARCHITECTURE.md`, and the one home of every heavy dependency.

use super::source::{Source, has_word};

/// Modules of the library and the modules that each may name, besides itself and `FOUNDATION`.
const LAYERS: [(&str, &[&str]); 14] = [
    // L1
    ("codec", &[]),
    ("storage", &[]),
    // L2
    ("series", &["codec"]),
    ("rollup", &["codec"]),
    ("catalog", &[]),
    ("log", &["storage"]),
    ("blocks", &["storage", "codec"]),
    ("meta", &[]),
    // L3
    (
        "engine",
        &[
            "codec", "storage", "series", "rollup", "catalog", "log", "blocks", "meta",
        ],
    ),
    // L4
    ("query", &["engine", "series", "rollup", "catalog"]),
    // L5
    ("server", &["query", "engine", "meta"]),
    // L6: names everything
    ("cli", EVERYTHING),
    ("main", EVERYTHING),
    ("lib", EVERYTHING),
];

/// L0: plain types, which may name one another and nothing above.
const FOUNDATION: [&str; 10] = [
    "clock", "config", "error", "limits", "memory", "metrics", "mutants", "paged", "schedule",
    "types",
];

/// Says that a module may name all others.
const EVERYTHING: &[&str] = &["*"];

/// Dependencies that only some modules may name.
const HOMES: [(&str, &[&str]); 10] = [
    ("tokio", &["server", "cli", "main"]),
    ("tokio_util", &["server", "cli", "main"]),
    ("rusqlite", &["meta"]),
    ("roaring", &["catalog"]),
    ("memmap2", &["storage"]),
    ("tsz", &["codec"]),
    ("lz4_flex", &["codec"]),
    ("sqlparser", &["query"]),
    ("clap", &["cli", "main"]),
    ("indicatif", &["cli", "main"]),
];

/// Imports that go up or sideways.
pub fn imports(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let Some(module) = source.module() else {
            continue;
        };
        let allowed = match LAYERS.iter().find(|(name, _)| *name == module) {
            Some((_, allowed)) => *allowed,
            None if FOUNDATION.contains(&module) => &[],
            None => {
                faults.push(format!("{}: module `{module}` has no layer", source.path));
                continue;
            }
        };
        if allowed == EVERYTHING {
            continue;
        }
        for (line, target) in crate_paths(source) {
            let fine = target == module
                || FOUNDATION.contains(&target.as_str())
                || allowed.contains(&target.as_str())
                || !is_module(&target);
            if !fine {
                let path = &source.path;
                faults.push(format!("{path}:{line}: `{module}` may not name `{target}`"));
            }
        }
        faults.extend(climbs(source));
    }
    faults
}

/// Dependencies named outside their homes. A test may ask another program what is right.
pub fn homes(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let module = match source.module() {
            Some(module) => module,
            None if source.path.starts_with("protocol/src/") => "protocol",
            None => continue,
        };
        for (number, line, _) in source.lines() {
            for (name, homes) in HOMES {
                let path = has_word(line, &format!("{name}::"))
                    || line.trim_start().starts_with(&format!("use {name};"));
                let test = source.path.contains("/tests/");
                let other = line.contains(&format!("::{name}::"));
                if path && !test && !other && !homes.contains(&module) {
                    let file = &source.path;
                    faults.push(format!(
                        "{file}:{number}: `{name}` does not belong into `{module}`"
                    ));
                }
            }
        }
    }
    faults
}

/// Names directly behind `crate::`, groups taken apart, with their lines.
fn crate_paths(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code = source.code.join("\n");
    for (at, prefix) in code.match_indices("crate::") {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        if code[..at].chars().next_back().is_some_and(is_name) {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + prefix.len()..];
        if !rest.starts_with('{') {
            found.push((line, rest.chars().take_while(|c| is_name(*c)).collect()));
            continue;
        }
        let mut depth = 0_usize;
        let mut name = String::new();
        let mut in_head = true;
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => {
                    found.push((line, std::mem::take(&mut name)));
                    in_head = true;
                }
                c if depth == 1 && in_head && is_name(c) => name.push(c),
                ':' => in_head = false,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        found.push((line, name));
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

/// Paths of `super` that reach the root of the library, where any module could be named unseen.
fn climbs(source: &Source) -> Vec<String> {
    let inside = source
        .path
        .trim_start_matches("src/")
        .trim_end_matches(".rs");
    let depth = inside.split('/').filter(|part| *part != "mod").count();
    source
        .lines()
        .filter(|(_, line, in_test)| {
            let climbs = "super::".repeat(depth + usize::from(*in_test));
            has_word(line, climbs.trim_end_matches("::")) && line.contains(&climbs)
        })
        .map(|(number, _, _)| format!("{}:{number}: write `crate::`, not `super::`", source.path))
        .collect()
}

/// Whether a name behind `crate::` is a module at all, and not a macro or a re-export.
fn is_module(name: &str) -> bool {
    LAYERS.iter().any(|(module, _)| *module == name) || FOUNDATION.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports_of(path: &str, text: &str) -> Vec<String> {
        imports(&[Source::new(path, text)])
    }

    #[test]
    fn an_import_from_above_is_found() {
        for (path, text) in [
            ("src/codec/bits.rs", "use crate::series::Rows;"),
            ("src/series/open.rs", "use crate::storage::File;"),
            ("src/log/mod.rs", "fn f(x: &crate::engine::Engine) {}"),
            (
                "src/query/plan.rs",
                "use crate::{limits, types::{A, B}, storage::File};",
            ),
            (
                "src/query/plan.rs",
                "use crate::{\n    types,\n    log,\n};",
            ),
            ("src/types.rs", "use crate::codec::Vector;"),
            ("src/server/mod.rs", "use crate::cli::generate;"),
            (
                "src/engine/mod.rs",
                "#[cfg(test)]\nmod tests { use crate::query::Plan; }",
            ),
        ] {
            assert_eq!(imports_of(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn an_import_from_below_passes() {
        for (path, text) in [
            (
                "src/series/open.rs",
                "use crate::codec::Block; use crate::series::rows::Rows;",
            ),
            (
                "src/blocks/mod.rs",
                "use crate::{codec, storage, limits::TAGS};",
            ),
            (
                "src/engine/mod.rs",
                "use crate::log::Writer; // crate::query::Plan",
            ),
            ("src/cli/bench.rs", "use crate::server::serve;"),
            (
                "src/codec/bits.rs",
                "use super::super::codec; fn f() -> &'static str { \"crate::engine\" }",
            ),
        ] {
            let faults = imports_of(path, text);
            let climbs = text.contains("super::super");
            assert_eq!(faults.len(), usize::from(climbs), "{faults:?}");
        }
    }

    #[test]
    fn a_module_without_a_layer_is_found() {
        assert_eq!(imports_of("src/utils/mod.rs", "").len(), 1);
    }

    #[test]
    fn a_path_that_climbs_to_the_root_is_found() {
        assert_eq!(
            imports_of("src/codec/mod.rs", "use super::engine;").len(),
            1
        );
        assert_eq!(
            imports_of("src/codec/bits.rs", "use super::super::engine;").len(),
            1
        );
        assert_eq!(
            imports_of("src/codec/bits.rs", "use super::error;").len(),
            0
        );
        let nested = "#[cfg(test)]\nmod tests { use super::super::error; use super::*; }";
        assert_eq!(imports_of("src/codec/bits.rs", nested).len(), 0);
    }

    #[test]
    fn a_dependency_away_from_home_is_found() {
        let faults = |path, text| homes(&[Source::new(path, text)]).len();
        assert_eq!(faults("src/engine/mod.rs", "use tokio::sync::mpsc;"), 1);
        assert_eq!(
            faults("protocol/src/client.rs", "use tokio_util::codec::Decoder;"),
            1
        );
        assert_eq!(
            faults(
                "src/catalog/mod.rs",
                "let x = rusqlite::Connection::open(p);"
            ),
            1
        );
        assert_eq!(faults("src/server/mod.rs", "use tokio::sync::mpsc;"), 0);
        assert_eq!(
            faults("src/engine/mod.rs", "use tokio_like::sync; // tokio::sync"),
            0
        );
    }
}
