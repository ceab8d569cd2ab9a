//! Adoption: takes over the sessions and agents of a dead hub, on platforms whose agents outlive the hub.
//!
//! ```text
//!   agents that run ---+            +--> driver/adopt.rs: sessions to continue
//!   (platform)         +--> plan ---+--> pool.rs: warm agents of the current version
//!   their sessions ----+            +--> reaper.rs: agents without a session
//!   (journal)                       +--> driver.rs: sessions whose agent never started, to restart
//! ```
//!
//! Adoption runs before the hub serves, so that clients can resume their sessions at once. Each session's driver asks
//! its agent for the history later. The platform's list decides which agents run. An agent's session is the one in its
//! label or, without a label, the one in the journal. Agents with a label are adopted even without a journal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use mayfly_platform::{Lifetime, ListedAgent};
use mayfly_protocol::ids::SessionId;
use tokio::time::sleep;
use tracing::{error, warn};

use crate::agents::reaper;
use crate::limits::{LIST_ATTEMPTS, LIST_RETRY_INTERVAL};
use crate::ops::journal::Past;
use crate::sessions::Sessions;
use crate::sessions::admission::policy::{Applicant, WhenFull};
use crate::sessions::driver;
use crate::sessions::registry::{Mailbox, Place};

/// The plan of an adoption.
#[derive(Debug, Default)]
struct Plan {
    /// Agents of sessions to continue, with the journal's data on the session, if any.
    continued: Vec<(ListedAgent, SessionId, Option<Past>)>,
    /// Agents without a session.
    warm: Vec<ListedAgent>,
    /// Agents to remove, with the session that is lost with the agent, if any.
    strays: Vec<(ListedAgent, Option<SessionId>)>,
    /// Sessions whose agent never became ready. They are started again, since they have nothing to lose.
    restarted: Vec<Past>,
    /// Sessions whose agent is gone.
    lost: Vec<SessionId>,
}

/// Adopts the sessions and agents of a dead hub, and removes the others. Must be called before this hub starts an
/// agent, so that all listed agents are the dead hub's.
pub(crate) async fn adopt_all(sessions: &Arc<Sessions>) {
    let began = SystemTime::now();
    let (Some(mut known), Some(found)) =
        (sessions.ops.journal.unfinished().await, listed_agents(sessions).await)
    else {
        return error!("adoption failed; earlier agents and sessions stay untouched until the next start");
    };
    // An agent may still run although its session has terminated. Only the journal knows that.
    for session in found.iter().filter_map(|found| found.session) {
        if known.iter().all(|past| past.session != session) {
            known.extend(sessions.ops.journal.find(session).await);
        }
    }
    let may_restart = sessions.agents.platform.lifetime() == Lifetime::Own;
    if may_restart {
        let seen = found.iter().map(|found| found.incarnation).collect();
        sessions.ops.tasks.spawn(reaper::sweep(Arc::clone(&sessions.agents), began, seen));
    }
    let spawn_timeout = sessions.settings.spawn_timeout;
    let is_young = |past: &Past| past.created_at.elapsed().is_ok_and(|age| age < spawn_timeout);
    let Plan { continued, warm, strays, restarted, lost } =
        make_plan(found, known, |past| may_restart && is_young(past));
    for (found, session, past) in continued {
        continue_session(sessions, found, session, past);
    }
    for past in restarted {
        let owner = past.owner.map(Into::into);
        match place(sessions, past.session, owner) {
            Some((place, mailbox)) => {
                let age = past.created_at.elapsed().unwrap_or_default();
                driver::begin_again(sessions, age, past.joined_at.is_some(), place, mailbox);
            }
            None => lose(sessions, past.session),
        }
    }
    lost.into_iter().for_each(|session| lose(sessions, session));
    let version = sessions.agents.platform.version(&sessions.agents.settings.env).await;
    for found in warm {
        let is_current = found.version.as_ref() == Some(&version);
        let agent = found.handle(sessions.secret.agent_token(found.incarnation));
        let age = found.created.elapsed().unwrap_or_default();
        if !is_current || !sessions.agents.pool.adopt(agent, version.clone(), age) {
            reaper::remove(&sessions.agents, found, None);
        }
    }
    strays.into_iter().for_each(|(stray, session)| reaper::remove(&sessions.agents, stray, session));
}

