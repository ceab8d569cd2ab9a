//! End to end: the built hub and the built agent, over real sockets.

mod conversation;
mod load;
mod safety;
mod support;
mod websocat;
