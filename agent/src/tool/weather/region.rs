//! Names of regions.

/// Returns the full name of an abbreviated country, or `region` itself.
pub(super) fn full_name(region: &str) -> &str {
    match region.to_ascii_lowercase().as_str() {
        "uk" => "United Kingdom",
        "us" | "usa" => "United States",
        _ => region,
    }
}
