//! nephos
fn main() {}
