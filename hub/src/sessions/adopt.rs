//! What a dead hub left, on platforms whose agents outlive it: sessions go on, warm agents are kept, strays go.
//!
//! ```text
//!   what runs (platform) --+                   +--> driver/adopt.rs: asks the agent, goes on with the session
//!                          +--> sort: whose? --+--> pool.rs: warm, and as it would be started now
//!   what it was for -------+                   +--> reaper.rs: belongs to nobody
//!   (journal)                                  +--> driver.rs: was never there; begun again
//! ```
//!
//! It is done before the hub serves, so that who comes back finds a session; what agents have to say is asked for after.
//! The platform's list is the truth about what runs, and an agent's own word decides whose it is. Without a journal a
//! container's name says that too.

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
use crate::sessions::admission::policy::{Patience, Who};
use crate::sessions::driver;
use crate::sessions::registry::{Mailbox, Place};

/// What is to be done about what was found.
#[derive(Debug, Default)]
struct Sorted {
    /// Agents of sessions that go on, with what the journal knows of them.
    sessions: Vec<(ListedAgent, SessionId, Option<Past>)>,
    /// Agents that are nobody's.
    warm: Vec<ListedAgent>,
    /// Agents of what is over, with the session that is lost with them, if one is.
    strays: Vec<(ListedAgent, Option<SessionId>)>,
    /// Sessions whose agent was never there: nothing is lost when they begin again.
    again: Vec<Past>,
    /// Sessions whose agent is gone.
    lost: Vec<SessionId>,
}

