//! End-to-end tests: the built hub and the built agent, over real sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod agents;
mod clients;
mod conversation;
mod docker;
mod docs;
mod drain;
mod egress;
mod fuzz;
mod identity;
mod killed;
mod life;
mod limits;
mod load;
mod mcp;
mod models;
mod openapi;
mod own_agent;
mod platforms;
mod pool;
mod rest;
mod safety;
mod sandbox;
mod sdks;
mod service;
mod support;
mod tls;
mod traces;
mod waiting;
mod websocat;
