//! The Python client's own tests: the golden frames, and a real server, directly and through a proxy that fails.

mod support;

use std::path::Path;
use std::process::Command;

#[test]
fn the_python_client_passes_its_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol/python");
    let ran = Command::new("python3")
        .args(["-B", "-m", "unittest", "discover", "-s", "tests"])
        .current_dir(&folder)
        .env("PYTHONPATH", &folder)
        .env("EDGETIME_BINARY", support::program().get_program())
        .output();
    let Ok(output) = ran else {
        // No Python, no client to be tested.
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // One needs pandas; the others need a server, and have one.
    assert!(said.contains("OK"), "{said}");
    assert!(
        !said.contains("skipped=") || said.contains("skipped=1)"),
        "{said}"
    );
}