/// Takes over what can be, and has the rest removed. To be called before anything is started: then nothing that runs is
/// this hub's.
pub(crate) async fn conduct(sessions: &Arc<Sessions>) {
    let began = SystemTime::now();
    let (Some(mut known), Some(found)) = (sessions.ops.journal.unfinished().await, found(sessions).await)
    else {
        return error!("what a dead hub left is not known, and is not touched before the next start");
    };
    // What is over is over, also where something of it still runs.
    for session in found.iter().filter_map(|found| found.session) {
        if known.iter().all(|past| past.session != session) {
            known.extend(sessions.ops.journal.find(session).await);
        }
    }
    let may_begin_again = sessions.agents.platform.lifetime() == Lifetime::Own;
    if may_begin_again {
        let seen = found.iter().map(|found| found.incarnation).collect();
        sessions.ops.tasks.spawn(reaper::sweep(Arc::clone(&sessions.agents), began, seen));
    }
    let spawn_timeout = sessions.settings.spawn_timeout;
    let is_young = |past: &Past| past.created_at.elapsed().is_ok_and(|age| age < spawn_timeout);
    let Sorted { sessions: living, warm, strays, again, lost } =
        sort(found, known, |past| may_begin_again && is_young(past));
    for (found, session, past) in living {
        go_on(sessions, found, session, past);
    }
    for past in again {
        let owner = past.owner.map(Into::into);
        match place(sessions, past.session, owner) {
            Some((place, mailbox)) => {
                let age = past.created_at.elapsed().unwrap_or_default();
                driver::begin_again(sessions, age, past.joined_at.is_some(), place, mailbox);
            }
            None => sessions.ops.journal.lose(past.session),
        }
    }
    lost.into_iter().for_each(|session| sessions.ops.journal.lose(session));
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

/// What runs on a platform whose agents outlive their hub; `None` when it cannot be known.
async fn found(sessions: &Sessions) -> Option<Vec<ListedAgent>> {
    if sessions.agents.platform.lifetime() != Lifetime::Own {
        return Some(Vec::new());
    }
    for attempt in 1..=LIST_ATTEMPTS {
        if attempt > 1 {
            sleep(LIST_RETRY_INTERVAL).await;
        }
        match sessions.agents.platform.list().await {
            Ok(found) => return Some(found),
            Err(error) => warn!(%error, "what runs cannot be listed"),
        }
    }
    None
}

fn place(sessions: &Sessions, session: SessionId, owner: Option<Arc<str>>) -> Option<(Place, Mailbox)> {
    let who = Who { owner: owner.clone(), from: None };
    let pass = sessions.admission.ask(who, Patience::Leaves).ok()?;
    Some(sessions.registry.register(session, owner, pass))
}

fn go_on(sessions: &Arc<Sessions>, found: ListedAgent, session: SessionId, past: Option<Past>) {
    let owner = past.as_ref().and_then(|past| past.owner.clone()).map(Into::into);
    match place(sessions, session, owner) {
        Some((place, mailbox)) => {
            // Without a journal it is taken for the usual: a session with a socket.
            let was_joined = past.as_ref().is_none_or(|past| past.joined_at.is_some());
            let since = past.map_or(found.created, |past| past.created_at);
            let age = SystemTime::now().duration_since(since).unwrap_or_default();
            driver::adopt(sessions, found, age, was_joined, place, mailbox);
        }
        None => {
            warn!(%session, "there is no place for a session that a dead hub left; see --max-sessions");
            reaper::remove(&sessions.agents, found, Some(session));
        }
    }
}

/// Decides whose everything is: by what is written on the agent, else by the journal.
fn sort(found: Vec<ListedAgent>, pasts: Vec<Past>, may_begin_again: impl Fn(&Past) -> bool) -> Sorted {
    let mut sorted = Sorted::default();
    let meant_for: HashMap<_, _> =
        pasts.iter().filter_map(|past| Some((past.incarnation?, past.session))).collect();
    let mut known: HashMap<_, _> = pasts.into_iter().map(|past| (past.session, past)).collect();
    let is_over = |past: &Past| past.ended.is_some() || past.terminated_at.is_some();
    let mut chosen: HashMap<SessionId, ListedAgent> = HashMap::new();
    for found in found {
        let session = found.session.or_else(|| meant_for.get(&found.incarnation).copied());
        let over = session.and_then(|session| known.get(&session)).filter(|past| is_over(past));
        match (session, over) {
            (None, _) => sorted.warm.push(found),
            (Some(session), Some(over)) => {
                sorted.strays.push((found, over.terminated_at.is_none().then_some(session)));
            }
            (Some(session), None) => {
                // One that could not be claimed is older than the one that was started in its place.
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
                sorted.strays.extend(older.map(|older| (older, None)));
            }
        }
    }
    for (session, found) in chosen {
        sorted.sessions.push((found, session, known.remove(&session)));
    }
    let with_strays: HashSet<_> = sorted.strays.iter().filter_map(|(_, lost)| *lost).collect();
    known.retain(|session, past| past.terminated_at.is_none() && !with_strays.contains(session));
    for (session, past) in known {
        if past.ready_at.is_none() && !is_over(&past) && may_begin_again(&past) {
            sorted.again.push(past);
        } else {
            sorted.lost.push(session);
        }
    }
    sorted
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

    /// `sessions: agent for session; warm; strays; again; lost`.
    fn told(sorted: &Sorted) -> String {
        let agents = |found: &[ListedAgent]| {
            found.iter().map(|found| short(&found.incarnation.to_string())).collect::<Vec<_>>().join(" ")
        };
        let mut sessions: Vec<_> = sorted
            .sessions
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
        let again = names(sorted.again.iter().map(|past| past.session).collect());
        let lost = names(sorted.lost.clone());
        let strays: Vec<_> = sorted.strays.iter().map(|(found, _)| found.clone()).collect();
        let (warm, strays) = (agents(&sorted.warm), agents(&strays));
        format!("{}; {warm}; {strays}; {again}; {lost}", sessions.join(" "))
    }

    fn short(id: &str) -> String {
        id.trim_start_matches("s_").trim_start_matches('0').to_owned()
    }

    #[test]
    fn an_agent_belongs_to_whom_its_name_or_else_the_journal_says() {
        let agents =
            vec![found(0xa, Some(1), 0), found(0xb, None, 0), found(0xc, None, 0), found(0xd, Some(4), 0)];
        let sorted = sort(agents, vec![past(1, Some(0xa)), past(2, Some(0xb))], |_| false);
        assert_eq!(told(&sorted), "a=1 b=2 d=4?; c; ; ; ");
    }

    #[test]
    fn what_is_over_is_not_gone_on_with() {
        let agents = vec![found(0xa, Some(1), 0), found(0xb, None, 0)];
        let sorted = sort(agents, vec![ended(past(1, Some(0xa))), ended(past(2, Some(0xb)))], |_| true);
        assert_eq!(told(&sorted), "; ; a b; ; ");
        let lost: Vec<_> = sorted.strays.iter().map(|(_, lost)| *lost).collect();
        assert_eq!(
            lost,
            [Some(SessionId::from_u128(1)), Some(SessionId::from_u128(2))],
            "once they are gone"
        );
        let over = Past { terminated_at: Some(SystemTime::UNIX_EPOCH), ..past(1, None) };
        let sorted = sort(vec![found(0xa, Some(1), 0)], vec![over], |_| true);
        assert_eq!((told(&sorted).as_str(), sorted.strays[0].1), ("; ; a; ; ", None));
    }

    #[test]
    fn of_two_agents_for_one_session_the_one_that_came_last_is_its() {
        for ages in [[10, 20], [20, 10]] {
            let agents = vec![found(0xa, Some(1), ages[0]), found(0xb, Some(1), ages[1])];
            let sorted = sort(agents, vec![past(1, Some(0xa))], |_| false);
            let expected = if ages[1] > ages[0] { "b=1; ; a; ; " } else { "a=1; ; b; ; " };
            assert_eq!(told(&sorted), expected);
        }
    }

    #[test]
    fn a_session_without_an_agent_is_lost_unless_it_had_none_yet() {
        let never = |session| Past { ready_at: None, ..past(session, Some(0xf)) };
        assert_eq!(told(&sort(vec![], vec![past(1, Some(0xa))], |_| true)), "; ; ; ; 1");
        assert_eq!(told(&sort(vec![], vec![never(1)], |_| true)), "; ; ; 1; ");
        assert_eq!(told(&sort(vec![], vec![never(1)], |_| false)), "; ; ; ; 1");
        assert_eq!(told(&sort(vec![], vec![ended(never(1))], |_| true)), "; ; ; ; 1");
    }
}
