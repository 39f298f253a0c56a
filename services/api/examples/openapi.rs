//! Writes the OpenAPI document of the API to standard output: `cargo run -p nephos-api --example openapi`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let document = nephos_api::openapi::document(nephos_api::descriptions());
    std::io::stdout().write_all(nephos_api::openapi::text(&document).as_bytes())
}
