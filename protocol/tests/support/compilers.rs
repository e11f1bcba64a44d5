//! The C client, compiled: by the system's `cc`, which has to be there, and by clang where that is.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the C client.
pub fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The tests of the protocol and those of the server share this file.
    let root = if here.join("c").is_dir() {
        here.to_owned()
    } else {
        here.join("protocol")
    };
    root.join("c")
}

/// The compilers that there are, `cc` first.
pub fn compilers() -> Vec<&'static str> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let mut found = vec!["cc"];
    assert!(
        is_there(&"cc"),
        "the C client is tested with `cc`: install a C compiler"
    );
    found.extend(["gcc", "clang"].into_iter().filter(is_there));
    // One of the two is what `cc` is.
    let name = Command::new("cc").arg("--version").output().expect("runs");
    let is_clang = String::from_utf8_lossy(&name.stdout).contains("clang");
    found.retain(|name| *name != if is_clang { "clang" } else { "gcc" });
    found
}

/// Compiles a program with every warning an error, under the address and undefined sanitizers.
pub fn compile(compiler: &str, source: &Path, program: &Path) {
    let mut command = Command::new(compiler);
    command
        .args(["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-O1", "-g"])
        .args([
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Wconversion",
            "-Wshadow",
            "-Werror",
        ])
        .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
        .arg("-I")
        .arg(folder())
        .arg(source)
        .arg("-o")
        .arg(program);
    run(&mut command);
}

/// Runs a command that has to succeed; what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