/// Returns the agents of a platform whose agents outlive the hub, and none for other platforms. Returns `None` if all
/// attempts to list the agents failed.
async fn listed_agents(sessions: &Sessions) -> Option<Vec<ListedAgent>> {
    if sessions.agents.platform.lifetime() != Lifetime::Own {
        return Some(Vec::new());
    }
    for attempt in 1..=LIST_ATTEMPTS {
        if attempt > 1 {
            sleep(LIST_RETRY_INTERVAL).await;
        }
        match sessions.agents.platform.list().await {
            Ok(found) => return Some(found),
            Err(error) => warn!(attempt, %error, "agent list failed"),
        }
    }
    None
}

/// Registers an adopted session. Returns `None` if all places are taken.
fn place(sessions: &Sessions, session: SessionId, owner: Option<Arc<str>>) -> Option<(Place, Mailbox)> {
    let applicant = Applicant { owner: owner.clone(), from: None };
    let pass = sessions.admission.ask(applicant, WhenFull::Refuse).ok()?;
    Some(sessions.registry.register(session, owner, pass))
}

/// Ends a session that cannot be continued.
fn lose(sessions: &Sessions, session: SessionId) {
    warn!(%session, "session of an earlier hub lost");
    sessions.ops.journal.lose(session);
}

fn continue_session(sessions: &Arc<Sessions>, found: ListedAgent, session: SessionId, past: Option<Past>) {
    let owner = past.as_ref().and_then(|past| past.owner.clone()).map(Into::into);
    match place(sessions, session, owner) {
        Some((place, mailbox)) => {
            // Without a journal entry, the session is assumed to have had a socket, as most sessions have.
            let was_joined = past.as_ref().is_none_or(|past| past.joined_at.is_some());
            let since = past.map_or(found.created, |past| past.created_at);
            let age = SystemTime::now().duration_since(since).unwrap_or_default();
            driver::adopt(sessions, found, age, was_joined, place, mailbox);
        }
        None => {
            warn!(%session, "session not adopted: all places are taken; see --max-sessions");
            reaper::remove(&sessions.agents, found, Some(session));
        }
    }
}

