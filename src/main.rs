//! The `accolade` command.

fn main() {}
