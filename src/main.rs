//! The `edgetime` binary.

fn main() {}
