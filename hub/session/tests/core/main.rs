//! The session's behaviour from outside: rules by example, and invariants over random histories.

mod bounds;
mod harness;
mod properties;
mod rules;
