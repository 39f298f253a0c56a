//! What every route shares: content negotiation, bodies, arguments, URLs, CORS, and the frame around each request.

pub mod accept;
pub mod args;
pub mod base;
pub mod conditional;
pub mod cors;
pub mod frame;
pub mod nul;
pub mod payload;
pub mod reply;
pub mod segments;
pub mod text;

pub use args::Args;
pub use base::BaseUrl;
pub use payload::{Payload, Unread};
pub use segments::Segments;
pub use text::{Columns, Text};
