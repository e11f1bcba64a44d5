//! The `edgetime` binary: nothing but the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    edgetimedb::cli::main()
}
