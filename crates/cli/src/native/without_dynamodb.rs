//! What a build without the feature `dynamodb` says where it would be needed.

use anyhow::bail;
use patchbay_core::adoption::{Adopted, NewOwner};

use super::serve::Serving;
use super::settings::TableAt;

const MISSING: &str = "this build knows no DynamoDB: build one with `cargo build --release --features dynamodb`";

/// Says so.
///
/// # Errors
/// Always.
pub fn create_table(_: &TableAt) -> anyhow::Result<()> {
    bail!(MISSING)
}

/// Says so.
///
/// # Errors
/// Always.
pub fn serve(_: Serving<'_>) -> anyhow::Result<()> {
    bail!(MISSING)
}

/// Says so.
///
/// # Errors
/// Always.
pub fn status(_: &TableAt) -> anyhow::Result<()> {
    bail!(MISSING)
}

/// Says so.
///
/// # Errors
/// Always.
pub fn rotate(_: &TableAt) -> anyhow::Result<()> {
    bail!(MISSING)
}

/// Says so.
///
/// # Errors
/// Always.
pub fn adopt(_: &TableAt, _: &NewOwner, _: bool) -> anyhow::Result<Adopted> {
    bail!(MISSING)
}
