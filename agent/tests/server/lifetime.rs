//! Tests of the agent's lifetime and shutdown.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_binding_sets_the_deadline() {
    let (agent, _, _) = agent_of(None);
    let begin = Instant::now();
    let exit_reason = tokio::spawn({
        let agent = Arc::clone(&agent);
        async move { (agent.expired().await, begin.elapsed()) }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let request = bind(SESSION, json!({ "deadline": wall + 30 }));
    let answer = router(Arc::clone(&agent), token()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let (reason, after) = exit_reason.await.unwrap();
    assert_eq!(reason, ExitReason::Deadline);
    // The deadline is wall time, of which an unknown part passes before the call.
    assert!(after <= Duration::from_secs(36), "{after:?}");
}

#[tokio::test]
async fn a_stop_aborts_the_running_turn() {
    let agent = start();
    let mut response = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut response, "One ").await;
    agent.stop.cancel();
    let end = rest(response).await;
    assert!(end.ends_with("data: {\"type\":\"abort\"}\n\ndata: [DONE]\n\n"), "{end}");
    agent.server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_has_comments() {
    let (agent, _, _) = agent();
    let mut body = router(agent, token()).oneshot(chat(SESSION, "t1", "Hi")).await.unwrap().into_body();
    let mut last = Instant::now();
    for comment in 0..3 {
        let text = loop {
            let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let text = String::from_utf8(data.to_vec()).unwrap();
            if text.starts_with(':') {
                break text;
            }
            assert_eq!(comment, 0, "{text}");
        };
        assert_eq!(text, ": keep-alive\n\n");
        assert!(last.elapsed() <= Duration::from_secs(10));
        last = Instant::now();
    }
}

#[tokio::test(start_paused = true)]
async fn only_authorized_calls_keep_the_agent_alive() {
    let (agent, may_go_on, _) = agent();
    let begin = Instant::now();
    let exit_reason = tokio::spawn({
        let agent = Arc::clone(&agent);
        async move { (agent.expired().await, begin.elapsed().as_secs()) }
    });
    let call =
        async |request: Request<Body>| router(Arc::clone(&agent), token()).oneshot(request).await.unwrap();

    tokio::time::sleep(Duration::from_secs(ORPHAN_SECS - 1)).await;
    let mut body = call(chat(SESSION, "t1", "Hi")).await.into_body();
    tokio::time::sleep(Duration::from_secs(ORPHAN_SECS - 1)).await;
    may_go_on.add_permits(1);
    while body.frame().await.is_some() {}
    tokio::time::sleep(Duration::from_secs(ORPHAN_SECS - 1)).await;
    let mut stranger = request(Method::GET, "/health", "");
    stranger.headers_mut().remove("authorization");
    assert_eq!(call(stranger).await.status(), StatusCode::UNAUTHORIZED);
    let events_read = 2 * (ORPHAN_SECS - 1);
    assert_eq!(exit_reason.await.unwrap(), (ExitReason::Orphaned, events_read + ORPHAN_SECS));
}
