//! The session's behaviour from outside: rules by example, and invariants over random histories.

mod adopt;
mod bounds;
mod clock;
mod drain;
mod harness;
mod journal;
mod life;
mod lifecycle;
mod line;
mod properties;
mod rest;
mod rules;
