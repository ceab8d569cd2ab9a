//! The session's behaviour from outside: rules by example, and invariants over random histories.

mod adopt;
mod bounds;
mod clock;
mod deadlines;
mod drain;
mod end;
mod harness;
mod journal;
mod lifecycle;
mod line;
mod properties;
mod rest;
mod resume;
mod sockets;
mod start;
mod stops;
mod turns;