/// Assigns each agent to a session, by the agent's label or else by the journal, and plans the adoption.
fn make_plan(found: Vec<ListedAgent>, pasts: Vec<Past>, may_restart: impl Fn(&Past) -> bool) -> Plan {
    let mut plan = Plan::default();
    let assigned: HashMap<_, _> =
        pasts.iter().filter_map(|past| Some((past.incarnation?, past.session))).collect();
    let mut known: HashMap<_, _> = pasts.into_iter().map(|past| (past.session, past)).collect();
    let is_over = |past: &Past| past.ended.is_some() || past.terminated_at.is_some();
    let mut chosen: HashMap<SessionId, ListedAgent> = HashMap::new();
    for found in found {
        let session = found.session.or_else(|| assigned.get(&found.incarnation).copied());
        let over = session.and_then(|session| known.get(&session)).filter(|past| is_over(past));
        match (session, over) {
            (None, _) => plan.warm.push(found),
            (Some(session), Some(over)) => {
                plan.strays.push((found, over.terminated_at.is_none().then_some(session)));
            }
            (Some(session), None) => {
                // The newest agent is the session's: it replaced an agent that could not be claimed.
                let older = match chosen.remove(&session) {
                    Some(other) if other.created > found.created => {
                        chosen.insert(session, other);
                        Some(found)
                    }
                    other => {
                        chosen.insert(session, found);
                        other
                    }
                };
                plan.strays.extend(older.map(|older| (older, None)));
            }
        }
    }
    for (session, found) in chosen {
        plan.continued.push((found, session, known.remove(&session)));
    }
    let with_strays: HashSet<_> = plan.strays.iter().filter_map(|(_, lost)| *lost).collect();
    known.retain(|session, past| past.terminated_at.is_none() && !with_strays.contains(session));
    for (session, past) in known {
        if past.ready_at.is_none() && !is_over(&past) && may_restart(&past) {
            plan.restarted.push(past);
        } else {
            plan.lost.push(session);
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use mayfly_protocol::hub::EndReason;
    use mayfly_protocol::ids::Incarnation;
    use mayfly_session::SessionSummary;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use mayfly_platform::AgentAddress;

    fn found(agent: u128, session: Option<u128>, created: u64) -> ListedAgent {
        ListedAgent {
            incarnation: Incarnation::from_u128(agent),
            address: AgentAddress::Unix(PathBuf::from("/nowhere")),
            gone: CancellationToken::new(),
            session: session.map(SessionId::from_u128),
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(created),
            version: None,
        }
    }

    fn past(session: u128, agent: Option<u128>) -> Past {
        Past {
            session: SessionId::from_u128(session),
            owner: None,
            incarnation: agent.map(Incarnation::from_u128),
            created_at: SystemTime::UNIX_EPOCH,
            joined_at: None,
            ready_at: Some(SystemTime::UNIX_EPOCH),
            ended: None,
            terminated_at: None,
        }
    }

    fn ended(past: Past) -> Past {
        let ended = SessionSummary { reason: EndReason::Bye, code: None, turns: 0, messages: 0, bytes: 0 };
        Past { ended: Some((SystemTime::UNIX_EPOCH, ended)), ..past }
    }

    /// Returns `agent=session; warm; strays; restarted; lost`; `?` marks a session that the journal does not know.
    fn summary(plan: &Plan) -> String {
        let agents = |found: &[ListedAgent]| {
            found.iter().map(|found| short(&found.incarnation.to_string())).collect::<Vec<_>>().join(" ")
        };
        let mut sessions: Vec<_> = plan
            .continued
            .iter()
            .map(|(found, session, past)| {
                let journal = if past.is_some() { "" } else { "?" };
                format!("{}={}{journal}", short(&found.incarnation.to_string()), short(&session.to_string()))
            })
            .collect();
        sessions.sort();
        let names = |sessions: Vec<SessionId>| {
            sessions.iter().map(|id| short(&id.to_string())).collect::<Vec<_>>().join(" ")
        };
        let restarted = names(plan.restarted.iter().map(|past| past.session).collect());
        let lost = names(plan.lost.clone());
        let strays: Vec<_> = plan.strays.iter().map(|(found, _)| found.clone()).collect();
        let (warm, strays) = (agents(&plan.warm), agents(&strays));
        format!("{}; {warm}; {strays}; {restarted}; {lost}", sessions.join(" "))
    }

    fn short(id: &str) -> String {
        id.trim_start_matches("s_").trim_start_matches('0').to_owned()
    }

    #[test]
    fn label_or_else_journal_assigns_an_agent() {
        let agents =
            vec![found(0xa, Some(1), 0), found(0xb, None, 0), found(0xc, None, 0), found(0xd, Some(4), 0)];
        let plan = make_plan(agents, vec![past(1, Some(0xa)), past(2, Some(0xb))], |_| false);
        assert_eq!(summary(&plan), "a=1 b=2 d=4?; c; ; ; ");
    }

    #[test]
    fn ended_session_is_not_continued() {
        let agents = vec![found(0xa, Some(1), 0), found(0xb, None, 0)];
        let plan = make_plan(agents, vec![ended(past(1, Some(0xa))), ended(past(2, Some(0xb)))], |_| true);
        assert_eq!(summary(&plan), "; ; a b; ; ");
        let lost: Vec<_> = plan.strays.iter().map(|(_, lost)| *lost).collect();
        assert_eq!(
            lost,
            [Some(SessionId::from_u128(1)), Some(SessionId::from_u128(2))],
            "lost once the agents are gone"
        );
        let over = Past { terminated_at: Some(SystemTime::UNIX_EPOCH), ..past(1, None) };
        let plan = make_plan(vec![found(0xa, Some(1), 0)], vec![over], |_| true);
        assert_eq!((summary(&plan).as_str(), plan.strays[0].1), ("; ; a; ; ", None));
    }

    #[test]
    fn newest_agent_keeps_the_session() {
        for ages in [[10, 20], [20, 10]] {
            let agents = vec![found(0xa, Some(1), ages[0]), found(0xb, Some(1), ages[1])];
            let plan = make_plan(agents, vec![past(1, Some(0xa))], |_| false);
            let expected = if ages[1] > ages[0] { "b=1; ; a; ; " } else { "a=1; ; b; ; " };
            assert_eq!(summary(&plan), expected);
        }
    }

    #[test]
    fn session_without_agent_is_lost_unless_never_ready() {
        let never = |session| Past { ready_at: None, ..past(session, Some(0xf)) };
        assert_eq!(summary(&make_plan(vec![], vec![past(1, Some(0xa))], |_| true)), "; ; ; ; 1");
        assert_eq!(summary(&make_plan(vec![], vec![never(1)], |_| true)), "; ; ; 1; ");
        assert_eq!(summary(&make_plan(vec![], vec![never(1)], |_| false)), "; ; ; ; 1");
        assert_eq!(summary(&make_plan(vec![], vec![ended(never(1))], |_| true)), "; ; ; ; 1");
    }
}
